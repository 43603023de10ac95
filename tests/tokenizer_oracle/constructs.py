"""Every construct of each section of tokenizer.json, as it stands in the file."""
from expressions import DEEPSEEK, EXPRESSIONS

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
    for first, second in ((0, 4), (4, 0), (3, 4), (1, 17), (6, 9), (9, 6),
                          (-1, 6), (2, -1), (4, 5)):
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
    "[a[b]]", "[a&&b]", "[[:alpha:]]", "[]a]", r"\p{Alpha}", r"\p{C}", r"\p{Cn}", r"\p{Mn}",
    "a{2}?", "a**", "(?i:ss)", "(?i:st)", "(?i:é)", r"(?i:\p{L})", "(?#c)a", "(?~a)", r"[\D]",
    "(?<=a+)b", "(?y{g})a", "a{x", r"\101", "(?<n>a)")]
