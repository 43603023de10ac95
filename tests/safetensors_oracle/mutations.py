"""Safetensors files, damaged: the same number gives the same file."""

import json
import random
import struct

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
         "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
OTHER_TYPES = ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F4", "C64", "f32", "F33", "", "F128"]
NUMBERS = [0, 1, 2, 3, 4, 7, 8, 16, -1, 255, 2**31, 2**32, 2**48, 2**48 + 1, 2**62, 2**63 - 1,
           2**63, 2**64 - 1, 2**64, 1.0, 1.5, 1e2, True, None, "1", [], {}]
NAMES = ["a", "b", "w", "", "__metadata__", "model.layers.0.q", "n\n", "n\x00", "\x7f", "\u0085",
         "\u00e9", "\U0001f600", "x" * 512, "x" * 513, "dtype"]
PIECES = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"0", b"-", b".", b"e1", b"null", b"true",
          b" ", b"\n", b"\t", b"\x00", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\\u0061", b"\\ud800",
          b"/*x*/", b"NaN", b"\xef\xbb\xbf", b'"x":1,', b'"dtype":"F32",', b'"shape":[1],',
          b'"__metadata__":{"a":"b"},']


class Pairs(list):
    """A JSON object that may hold a key twice."""


def dump(value):
    if isinstance(value, Pairs):
        return "{" + ",".join(json.dumps(k) + ":" + dump(v) for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump(v) for v in value) + "]"
    return json.dumps(value)


def good_file(rng):
    """Header and data of a file that breaks no rule."""
    header, at = Pairs(), 0
    if rng.random() < 0.4:
        header.append(("__metadata__", Pairs([("format", "pt"), ("k", "v")][: rng.randint(0, 2)])))
    for i in range(rng.randint(0, 4)):
        dtype = rng.choice(list(SIZES))
        shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randint(0, 4))]
        size = SIZES[dtype]
        for dim in shape:
            size *= dim
        header.append(("t%d" % i, Pairs([("dtype", dtype), ("shape", shape),
                                         ("data_offsets", [at, at + size])])))
        at += size
    if rng.random() < 0.5:
        rng.shuffle(header)
    return header, bytes(rng.randrange(256) for _ in range(at))


def entries(header):
    return [i for i, (name, value) in enumerate(header)
            if isinstance(value, Pairs) and name != "__metadata__"]


def change_entry(rng, header):
    where = entries(header)
    if not where:
        return
    i = rng.choice(where)
    name, entry = header[i][0], Pairs(header[i][1])
    keys = [k for k, _ in entry]
    kind = rng.randrange(9)
    if kind == 0:
        entry = Pairs((k, rng.choice(list(SIZES) + OTHER_TYPES) if k == "dtype" else v)
                      for k, v in entry)
    elif kind == 1:
        entry = Pairs((k, changed_list(rng, v) if k == "shape" else v) for k, v in entry)
    elif kind == 2:
        entry = Pairs((k, changed_list(rng, v) if k == "data_offsets" else v) for k, v in entry)
    elif kind == 3 and keys:
        gone = rng.choice(keys)
        entry = Pairs((k, v) for k, v in entry if k != gone)
    elif kind == 4:
        entry.append((rng.choice(["x", "offset", "Dtype", "dtype", "shape", "data_offsets"]),
                      rng.choice(NUMBERS + ["F32", [1], [0, 4]])))
    elif kind == 5:
        entry = Pairs((k, rng.choice(NUMBERS) if rng.random() < 0.4 else v) for k, v in entry)
    elif kind == 6:
        rng.shuffle(entry)
    elif kind == 7:
        header[i] = (name, rng.choice(NUMBERS + [[v for _, v in entry]]))
        return
    elif kind == 8:
        entry = Pairs((k, {v: None} if k == "dtype" and isinstance(v, str) else v)
                      for k, v in entry)
    header[i] = (name, entry)


def changed_list(rng, value):
    if not isinstance(value, list):
        return rng.choice(NUMBERS)
    value = list(value)
    kind = rng.randrange(5)
    if kind == 0:
        value.append(rng.choice(NUMBERS))
    elif kind == 1 and value:
        value.pop(rng.randrange(len(value)))
    elif kind == 2 and value:
        value[rng.randrange(len(value))] = rng.choice(NUMBERS)
    elif kind == 3 and value and isinstance(value[-1], int):
        value[rng.randrange(len(value))] = value[-1] + rng.choice([-8, -4, -1, 1, 4, 8])
    else:
        value = [1] * rng.randrange(6) + value
    return value


def change_header(rng, header):
    kind = rng.randrange(6)
    if kind < 3:
        change_entry(rng, header)
    elif kind == 3 and header:
        i = rng.randrange(len(header))
        header[i] = (rng.choice(NAMES), header[i][1])
    elif kind == 4 and header:
        header.insert(rng.randrange(len(header) + 1), rng.choice(header))
    else:
        value = rng.choice([None, [], "pt", 1, Pairs(), Pairs([("a", 1)]), Pairs([("a", None)]),
                            Pairs([("a", "1"), ("a", "2")]), Pairs([("n\n", "v")]),
                            Pairs([("a", Pairs())])])
        header.append(("__metadata__", value))


def change_bytes(rng, text):
    kind = rng.randrange(4)
    at = rng.randrange(len(text) + 1)
    if kind == 0 and at < len(text):
        return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1:]
    if kind == 1:
        return text[:at] + rng.choice(PIECES) + text[at:]
    if kind == 2:
        return text[:at] + text[at + rng.randint(1, 4):]
    end = min(len(text), at + rng.randint(1, 12))
    return text[:at] + text[at:end] + text[at:]


def file_of(number):
    rng = random.Random(number)
    header, data = good_file(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        change_header(rng, header)
    text = dump(header).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        text = b" " * rng.randrange(4) + text + b" " * rng.randrange(9)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        text = change_bytes(rng, text)
    length = len(text)
    if rng.random() < 0.04:
        length = rng.choice([0, 1, length - 1, length + 1, length + len(data), 10**8, 10**8 + 1,
                             2**63, 2**64 - 1, 2**64 - 8]) % 2**64
    if rng.random() < 0.08:
        data = rng.choice([data[:-1], data + b"x", data + bytes(8), b""])
    whole = struct.pack("<Q", length) + text + data
    if rng.random() < 0.02:
        whole = whole[: rng.randrange(len(whole) + 1)]
    return whole
