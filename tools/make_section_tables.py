#!/usr/bin/env python3
"""Writes the tables in which the sections of tokenizer.json differ from the libraries we use.

Normalizers, pre-tokenizers and regular expressions of the `tokenizers` package each know another
version of Unicode; its answers are what our ids must agree with. So they are asked of the package
(pip install tokenizers==0.23.3), code point by code point, and compared with utf8proc and PCRE2 as
installed (libutf8proc2 2.8.0 with Unicode 15, libpcre2-8-0 10.42 with Unicode 14).
"""
import argparse
import ctypes
import pathlib

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers
from unicode_oracle import CODE_POINTS, members

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cn Co").split()
SCRIPTS = ("Arabic Armenian Bengali Cyrillic Devanagari Georgian Greek Gujarati Gurmukhi Han "
           "Hangul Hebrew Hiragana Katakana Khmer Lao Latin Malayalam Myanmar Tamil Telugu Thai "
           "Tibetan").split()


class Utf8proc:
    """The decompositions, classes and lower case of libutf8proc."""
    STABLE, COMPAT, COMPOSE, DECOMPOSE = 2, 4, 8, 16
    FORMS = {"NFC": STABLE | COMPOSE, "NFD": STABLE | DECOMPOSE,
             "NFKC": STABLE | COMPOSE | COMPAT, "NFKD": STABLE | DECOMPOSE | COMPAT}

    def __init__(self):
        self.lib = ctypes.CDLL("libutf8proc.so.2")
        self.lib.utf8proc_map.restype = ctypes.c_ssize_t
        self.lib.utf8proc_map.argtypes = [
            ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
        self.free = ctypes.CDLL(None).free
        self.free.argtypes = [ctypes.c_void_p]

    def normalize(self, text, form):
        found, data = ctypes.c_void_p(), text.encode()
        size = self.lib.utf8proc_map(data, len(data), ctypes.byref(found), self.FORMS[form])
        result = ctypes.string_at(found.value, size).decode()
        self.free(found)
        return result

    def lower(self, code):
        return self.lib.utf8proc_tolower(code)


class Pcre2:
    """The code points that one item of a pattern matches."""
    UTF, UCP, ANCHORED = 0x00080000, 0x00020000, 0x80000000

    def __init__(self):
        library = ctypes.CDLL("libpcre2-8.so.0")
        for name in ("compile", "match_data_create_from_pattern"):
            getattr(library, f"pcre2_{name}_8").restype = ctypes.c_void_p
        self.lib = library

    def matching(self, pattern):
        error, place = ctypes.c_int(), ctypes.c_size_t()
        text = pattern.encode()
        code = ctypes.c_void_p(self.lib.pcre2_compile_8(
            text, ctypes.c_size_t(len(text)), self.UTF | self.UCP, ctypes.byref(error),
            ctypes.byref(place), None))
        assert code, (pattern, error.value)
        data = ctypes.c_void_p(self.lib.pcre2_match_data_create_from_pattern_8(code, None))
        found = set()
        for point in CODE_POINTS:
            subject = chr(point).encode()
            if self.lib.pcre2_match_8(code, subject, ctypes.c_size_t(len(subject)),
                                      ctypes.c_size_t(0), 0, data, None) > 0:
                found.add(point)
        self.lib.pcre2_match_data_free_8(data)
        self.lib.pcre2_code_free_8(code)
        return found


def ranges(codes):
    found = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def newer_in_normalization(utf8proc):
    """What utf8proc takes apart, puts together or reorders and the package leaves alone."""
    steps = {form: getattr(normalizers, form)() for form in Utf8proc.FORMS}

    def differs(text, forms=tuple(steps)):
        return any(steps[form].normalize_str(text) != utf8proc.normalize(text, form)
                   for form in forms)

    # U+0345 has the highest combining class and U+0334 the lowest: any other class moves.
    found = {code for code in CODE_POINTS
             if differs(chr(code)) or differs(f"a\u0345{chr(code)}b", ("NFD",))
             or differs(f"a{chr(code)}\u0334b", ("NFD",))}
    for code in found:
        for form, step in steps.items():
            for text in (chr(code), f"a\u0345{chr(code)}b", f"a{chr(code)}\u0334b"):
                assert step.normalize_str(text) == text, hex(code)
    # Nor may the parts of a newer character become it.
    for code in sorted(found):
        parts = utf8proc.normalize(chr(code), "NFD")
        if len(parts) > 1 and utf8proc.normalize(parts, "NFC") == chr(code):
            found.add(ord(parts[-1]))
    return found


def newer_lower_case(utf8proc):
    step = normalizers.Lowercase()
    for code in CODE_POINTS:
        lower = step.normalize_str(chr(code))
        if lower == chr(utf8proc.lower(code)):
            continue
        if code == 0x130:  # the only one that becomes two, as the code knows
            assert lower == "i\u0307"
            continue
        assert len(lower) == 1
        yield code, ord(lower)


def punctuation():
    return members(pre_tokenizers.Punctuation("removed"))


def newer_in_patterns(pcre2):
    """What the package's \\p{X} matches and PCRE2's does not; nothing is the other way round but
    for what was not assigned and for one character that changed its kind of mark."""
    for name in CATEGORIES + SCRIPTS:
        wanted = members(pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed"))
        found = pcre2.matching(rf"\p{{{'sc:' if name in SCRIPTS else ''}{name}}}")
        surplus = found - wanted
        assert name == "Cn" or surplus <= {0x1171E}, (name, sorted(map(hex, surplus)))
        if name != "Cn":
            yield name, ranges(wanted - found)
    # Within brackets \w is less by those of Latin-1.
    word = members(pre_tokenizers.Split(Regex(r"\w"), "removed"))
    assert word == members(pre_tokenizers.Split(Regex(WORD), "removed"))
    space = members(pre_tokenizers.Split(Regex(r"\s"), "removed"))
    assert ranges(space) == [[9, 13], [32, 32], [0x85, 0x85], [0xA0, 0xA0], [0x1680, 0x1680],
                             [0x2000, 0x200A], [0x2028, 0x2029], [0x202F, 0x202F],
                             [0x205F, 0x205F], [0x3000, 0x3000]]


# How the code spells \w, since PCRE2's is another.
WORD = (r"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\u00B2\u00B3\u00B9\u00BC-\u00BE\u24B6-\u24E9"
        r"\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}]")


def wrapped(entries):
    line = ""
    for entry in entries:
        if line and len(line) + 1 + len(entry) > 100:
            yield line
            line = ""
        line += (" " if line else "") + entry
    if line:
        yield line


def write(path, what, entries):
    header = (f"// Generated by tools/make_section_tables.py from tokenizers "
              f"{tokenizers.__version__}:\n// {what}\n")
    path.write_text(header + "\n".join(wrapped(entries)) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = pathlib.Path(__file__).parent.parent / "src/tokenizer"
    parser.add_argument("--folder", type=pathlib.Path, default=default)
    folder = parser.parse_args().folder
    utf8proc, pcre2 = Utf8proc(), Pcre2()

    def pairs(found):
        return [f"{{{first:#x}, {last:#x}}}," for first, last in found]

    write(folder / "newer_characters.inc",
          "runs of characters that its normalization does not know and utf8proc does.",
          pairs(ranges(newer_in_normalization(utf8proc))))
    write(folder / "newer_lower_case.inc",
          "characters with a lower case that utf8proc does not know, and that lower case.",
          pairs(newer_lower_case(utf8proc)))
    write(folder / "punctuation.inc", "runs of what its step Punctuation takes for it.",
          pairs(ranges(punctuation())))
    write(folder / "newer_in_patterns.inc",
          "runs of characters that \\p{X} of its expressions matches and PCRE2's does not.",
          [f"{{\"{name}\", {first:#x}, {last:#x}}}," for name, found in newer_in_patterns(pcre2)
           for first, last in found])


if __name__ == "__main__":
    main()
