"""Texts that go wrong where texts can go wrong."""
ALL = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]

TEXT = """It's a test: the "quick" brown fox (1/2) can't jump over 12345 dogs, we'LL see!
    def f(x):\n\treturn x ** 2  # squared\r\n\r\nÜber die Brücke — naïve façade. \
Привет, мир! 你好，世界。
こんにちは 한국어 안녕 हिन्दी ภาษาไทย עברית العربية ١٢٣ ½ ﬁ Ⅷ ²  \n\n\n   end_of_text   """

SPECIAL = [
    "", " ", "  ", "\n", "\0", "a\0b", "\u2028", "\u2029a", "\x85", "\u180e", "\u200b", "\ufeff",
    "a\u0301\u0323", "\u0301", "\u0301a", "e\u0323\u0301\u0345", "\uac00\u11a8", "\u1100\u1161",
    "\u1100\u1161\u11a8\u11a8", "\ue000\uf8ff", "\U000f0000", "\U0010ffff", "\uffff", "\u0378",
    "\U00011938", "\U00011935\U00011930", "a\u0345\u0898\u0334", "İI\u0131iſK", "ǅǆΣς", "▁a▁ b",
    "_ a_b  c", " a", "a ", "<s>", "<s>a", "a<s>b", " <s> a", "<add>a b", "a<add>", "\ufdfa\ufb03",
    "\u1e9b\u0323", "\u212b\u2126", "\u0344\u0958\u2adc", "a-b--c-", "--", "-", "1a22b333", "½²Ⅷ①",
    "\t\r\n\v\f \xa0\u1680\u2003\u202f\u205f\u3000a", "a.b,c;!?«»—…", "ß ss ẞ ﬆ ﬀ", "''s'S'ſ'll",
    "x" * 300, "ab" * 200, " " * 300, "\u0301" * 300, "\u0301\u0323" * 150, "\n \n" * 100]
INVALID = [b"\xff", b"a\xc3", b"\xc3(", b"\xe4\xb8", b"\xe4\xb8 a", b"\xf0\x9f\x98",
           b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\x80\xbf b",
           b"\xf8\x88\x80\x80\x80", b" \xe2\x96 a"]


def random_text(rng):
    return "".join(rng.choice("aabbxé1 \n中K\u017f\u212a\u0301-") for _ in range(rng.randrange(14)))


def over_all_characters():
    """Every character between marks of the highest and the lowest class, and by itself."""
    for begin in range(0, len(ALL), 256):
        chunk = ALL[begin:begin + 256]
        yield "".join(f"a\u0345{char}\u0334b {char} " for char in chunk)
