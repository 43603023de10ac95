"""What the `tokenizers` package takes each code point for: shared by the scripts that write tables."""

CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def members(step):
    """The code points that a pre-tokenizer step with behaviour `removed` takes out."""
    found = set()
    for begin in range(0, len(CODE_POINTS), 4096):
        chunk = CODE_POINTS[begin:begin + 4096]
        kept = set()
        for _, (first, end) in step.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(first, end))
        found.update(code for at, code in enumerate(chunk) if at not in kept)
    return found
