"""Regular expressions: those of real files, each construct that we take, and random ones."""
from package import tokenizers

# Expressions of real files, and one for each construct that we say in PCRE2.
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
EXPRESSIONS = [
    DEEPSEEK, r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", "[0-9][0-9][0-9]", "[\r\n]", r"\s?\p{L}+",
    r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"(?=(\d{3})+(?!\d))", "a",
    r"'(?i:[sdmt]|ll|ve|re)|\p{L}++|\p{N}{1,3}+|[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s",
    r"\w+", r"\W+", r"\d+", r"\D+", r"\s+", r"\S+", r"\h+", r"\H+", r"\b", r"\B", r"\bthe\b", "^",
    "$", r"\A.", r".\z", r".\Z", r"\Z", r"\z", ".", ".+", "a|b|", "a*", "a*?b", "a+?", "a??b",
    "a{2}", "a{2,}", "a{,2}", "a{1,2}", "a{1,2}?", "a{2}+", "a{1,2}+b", "a{,2}+b", "[ab]{1,}+ ",
    "a{2,3}+", r"\w{1,2}?+-", "(ab)+", "(?:ab)*c", "(?>a*)b", "(?=b)", "(?!b)a", "(?<=a)b",
    "(?<!a)b", "(?<=a|xx)b", "(?i:ab)", "(?i)ab|C", "(?i:k|[s])",
    r"[\s\S]", r"[^\s]+", r"[\w-]+", r"[-a]+", r"[a-]+", r"[^a-c]+", r"[\p{L}\d_]+", r"[\S]+",
    r"[\h.]+", r"\x61", r"\x{4F60}", r"\u4f60", r"[\u4e00-\u9fff]+", r"\p{^L}+", r"\P{L}+",
    r"[\x{AC00}-\x{D7A3}]+", r"\t|\n|\r|\f|\v|\a|\e", r"\.\*\+\?\(\)\[\]\{\}\|\^\$\-\/\#\ ", "#",
    " ", "}", "]", "(?:)", "(a|b)*?c", "(?:a|b)++c", r"(?:\s|^)a", r"x(?=\s|$)", "[一二]", "\0",
    "|".join(rf"\p{{{name}}}+" for name in
             "Lu Ll Lt Lm Lo Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po "
             "Sm Sc Sk So Zs Zl Zp Cc Co".split()),
    "|".join(rf"\p{{{name}}}+" for name in "LMNPSZ"),
    "|".join(rf"\p{{{name}}}+" for name in
             "Arabic Armenian Bengali Cyrillic Devanagari Georgian Greek Gujarati Gurmukhi Han "
             "Hangul Hebrew Hiragana Katakana Khmer Lao Latin Malayalam Myanmar Tamil Telugu Thai "
             "Tibetan".split())]
OVER_ALL = [EXPRESSIONS[-3], EXPRESSIONS[-1], r"\w+", r"\s", r"\p{P}+|\p{S}+", r"\d+"]


def random_expression(rng, depth=1):
    """Of the constructs that we take, over the letters of random_text()."""
    def atom():
        kinds = ["a", "b", "x", " ", "é", "中", r"\n", ".", r"\s", r"\S", r"\w", r"\W", r"\d",
                 r"\D", r"\p{L}", r"\p{Lu}", r"\P{L}", r"\p{N}", r"\p{M}", "[ab]", "[^a\\n]",
                 r"[\w ]",
                 "[a-c1-9]", r"[^\s\p{L}]", r"\p{Han}", "(?i:k)", "(?i:[sb])"]
        if depth == 0 or rng.random() < 0.6:
            return rng.choice(kinds)
        opening = rng.choice(("(", "(?:", "(?:", "(?>"))
        return opening + random_expression(rng, depth - 1) + ")"

    def item():
        if rng.random() < 0.12:
            around = rng.choice(("(?=", "(?!", "(?<=", "(?<!"))
            inside = rng.choice(("a", "b", r"\s", r"\S", r"\w", r"\p{L}", "[ab]", "é"))
            return rng.choice((around + inside + ")", "^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z"))
        repeats = ("", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}",
                   "{1,2}",
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
