"""A small tokenizer.json around one construct, and the pieces that its pre-tokenizer makes."""
import random

from package import tokenizers


def byte_level_alphabet():
    """Printable Latin-1 characters stand for themselves, the other bytes are in order behind."""
    spelled = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    rest = iter(sorted(char for char in spelled if ord(char) > 0xFF))
    return {chr(code) if chr(code) in spelled else next(rest): code for code in range(256)}


BYTES = byte_level_alphabet()  # characters to bytes


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


def bytes_of(piece):
    return bytes(BYTES[character] for character in piece)


def pieces_of(package, text, byte_level):
    pieces = [piece for piece, _ in package.pre_tokenizer.pre_tokenize_str(text) if piece]
    raw = [bytes_of(piece) if byte_level else piece.encode() for piece in pieces]
    return b"".join(b"%d:" % len(piece) + piece for piece in raw).decode(errors="surrogateescape")
