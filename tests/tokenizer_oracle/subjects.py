"""Which tokenizers are compared, and a tokenizer.json for those that come without one."""
import json
import pathlib
import sys

try:
    import gguf
except ImportError:
    print("MISSING the gguf package (make oracles): nothing was compared")
    sys.exit(77)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
DATA = SHARED / "data" / "tokenizers"

ENDING = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+<S>"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*<S>")
# Split patterns that no tokenizer here has of its own; each is put before GPT-2's vocabulary.
PATTERNS = {
    "gpt4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
            r"|\s*[\r\n]|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
              r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "r50k": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "o200k": CASED.replace("<S>", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?") +
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + ENDING,
    "tekken": CASED.replace("<S>", "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + ENDING,
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + ENDING,
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
              "use_regex": True}


def added(id_, content, **flags):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} | flags


def document(model, added_tokens, normalizer, pre_tokenizer, decoder):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": None,
            "decoder": decoder,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False} | model}


def with_pattern(base, regex):
    """The same vocabulary behind another split pattern."""
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    steps = [split, BYTE_LEVEL | {"use_regex": False}]
    return base | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}


def gpt2():
    folder = DATA / "gpt2"
    vocab = json.loads((folder / "vocab.json").read_text())
    merges = (folder / "merges.txt").read_text().splitlines()
    end = added(vocab["<|endoftext|>"], "<|endoftext|>")
    return document({"vocab": vocab, "merges": merges}, [end], None, BYTE_LEVEL, BYTE_LEVEL)


class Metadata:
    """The tokenizer of a GGUF file."""

    def __init__(self, path):
        self.fields = gguf.GGUFReader(path).fields
        self.tokens = self.get("tokens")
        self.types = [gguf.TokenType(kind) for kind in self.get("token_type")]

    def get(self, name):
        return self.fields["tokenizer.ggml." + name].contents()

    def of_type(self, kind):
        return [id_ for id_, own in enumerate(self.types) if own == kind]


def gpt_neox():
    source = Metadata(DATA / "gpt-neox-mpt" / "ggml-vocab-mpt.gguf")
    special = source.of_type(gguf.TokenType.CONTROL)
    spaces = source.of_type(gguf.TokenType.USER_DEFINED)
    vocab = {source.tokens[id_]: id_ for id_ in special + source.of_type(gguf.TokenType.NORMAL)}
    tokens = [added(id_, source.tokens[id_]) for id_ in special]
    tokens += [added(id_, source.tokens[id_], normalized=True, special=False) for id_ in spaces]
    return document({"vocab": vocab, "merges": source.get("merges")}, tokens, {"type": "NFC"},
                    BYTE_LEVEL, BYTE_LEVEL)


def merges_of(vocab, scores):
    """Every way to make a token of two, better scores first: what SentencePiece's BPE does."""
    found = []
    for token, score in scores.items():
        for at in range(1, len(token)):
            left, right = token[:at], token[at:]
            if left in vocab and right in vocab:
                found.append((-score, vocab[token], vocab[left], vocab[right], left, right))
    found.sort()
    return [[left, right] for *_, left, right in found]


def phi3():
    source = Metadata(DATA / "phi-3" / "ggml-vocab-phi-3.gguf")
    normal = source.of_type(gguf.TokenType.NORMAL)
    others = [id_ for id_ in range(len(source.tokens)) if source.types[id_] != gguf.TokenType.NORMAL
              and source.types[id_] != gguf.TokenType.BYTE]
    scores = source.get("scores")
    vocab = {token: id_ for id_, token in enumerate(source.tokens) if id_ < 32000}
    merges = merges_of(vocab, {source.tokens[id_]: scores[id_] for id_ in normal})
    keeps_spaces = {"<unk>", "<s>", "<|endoftext|>"}
    tokens = [added(id_, source.tokens[id_], rstrip=source.tokens[id_] not in keeps_spaces,
                    special=source.tokens[id_] != "</s>") for id_ in others]
    mark = "\u2581"
    normalizer = [{"type": "Prepend", "prepend": mark},
                  {"type": "Replace", "pattern": {"String": " "}, "content": mark}]
    decoder = [{"type": "Replace", "pattern": {"String": mark}, "content": " "},
               {"type": "ByteFallback"}, {"type": "Fuse"},
               {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    return document({"vocab": vocab, "merges": merges, "unk_token": "<unk>", "fuse_unk": True,
                     "byte_fallback": True}, tokens,
                    {"type": "Sequence", "normalizers": normalizer}, None,
                    {"type": "Sequence", "decoders": decoder})


def with_flags(base, contents):
    """Added tokens with every combination of flags, over contents that overlap."""
    taken = set(base["model"]["vocab"]) | {token["content"] for token in base["added_tokens"]}
    highest = max(max(base["model"]["vocab"].values()),
                  max(token["id"] for token in base["added_tokens"]))
    tokens = []
    for content in dict.fromkeys(contents):
        if content in taken:
            continue
        bits = len(tokens) * 11 % 32
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        flags = {name: bool(bits >> bit & 1) for bit, name in enumerate(names)}
        tokens.append(added(highest + 1 + len(tokens), content) | flags)
    replace = {"type": "Replace", "pattern": {"String": "Q"}, "content": "q"}
    normalizer = base["normalizer"]
    steps = [replace] if normalizer is None else normalizer["normalizers"] + [replace]
    return base | {"added_tokens": base["added_tokens"] + tokens,
                   "normalizer": {"type": "Sequence", "normalizers": steps}}


OVERLAPPING = ["<a>", "<a", "a>", "<a><b>", "<b>", "b><", "Qq", "qQ", "Qa ", " Qb", "  ", "   ",
               "\n\n", "word", "words", "Qword", "über", "\u0301", "e\u0301", "_x", "x_", "12",
               "123", "[INST]", "[/INST]", "<|q|>", "<|Q|>", "<|Q", "Q|>", " <a>", "<a> ",
               "don't", "'",
               "中", "中文", "🙂", "🙂🙂", "\u200d", "\u00a0", "A\u030a", "…", "....", "--", "-q-"]


def read(path):
    return json.loads((path / "tokenizer.json").read_text())


def subjects(folder):
    """Name and folder of each tokenizer; those made here are written below `folder`."""
    novels = REPOSITORY / "models" / "tiny-novels"
    stories = SHARED / "models" / "stories260K"
    made = {"gpt2": gpt2, "gpt-neox": gpt_neox, "phi-3": phi3,
            "novels-flags": lambda: with_flags(read(novels), OVERLAPPING),
            "stories-flags": lambda: with_flags(read(stories), OVERLAPPING)}
    for name, regex in PATTERNS.items():
        made[f"gpt2-{name}"] = lambda regex=regex: with_pattern(gpt2(), regex)
    found = {"qwen3": DATA / "qwen3", "smollm2": REPOSITORY / "build" / "models" / "smollm2-135m",
             "tiny-novels": novels, "stories260k": stories}
    for name, make in made.items():
        found[name] = pathlib.Path(folder) / name
        found[name].mkdir(parents=True, exist_ok=True)
        (found[name] / "tokenizer.json").write_text(json.dumps(make(), ensure_ascii=False))
    return found


# Strings whose ids another implementation has published, by tokenizer.
VECTORS = {"qwen3": DATA / "qwen3" / "ggml-vocab-qwen2.gguf",
           "gpt2": DATA / "gpt2" / "ggml-vocab-gpt-2.gguf",
           "gpt-neox": DATA / "gpt-neox-mpt" / "ggml-vocab-mpt.gguf",
           "phi-3": DATA / "phi-3" / "ggml-vocab-phi-3.gguf"}


def vectors(name):
    base = VECTORS[name]
    texts = pathlib.Path(f"{base}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = pathlib.Path(f"{base}.out").read_text().split("\n")
    return [(text, [int(id_) for id_ in line.split()]) for text, line in zip(texts, lines)]


if __name__ == "__main__":  # subjects.py FOLDER: writes those that are made below FOLDER
    for subject in subjects(sys.argv[1]).items():
        print(*subject)
