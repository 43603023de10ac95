"""Strings on which tokenizers go wrong, drawn from a seed."""
import pathlib
import random
import unicodedata

ALPHABETS = {
    "ascii": [chr(code) for code in range(128)],
    "letters": list("etaoin shrdlu ETAOIN '\n"),
    "digits": list("0123456789 .,-²½٣Ⅷ\U00011de0"),
    "spaces": list(" \t\n\r\v\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\ufeff a"),
    "marks": list("aeiouAEn") + [chr(code) for code in range(0x300, 0x370)] +
             list("\u0345\u093c\u0f71\u0f72\u1100\u1161\u11a8\u3099\U0001d165\U0001d16d"),
    "case": list("aAbBǅǆſKkİıßẞΣςσʰªªº'\u0301 /\n"),
    "scripts": list("aбγאع中あ한กदა 1ñ'\u0301"),
    "emoji": list("🙂👍🏽👨\u200d👩\u200d👧🇩🇪❤\ufe0f🏴\U000e0067\u20e3# 1"),
    "edges": [chr(code) for code in (0, 1, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xf8ff, 0xfdd0,
                                     0xfffd, 0xfffe, 0xffff, 0x10000, 0x1fffe, 0xe0001, 0xf0000,
                                     0x10fffd, 0x10ffff)] + list("a '1\n"),
    "marked": list("▁ ▁ĠĊaĠthe<0x0A>é"),
}
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'RE", "'ve", "'vE", "'m", "'ll", "'LL", "'l", "'d", "'ſ",
                "’s", "''", "I", "we", "it", "can", "n't", " "]
CODE = ["def f(x):\n", "    return x\n", "\t\tif (a != b) {\r\n", "}", ";", "//", "->", "::",
        "0x1F", "snake_case", "camelCase", "HTTPServer", "a/b/c\n", "\"str\\n\"", "<div>",
        "</div>", "&amp;", "#include <a>\n", "1e-5", "3.14", "[]", "()", "   ", "\n\n\n", "== ",
        "!=", "***", "---\n"]


class Strings:
    def __init__(self, seed, texts, tokens):
        self.random = random.Random(seed)
        self.texts = [pathlib.Path(path).read_text(errors="replace") for path in texts]
        self.tokens = tokens  # added tokens of the tokenizer
        self.kinds = [self.any_unicode, self.assigned, self.one_block, self.slice, self.slice,
                      self.code, self.contractions, self.with_tokens, self.with_tokens, self.runs,
                      self.mixed, self.alphabet, self.alphabet, self.alphabet]

    def next(self):
        if self.random.random() < 0.003:
            return self.long()
        return self.random.choice(self.kinds)()

    def length(self):
        return int(self.random.expovariate(1 / 24))

    def code_point(self):
        while True:
            code = self.random.randrange(0x110000)
            if not 0xD800 <= code < 0xE000:
                return chr(code)

    def any_unicode(self):
        return "".join(self.code_point() for _ in range(self.length()))

    def assigned(self):
        """Of the two planes that most scripts stand in, unassigned code points now and then."""
        found = []
        while len(found) < self.length():
            char = chr(self.random.choice((self.random.randrange(0x3000),
                                           self.random.randrange(0xD800),
                                           self.random.randrange(0x10000, 0x20000))))
            if unicodedata.category(char) != "Cn" or self.random.random() < 0.1:
                found.append(char)
        return "".join(found)

    def one_block(self):
        first = self.random.choice((0x80, 0x250, 0x300, 0x590, 0x900, 0xe00, 0xf00, 0x1100, 0x1e00,
                                    0x2000, 0x2150, 0x3040, 0xac00, 0xf900, 0xfb00, 0xfe00, 0x10000,
                                    0x1d100, 0x1f300, 0x1e900, 0x11d00, 0x30000))
        return "".join(self.random.choice((chr(first + self.random.randrange(256)), " ", "a", "'"))
                       for _ in range(self.length()))

    def slice(self):
        text = self.random.choice(self.texts)
        begin = self.random.randrange(len(text))
        return text[begin:begin + self.random.choice((20, 60, 200, 600))]

    def code(self):
        return "".join(self.random.choice(CODE) for _ in range(self.length() // 3))

    def contractions(self):
        return "".join(self.random.choice(CONTRACTIONS) for _ in range(self.length() // 2))

    def with_tokens(self):
        """Added tokens, whole and cut, among spaces and words."""
        parts = []
        for _ in range(self.length() // 3 + 1):
            token = self.random.choice(self.tokens)
            cut = self.random.randrange(len(token) + 1)
            parts.append(self.random.choice((token, token, token, token[:cut], token[cut:], " ",
                                             "  ", "\n", "a", "ab", "é", "1", "_", "\u3000", ".",
                                             "中")))
        return "".join(parts)

    def runs(self):
        return "".join(self.alphabet_character() * self.random.choice((1, 1, 2, 3, 5, 17, 64))
                       for _ in range(self.length() // 4))

    def mixed(self):
        return "".join(self.random.choice((self.any_unicode, self.slice, self.code, self.runs,
                                           self.with_tokens))()[:40] for _ in range(3))

    def long(self):
        """A word or run so long that it is not merged in one go."""
        length = self.random.choice((5000, 9000, 20000))
        text = self.random.choice(self.texts)
        begin = self.random.randrange(len(text))
        words = "".join(text[begin:begin + length].split())
        letters = "".join(self.random.choices("etaoinshrdlu", k=length))
        run = self.random.choice("a \n1=-#e\u0301🙂中") * length
        return self.random.choice((words, letters, run, words[:3000] + run + words))

    def alphabet_character(self):
        return self.random.choice(self.random.choice(list(ALPHABETS.values())))

    def alphabet(self):
        letters = self.random.choice(list(ALPHABETS.values()))
        return "".join(self.random.choice(letters) for _ in range(self.length()))
