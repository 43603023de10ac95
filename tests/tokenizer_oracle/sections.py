#!/usr/bin/env python3
"""Compares every construct of tokenizer.json's sections, one by one, with the `tokenizers` package.

Each case is a small tokenizer.json with one construct in it; ids, pieces, normalized and decoded
texts must be the package's. Ends with 1 at the first sign of a difference, after a list of the
cases that differ."""
import argparse
import contextlib
import json
import os
import pathlib
import random
import sys
import tempfile

import tokenizers

import strings
from compare import VERSION, Comparison, Driver, Failed

ALL = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
BYTES = {}  # characters of the byte-level alphabet to bytes

TEXT = """It's a test: the "quick" brown fox (1/2) can't jump over 12345 dogs, we'LL see!
    def f(x):\n\treturn x ** 2  # squared\r\n\r\nÜber die Brücke — naïve façade. Привет, мир! 你好，世界。
こんにちは 한국어 안녕 हिन्दी ภาษาไทย עברית العربية ١٢٣ ½ ﬁ Ⅷ ²  \n\n\n   end_of_text   """

SPECIAL = [  # texts that go wrong where texts can go wrong
    "", " ", "  ", "\n", "\0", "a\0b", "\u2028", "\u2029a", "\x85", "\u180e", "\u200b", "\ufeff",
    "a\u0301\u0323", "\u0301", "\u0301a", "e\u0323\u0301\u0345", "\uac00\u11a8", "\u1100\u1161",
    "\u1100\u1161\u11a8\u11a8", "\ue000\uf8ff", "\U000f0000", "\U0010ffff", "\uffff", "\u0378",
    "\U00011938", "\U00011935\U00011930", "a\u0345\u0898\u0334", "İI\u0131iſK", "ǅǆΣς", "▁a▁ b",
    "_ a_b  c", " a", "a ", "<s>", "<s>a", "a<s>b", " <s> a", "<add>a b", "a<add>", "\ufdfa\ufb03",
    "\u1e9b\u0323", "\u212b\u2126", "\u0344\u0958\u2adc", "a-b--c-", "--", "-", "1a22b333", "½²Ⅷ①",
    "\t\r\n\v\f \xa0\u1680\u2003\u202f\u205f\u3000a", "a.b,c;!?«»—…", "ß ss ẞ ﬆ ﬀ", "''s'S'ſ'll",
    "x" * 300, "ab" * 200, " " * 300, "\u0301" * 300, "\u0301\u0323" * 150, "\n \n" * 100]
INVALID = [b"\xff", b"a\xc3", b"\xc3(", b"\xe4\xb8", b"\xe4\xb8 a", b"\xf0\x9f\x98", b"\xed\xa0\x80",
           b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\x80\xbf b", b"\xf8\x88\x80\x80\x80", b" \xe2\x96 a"]

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def replace(kind, pattern, content):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def normalizers():
    steps = [{"type": form} for form in FORMS] + [
        {"type": "Lowercase"}, {"type": "ByteLevel"}, {"type": "Prepend", "prepend": "▁"},
        {"type": "Prepend", "prepend": "a b"}, {"type": "Prepend", "prepend": ""},
        replace("String", " ", "▁"), replace("String", "a", ""), replace("String", "ab", "x y"),
        replace("String", "aa", "a"), replace("Regex", " {2,}", " "), replace("Regex", r"\s+", " "),
        replace("Regex", "x*", "-"), replace("Regex", "(a)(b)", "$2$1"),
        replace("Regex", r"^\s+|\s+$", ""), replace("Regex", r"\p{M}", ""),
        replace("Regex", r"[^\S\n]+", "_")]
    steps += [{"type": "Strip", "strip_left": left, "strip_right": right}
              for left in (False, True) for right in (False, True)]
    yield from steps
    for first, second in ((0, 4), (4, 0), (3, 4), (1, 17), (6, 9), (9, 6), (-1, 6), (2, -1), (4, 5)):
        yield {"type": "Sequence", "normalizers": [steps[first], steps[second]]}
    yield {"type": "Sequence", "normalizers": []}


def metaspaces():
    for scheme in ("first", "always", "never"):
        for cut in (True, False):
            for mark in "▁_":
                yield {"type": "Metaspace", "replacement": mark, "prepend_scheme": scheme,
                       "split": cut}
    yield {"type": "Metaspace", "replacement": "▁"}
    yield {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    yield {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True,
           "prepend_scheme": "first"}
    yield {"type": "Metaspace", "replacement": "▁", "add_prefix_space": False,
           "prepend_scheme": "never"}


def byte_levels():
    for prefix in (False, True):
        for trim in (False, True):
            for regex in (False, True):
                yield {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim,
                       "use_regex": regex}


def split(kind, pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


# Expressions of real files, and one for each construct that we say in PCRE2.
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
EXPRESSIONS = [
    DEEPSEEK, r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", "[0-9][0-9][0-9]", "[\r\n]", r"\s?\p{L}+",
    r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"(?=(\d{3})+(?!\d))", "a",
    r"'(?i:[sdmt]|ll|ve|re)|\p{L}++|\p{N}{1,3}+|[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s",
    r"\w+", r"\W+", r"\d+", r"\D+", r"\s+", r"\S+", r"\h+", r"\H+", r"\b", r"\B", r"\bthe\b", "^", "$",
    r"\A.", r".\z", r".\Z", r"\Z", r"\z", ".", ".+", "a|b|", "a*", "a*?b", "a+?", "a??b", "a{2}",
    "a{2,}", "a{,2}", "a{1,2}", "a{1,2}?", "a{2}+", "a{1,2}+b", "(ab)+", "(?:ab)*c", "(?>a*)b",
    "(?=b)", "(?!b)a", "(?<=a)b", "(?<!a)b", "(?<=a|xx)b", "(?i:ab)", "(?i)ab|C", "(?i:k|[s])",
    r"[\s\S]", r"[^\s]+", r"[\w-]+", r"[-a]+", r"[a-]+", r"[^a-c]+", r"[\p{L}\d_]+", r"[\S]+",
    r"[\h.]+", r"\x61", r"\x{4F60}", r"\u4f60", r"[\u4e00-\u9fff]+", r"\p{^L}+", r"\P{L}+",
    r"[\x{AC00}-\x{D7A3}]+", r"\t|\n|\r|\f|\v|\a|\e", r"\.\*\+\?\(\)\[\]\{\}\|\^\$\-\/\#\ ", "#", " ",
    "}", "]", "(?:)", "(a|b)*?c", "(?:a|b)++c", r"(?:\s|^)a", r"x(?=\s|$)", "[一二]", "\0",
    "|".join(rf"\p{{{name}}}+" for name in
             "Lu Ll Lt Lm Lo Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Co".split()),
    "|".join(rf"\p{{{name}}}+" for name in "LMNPSZ"),
    "|".join(rf"\p{{{name}}}+" for name in
             "Arabic Armenian Bengali Cyrillic Devanagari Georgian Greek Gujarati Gurmukhi Han Hangul "
             "Hebrew Hiragana Katakana Khmer Lao Latin Malayalam Myanmar Tamil Telugu Thai "
             "Tibetan".split())]
OVER_ALL = [EXPRESSIONS[-3], EXPRESSIONS[-1], r"\w+", r"\s", r"\p{P}+|\p{S}+", r"\d+"]


def pre_tokenizers():
    yield from metaspaces()
    yield from byte_levels()
    for behavior in BEHAVIORS:
        yield {"type": "Punctuation", "behavior": behavior}
        for invert in (False, True):
            yield split("String", "-", behavior, invert)
            yield split("String", "ab", behavior, invert)
            yield split("Regex", r"\s+", behavior, invert)
            yield split("Regex", "x*", behavior, invert)
    yield from ({"type": kind} for kind in ("Punctuation", "Whitespace", "WhitespaceSplit"))
    yield from ({"type": "Digits", "individual_digits": each} for each in (False, True))
    for expression in EXPRESSIONS:
        yield split("Regex", expression)
    spaces, first = {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁",
                                                  "prepend_scheme": "first", "split": True}
    digits = {"type": "Digits", "individual_digits": True}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}
    punctuation = {"type": "Punctuation", "behavior": "Contiguous"}
    for steps in ([spaces, first], [first, digits], [digits, first], [first, spaces], [],
                  [digits, plain], [plain | {"add_prefix_space": True}, digits],
                  [punctuation, plain, digits | {"individual_digits": False},
                   split("Regex", "[0-9][0-9][0-9]")],
                  [split("Regex", expression) for expression in EXPRESSIONS[1:4]] +
                  [split("Regex", DEEPSEEK), plain | {"use_regex": False}],
                  [spaces, plain | {"add_prefix_space": True}],
                  [split("String", " ", "MergedWithPrevious")]):
        yield {"type": "Sequence", "pretokenizers": steps}


def decoders():
    fuse, fallback, level = {"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "ByteLevel"}
    level = level | {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    spaces, odd = replace("String", "▁", " "), replace("Regex", "[ab]+", "")
    marks = list(metaspaces())
    ends = {"type": "BPEDecoder", "suffix": "b"}
    strips = [{"type": "Strip", "content": content, "start": start, "stop": stop}
              for content in "a " for start, stop in ((1, 0), (0, 1), (2, 3), (0, 0))]
    aba = replace("String", "aba", "-")
    yield from [fuse, fallback, level, spaces, odd, ends, aba, *strips, *marks]
    for steps in ([spaces, fallback, fuse, strips[4]], [fallback, marks[0]], [fuse, marks[0]],
                  [fuse, marks[8]], [level, strips[2]], [level, aba], [fuse, aba], [fuse, ends],
                  [fallback, ends], [ends, fallback], [ends, ends], [marks[0], ends], [fuse, fuse],
                  [strips[6], fuse, strips[6], strips[2]], [level, fuse, spaces, marks[0]], [],
                  [fallback, spaces, strips[1], fuse, aba, strips[0]]):
        yield {"type": "Sequence", "decoders": steps}
    yield None


def post_processors(vocab):
    start, end = ["<s>", vocab["<s>"]], ["b", vocab["b"]]
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
             "use_regex": True}
    special = {token: {"id": token, "ids": [id_], "tokens": [token]} for token, id_ in (start, end)}
    special["two"] = {"id": "two", "ids": [start[1], end[1]], "tokens": ["<s>", "b"]}

    def template(*names):
        items = [{"Sequence": {"id": "A", "type_id": 0}} if name == "A" else
                 {"SpecialToken": {"id": name, "type_id": 0}} for name in names]
        return {"type": "TemplateProcessing", "single": items, "special_tokens": special,
                "pair": items + [{"Sequence": {"id": "B", "type_id": 1}}]}

    yield from (level, template("<s>", "A"), template("<s>", "b", "A", "two"), template("A", "b"))
    yield {"type": "BertProcessing", "sep": end, "cls": start}
    yield {"type": "RobertaProcessing", "sep": end, "cls": start, "trim_offsets": True,
           "add_prefix_space": True}
    yield {"type": "Sequence", "processors": [level, template("<s>", "A", "b")]}
    yield {"type": "Sequence", "processors": []}


REFUSED = [  # what the package takes and we do not, each to be named
    ("normalizer", {"type": "StripAccents"}), ("normalizer", {"type": "Nmt"}),
    ("normalizer", {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                    "strip_accents": None, "lowercase": True}),
    ("pre_tokenizer", {"type": "BertPreTokenizer"}), ("pre_tokenizer", {"type": "UnicodeScripts"}),
    ("pre_tokenizer", {"type": "CharDelimiterSplit", "delimiter": "a"}),
    ("decoder", {"type": "WordPiece", "prefix": "##", "cleanup": True}),
    ("decoder", {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True})]
REFUSED += [("pre_tokenizer", split("Regex", expression)) for expression in (
    r"(a)\1", r"(?<n>a)\k<n>", r"\Ga", r"a\Kb", r"\R", r"\X", r"\N", r"\O", "(?m:.)", "a(?i)b|c",
    "[a[b]]", "[a&&b]", "[[:alpha:]]", "[]a]", r"\p{Alpha}", r"\p{C}", r"\p{Cn}", r"\p{Mn}", "a{2}?", "a**",
    "(?i:ss)", "(?i:st)", "(?i:é)", r"(?i:\p{L})", "(?#c)a", "(?~a)", r"[\D]", "(?<=a+)b", "(?y{g})a",
    "a{x", r"\101", "(?<n>a)")]


def random_expression(rng, depth=1):
    """Of the constructs that we take, over the letters of random_text()."""
    def atom():
        kinds = ["a", "b", "x", " ", "é", "中", r"\n", ".", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D",
                 r"\p{L}", r"\p{Lu}", r"\P{L}", r"\p{N}", r"\p{M}", "[ab]", "[^a\\n]", r"[\w ]", "[a-c1-9]",
                 r"[^\s\p{L}]", r"\p{Han}", "(?i:k)", "(?i:[sb])"]
        if depth == 0 or rng.random() < 0.6:
            return rng.choice(kinds)
        opening = rng.choice(("(", "(?:", "(?:", "(?>"))
        return opening + random_expression(rng, depth - 1) + ")"

    def item():
        if rng.random() < 0.12:
            around = rng.choice(("(?=", "(?!", "(?<=", "(?<!"))
            inside = rng.choice(("a", "b", r"\s", r"\S", r"\w", r"\p{L}", "[ab]", "é"))
            return rng.choice((around + inside + ")", "^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z"))
        repeats = ("", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}",
                   "{,2}", "{2,}", "{1,2}?", "{1,2}+")
        return atom() + rng.choice(repeats)

    branches = ["".join(item() for _ in range(rng.randrange(1, 4)))
                for _ in range(rng.choice((1, 1, 2, 3)))]
    return "|".join(branches)


def compile_expressions(rng, count):
    """Random ones that the package takes: it refuses some repetitions."""
    found = []
    while len(found) < count:
        expression = random_expression(rng)
        try:
            tokenizers.Regex(expression)
        except Exception:  # pylint: disable=broad-except
            continue
        found.append(expression)
    return found


def random_text(rng):
    return "".join(rng.choice("aabbxé1 \n中K\u017f\u212a\u0301-") for _ in range(rng.randrange(14)))


def model(byte_level):
    """Single characters, and merges of pairs of the most common ones, so that ids tell pieces."""
    common = "▁ _abthe'1-.é" if not byte_level else "ĠabtheĊ'1-.ÃĠ©äă"
    letters = sorted(set(common) | (set(BYTES) if byte_level else set("cdfgino,!23🙂中<s>")))
    vocab = {token: id_ for id_, token in enumerate(["<unk>", "<s>", "<add>"] + letters)}
    if not byte_level:
        for byte in range(256):
            vocab[f"<0x{byte:02X}>"] = len(vocab)
    merges = []
    for left in dict.fromkeys(common):
        for right in dict.fromkeys(common):
            merges.append([left, right])
            vocab.setdefault(left + right, len(vocab))
    random.Random(5).shuffle(merges)
    return {"type": "BPE", "dropout": None, "unk_token": None if byte_level else "<unk>",
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
            "byte_fallback": False, "vocab": vocab, "merges": merges}


def document(model_, sections):
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    added = [{"id": 1, "content": "<s>", "normalized": False, "special": True} | flags,
             {"id": 2, "content": "<add>", "normalized": True, "special": False} | flags]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": None, "post_processor": None,
            "decoder": None} | sections | {"model": model_}


def has_byte_level(step):
    if step is None:
        return False
    inner = step.get("pretokenizers", step.get("normalizers", []))
    return step["type"] == "ByteLevel" or any(map(has_byte_level, inner))


def byte_level_alphabet():
    """Printable Latin-1 characters stand for themselves, the other bytes are in order behind."""
    spelled = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    rest = iter(sorted(char for char in spelled if ord(char) > 0xFF))
    return {chr(code) if chr(code) in spelled else next(rest): code for code in range(256)}


def bytes_of(piece):
    return bytes(BYTES[character] for character in piece)


def pieces_of(package, text, byte_level):
    pieces = [piece for piece, _ in package.pre_tokenizer.pre_tokenize_str(text) if piece]
    raw = [bytes_of(piece) if byte_level else piece.encode() for piece in pieces]
    return b"".join(b"%d:" % len(piece) + piece for piece in raw).decode(errors="surrogateescape")


@contextlib.contextmanager
def quiet():
    """Where the package aborts, it prints a page."""
    own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)
        os.close(nowhere)


def or_none(function, *arguments, **named):
    """None where the package aborts, as its Strip does on tokens shorter than `stop`, and its
    expressions where they take too long."""
    try:
        return function(*arguments, **named)
    except BaseException as error:  # pylint: disable=broad-except
        if type(error).__name__ != "PanicException":
            raise
        return None


class Sections:
    def __init__(self, program, folder, texts, seed, expressions=0):
        self.seed, self.expressions = seed, expressions
        self.program, self.folder = program, pathlib.Path(folder)
        self.texts, self.random = texts, random.Random(seed)
        self.models = {level: model(level) for level in (False, True)}
        self.cases = self.answers = self.refused = 0
        self.wrong = []

    def write(self, sections):
        level = has_byte_level(sections.get("pre_tokenizer")) or \
            has_byte_level(sections.get("normalizer"))
        text = json.dumps(document(self.models[level], sections))
        (self.folder / "tokenizer.json").write_text(text)
        return text

    def fail(self, what):
        self.wrong.append(what)
        print(what, flush=True)

    def refuse(self, section, value):
        text = self.write({section: value})
        tokenizers.Tokenizer.from_str(text)
        self.cases += 1
        try:
            list(Driver(self.program, self.folder).answers([]))
            self.fail(f"NOT REFUSED: {section} {value}")
        except Failed as reason:
            if "is not supported" not in str(reason):
                self.fail(f"refused with other words: {section} {value}: {reason}")

    def compare(self, sections, texts=None, letters="nce"):
        texts = self.texts if texts is None else texts
        package = tokenizers.Tokenizer.from_str(self.write(sections))
        result = Comparison(json.dumps(sections, ensure_ascii=False))
        self.cases += 1
        try:
            self.check(result, package, sections, texts, letters)
        except Failed as reason:
            self.fail(f"{result.name}: FAILED: {reason}")
            return
        self.close(result)

    def compare_random(self, rng, expression):
        """A random expression may take too much work, or count what may be empty."""
        value = split("Regex", expression, rng.choice(BEHAVIORS), rng.random() < 0.3)
        package = tokenizers.Tokenizer.from_str(self.write({"pre_tokenizer": value}))
        texts = [random_text(rng) for _ in range(200)]
        result = Comparison(json.dumps(value, ensure_ascii=False))
        self.cases += 1
        try:
            given = list(Driver(self.program, self.folder).answers([("c", t) for t in texts]))
        except Failed as reason:
            self.refused += 1
            if "too much work" not in str(reason) and "may be empty" not in str(reason):
                self.fail(f"{result.name}: FAILED: {reason}")
            return
        for text, answer in zip(texts, given):
            with quiet():
                right = or_none(pieces_of, package, text, False)
            if right is not None:
                result.check("c", answer, right, text)
        self.close(result)

    def close(self, result):
        self.answers += sum(result.asked.values())
        if result.wrong:
            self.fail(result.name + "\n" + "\n".join(result.examples))

    def check(self, result, package, sections, texts, letters):
        requests, wanted = self.questions(package, sections, texts, letters)
        given = Driver(self.program, self.folder).answers(requests)
        for (letter, subject), answer, right in zip(requests, given, wanted):
            if right is not None:
                result.check(letter, answer, right, subject)

    def questions(self, package, sections, texts, letters):
        """What the driver is asked, and the package's answers."""
        level = has_byte_level(sections.get("pre_tokenizer"))
        kinds = {"e": lambda text: package.encode(text).ids}
        if sections.get("normalizer"):
            kinds["n"] = package.normalizer.normalize_str
        if sections.get("pre_tokenizer"):
            kinds["c"] = lambda text: pieces_of(package, text, level)
        requests, wanted = [], []
        for letter in (letter for letter in letters if letter in kinds):
            requests += [(letter, text) for text in texts]
            with quiet():
                wanted += [or_none(kinds[letter], text) for text in texts]
        if "e" in letters:
            requests += [("e", text) for text in INVALID]
            wanted += [kinds["e"](text.decode(errors="replace")) for text in INVALID]
        if "decoder" in sections:
            lists = self.id_lists(package.get_vocab_size(),
                                  [package.encode(text).ids for text in texts])
            for letters_, skip in (("ds", True), ("DS", False)):
                for letter in letters_:
                    requests += [(letter, ids) for ids in lists]
                with quiet():
                    wanted += 2 * [or_none(package.decode, ids, skip_special_tokens=skip)
                                   for ids in lists]
        return requests, wanted

    def id_lists(self, size, of_texts):
        pools = [range(size), range(3, 20), range(1, 300)]
        own = [[self.random.choice(self.random.choice(pools))
                for _ in range(self.random.randrange(12))] for _ in range(300)]
        return of_texts + own


def over_all_characters():
    """Every character between marks of the highest and the lowest class, and by itself."""
    for begin in range(0, len(ALL), 256):
        chunk = ALL[begin:begin + 256]
        yield "".join(f"a\u0345{char}\u0334b {char} " for char in chunk)


def run(sections):
    for value in normalizers():
        sections.compare({"normalizer": value})
    for value in pre_tokenizers():
        sections.compare({"pre_tokenizer": value})
    for value in decoders():
        sections.compare({"decoder": value}, sections.texts[::3])
    for value in post_processors(sections.models[False]["vocab"]):
        sections.compare({"post_processor": value}, sections.texts[::5])
    first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    for value in normalizers():
        sections.compare({"normalizer": value, "pre_tokenizer": first}, letters="e")
    for section, value in REFUSED:
        sections.refuse(section, value)
    rng = random.Random(sections.seed)
    for expression in compile_expressions(rng, sections.expressions):
        sections.compare_random(rng, expression)
    everything = list(over_all_characters())
    for form in FORMS + ("Lowercase",):
        sections.compare({"normalizer": {"type": form}}, everything, "n")
    runs = ["".join(ALL[begin:begin + 8192]) for begin in range(0, len(ALL), 8192)]
    for value in [split("Regex", expression) for expression in OVER_ALL] + [
            {"type": "Punctuation"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
            {"type": "Digits", "individual_digits": False}]:
        sections.compare({"pre_tokenizer": value}, runs, "c")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver")
    parser.add_argument("--strings", type=int, default=60, help="drawn for each construct")
    parser.add_argument("--expressions", type=int, default=80, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if tokenizers.__version__ != VERSION:
        sys.exit(f"FAILED: the package is {tokenizers.__version__}, expected {VERSION}")
    BYTES.update(byte_level_alphabet())
    with tempfile.TemporaryDirectory() as folder:
        novel = pathlib.Path(folder) / "text"
        novel.write_text(TEXT)
        source = strings.Strings(arguments.seed, [novel], ["<s>", "<add>"])
        drawn = [source.next()[:600] for _ in range(arguments.strings)]
        sections = Sections(arguments.driver, folder, SPECIAL + [TEXT] + drawn, arguments.seed,
                            arguments.expressions)
        run(sections)
    print(f"tokenizers {VERSION}, seed {arguments.seed}: {sections.cases} files, "
          f"{sections.answers} answers, {len(sections.wrong)} files with differences; "
          f"{sections.refused} random expressions refused for their work or for counting nothing")
    sys.exit(1 if sections.wrong else 0)


if __name__ == "__main__":
    main()
