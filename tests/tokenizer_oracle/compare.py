#!/usr/bin/env python3
"""Compares the ids and texts of tokenizer_driver with those of the `tokenizers` package.

Ends with 1 if anything differs, after a table of what was compared, or if there is no tokenizer of
the name asked for, and with 77 if what it needs is not there."""
import argparse
import random
import struct
import subprocess
import sys
import tempfile

import strings
import subjects
from package import VERSION, tokenizers

TEXTS = [subjects.SHARED / "data" / "text" / "tinyshakespeare.txt",
         subjects.SHARED / "data" / "text" / "c4.utf8",
         subjects.SHARED / "data" / "eval" / "wikitext-2-raw" / "wiki.test.raw",
         subjects.REPOSITORY / "src" / "io" / "json.cpp"]
SHOWN = 3  # differences of one kind


def packed(item):
    if isinstance(item, str):
        item = item.encode()
    if isinstance(item, bytes):
        return struct.pack("<i", len(item)) + item
    return struct.pack(f"<{len(item) + 1}i", len(item), *item)


class Failed(Exception):
    """The driver gave up."""


class Driver:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def answers(self, requests):
        """The answer to each (letter, item, ...): a list of ids or a text."""
        data = b"".join(letter.encode() + b"".join(map(packed, items))
                        for letter, *items in requests)
        done = subprocess.run([self.program, self.folder], input=data, capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(done.stderr.decode().strip())
        at = 0
        for letter, *_ in requests:
            (count,) = struct.unpack_from("<i", done.stdout, at)
            at += 4
            if letter in "ep":
                yield list(struct.unpack_from(f"<{count}i", done.stdout, at))
                at += 4 * count
            else:
                yield done.stdout[at:at + count].decode(errors="surrogateescape")
                at += count


class Comparison:
    """What one tokenizer was asked, and where the answers differ."""

    def __init__(self, name):
        self.name = name
        self.asked, self.wrong, self.examples = {}, {}, []

    def check(self, kind, given, wanted, subject):
        self.asked[kind] = self.asked.get(kind, 0) + 1
        if given == wanted:
            return
        self.wrong[kind] = self.wrong.get(kind, 0) + 1
        if self.wrong[kind] <= SHOWN:
            self.examples.append(f"  {kind} of {subject!r}\n    ours     {given!r:.600}\n"
                                 f"    package  {wanted!r:.600}")

    def print(self, other_nfc):
        counts = ", ".join(f"{kind} {asked - self.wrong.get(kind, 0)}/{asked}"
                           for kind, asked in self.asked.items())
        print(f"{self.name}: {counts}; NFC of another Unicode version: {other_nfc}", flush=True)
        for example in self.examples:
            print(example)


def id_lists(rng, package, some_ids, count):
    """Random ids, some beyond the vocabulary, and runs of tokens that are single bytes."""
    size = package.get_vocab_size()
    vocab = package.get_vocab()
    names = [f"<0x{byte:02X}>" for byte in range(256)] if "<0x00>" in vocab else None
    alphabet = [token for token in vocab if len(token) == 1]
    single = [vocab[name] for name in names or alphabet if name in vocab]
    for _ in range(count):
        kinds = (lambda: rng.randrange(size), lambda: rng.choice(single),
                 lambda: rng.choice(some_ids), lambda: size + rng.randrange(100))
        weights = rng.choice(((1, 0, 0, 0), (0, 1, 0, 0), (3, 6, 3, 1), (0, 1, 1, 0)))
        length = int(rng.expovariate(1 / 12))
        yield [kind() for kind in rng.choices(kinds, weights, k=length)]


def has_nfc(package):
    return package.normalizer is not None and "NFC" in repr(package.normalizer)


def compare(name, folder, program, count, seed):
    package = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = [token.content for token in package.get_added_tokens_decoder().values()]
    source = strings.Strings(seed, TEXTS, added)
    texts = [source.next() for _ in range(count)]
    driver = Driver(program, folder)
    result = Comparison(name)
    wanted = [encoding.ids for encoding in package.encode_batch(texts)]

    other_nfc = set()
    if has_nfc(package):
        for text, given in zip(texts, driver.answers([("n", text) for text in texts])):
            if given != package.normalizer.normalize_str(text):
                other_nfc.add(text)
    for text, ids, given in zip(texts, wanted, driver.answers([("e", text) for text in texts])):
        if text not in other_nfc:
            result.check("ids", given, ids, text)

    compare_plain(result, package, driver, texts[::10], other_nfc)
    rng = random.Random(seed)
    some_ids = [id_ for ids in wanted[:1000] for id_ in ids] or [0]
    compare_decoding(result, package, driver,
                     wanted[::4] + list(id_lists(rng, package, some_ids, count // 4)))
    if name in subjects.VECTORS:
        compare_vectors(result, driver, subjects.vectors(name))
    result.print(len(other_nfc))
    return result, len(other_nfc)


def compare_plain(result, package, driver, texts, other_nfc):
    """Special tokens as ordinary text. Where tokens overlap, the package drops more than we do."""
    if result.name.endswith("-flags"):
        return
    package.encode_special_tokens = True
    requests = [("p", [0, len(text.encode())], text) for text in texts]
    for text, given in zip(texts, driver.answers(requests)):
        if text not in other_nfc:
            result.check("plain ids", given, package.encode(text).ids, text)
    package.encode_special_tokens = False


def compare_decoding(result, package, driver, lists):
    for letter, skip in (("d", True), ("D", False)):
        wanted = [package.decode(ids, skip_special_tokens=skip) for ids in lists]
        stream = letter.replace("d", "s").replace("D", "S")
        for kind, request in (("text", letter), ("streamed", stream)):
            given = driver.answers([(request, ids) for ids in lists])
            for ids, text, right in zip(lists, given, wanted):
                result.check(kind, text, right, ids)


def compare_vectors(result, driver, vectors):
    given = driver.answers([("e", text) for text, _ in vectors])
    for (text, ids), own in zip(vectors, given):
        result.check("vectors", own, ids, text)


def missing(found):
    files = [folder / "tokenizer.json" for folder in found.values()] + TEXTS
    return [path for path in files if not path.exists()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver")
    parser.add_argument("--strings", type=int, default=20000, help="of all tokenizers together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="name of one tokenizer")
    arguments = parser.parse_args()
    if not subjects.DATA.is_dir():
        print(f"MISSING {subjects.DATA}: nothing was compared")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        found = subjects.subjects(folder)
        if arguments.only not in (None, *found):
            sys.exit(f"FAILED: there is no {arguments.only}, only {', '.join(found)}")
        for path in missing(found):
            print(f"MISSING {path}: NOT COMPARED")
        found = {name: at for name, at in found.items()
                 if (at / "tokenizer.json").exists() and arguments.only in (None, name)}
        if not found:
            print("MISSING all of the tokenizers asked for: nothing was compared")
            sys.exit(77)
        count = -(-arguments.strings // len(found))
        results, failed = [], 0
        for name, at in found.items():
            try:
                results.append(compare(name, at, arguments.driver, count, arguments.seed))
            except Failed as reason:
                print(f"{name}: FAILED: {reason}", flush=True)
                failed += 1
    compared = sum(result.asked["ids"] for result, _ in results)
    wrong = sum(sum(result.wrong.values()) for result, _ in results)
    print(f"tokenizers {VERSION}, seed {arguments.seed}: {compared} strings and "
          f"{sum(sum(result.asked.values()) for result, _ in results) - compared} other answers of "
          f"{len(results)} tokenizers, {wrong} differences, {failed} failures; "
          f"{sum(apart for _, apart in results)} strings apart for their NFC")
    sys.exit(1 if wrong or failed else 0)


if __name__ == "__main__":
    main()
