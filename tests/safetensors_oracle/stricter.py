"""Why may our reader refuse what the package accepts? The rules that are stricter on purpose."""

import json
import struct

# Types that the package knows and we do not read (code 4, not 5).
UNREAD_TYPES = {"F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ",
                "F8_E5M2FNUZ", "C64"}
KEYS = {"dtype", "shape", "data_offsets"}
MAX_DIMENSION = 2**48


def twice(pairs):
    names = [name for name, _ in pairs]
    return len(names) != len(set(names))


def depth(value):
    if isinstance(value, tuple):
        return 1 + max([depth(v) for _, v in value], default=0)
    if isinstance(value, list):
        return 1 + max([depth(v) for v in value], default=0)
    return 0


def overflows(shape):
    product = 8
    for dim in shape:
        product *= dim
        if product >= 2**63:
            return True
    return False


def has_control(name):
    return any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name)


def explain(whole):
    """The first rule by which a file that the package accepts is refused; None if there is none."""
    length = struct.unpack("<Q", whole[:8])[0]
    # Objects become tuples of pairs, so that keys that stand there twice are seen.
    header = json.loads(whole[8:8 + length].decode(), object_pairs_hook=tuple)
    if not isinstance(header, tuple):
        return None
    if depth(header) > 4:
        return "9 nesting deeper than 4"
    if twice(header):
        return "10 tensor name twice"
    for name, entry in header:
        if name == "__metadata__":
            if not isinstance(entry, tuple):
                return "28 metadata is no object"
            if twice(entry):
                return "11 metadata key twice"
            continue
        if not isinstance(entry, tuple):
            return "13 entry is no object"
        if twice(entry):
            return "11 entry key twice"
        if {key for key, _ in entry} - KEYS:
            return "12 entry key unknown"
        members = dict(entry)
        if not isinstance(members["dtype"], str):
            return "14 dtype is no string"
        if members["dtype"] in UNREAD_TYPES:
            return "15 dtype that we do not read"
        if len(members["shape"]) > 8:
            return "17 rank above 8"
        if any(dim > MAX_DIMENSION for dim in members["shape"]):
            return "16 dimension above 2^48"
        if overflows(members["shape"]):
            return "18 product overflows before a zero"
        if not name or len(name.encode()) > 512 or has_control(name):
            return "30 name empty, too long or with control characters"
    return None
