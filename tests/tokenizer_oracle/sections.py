#!/usr/bin/env python3
"""Compares every construct of tokenizer.json's sections, one by one, with the `tokenizers` package.

Each case is a small tokenizer.json with one construct in it; ids, pieces, normalized and decoded
texts must be the package's. Ends with 1 at the first sign of a difference, after a list of the
cases that differ."""
import argparse
import contextlib
import json
import os
import pathlib
import random
import sys
import tempfile

import strings
from compare import Comparison, Driver, Failed
from constructs import (BEHAVIORS, FORMS, REFUSED, decoders, normalizers, post_processors,
                        pre_tokenizers, split)
from expressions import OVER_ALL, compile_expressions
from package import VERSION, tokenizers
from probe_texts import ALL, INVALID, SPECIAL, TEXT, over_all_characters, random_text
from small_files import document, has_byte_level, model, pieces_of


@contextlib.contextmanager
def quiet():
    """Where the package aborts, it prints a page."""
    own, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)
        os.close(nowhere)


def or_none(function, *arguments, **named):
    """None where the package aborts, as its Strip does on tokens shorter than `stop`, and its
    expressions where they take too long."""
    try:
        return function(*arguments, **named)
    except BaseException as error:  # pylint: disable=broad-except
        if type(error).__name__ != "PanicException":
            raise
        return None


class Sections:
    def __init__(self, program, folder, texts, seed, expressions=0):
        self.seed, self.expressions = seed, expressions
        self.program, self.folder = program, pathlib.Path(folder)
        self.texts, self.random = texts, random.Random(seed)
        self.models = {level: model(level) for level in (False, True)}
        self.cases = self.answers = self.refused = 0
        self.wrong = []

    def write(self, sections):
        level = has_byte_level(sections.get("pre_tokenizer")) or \
            has_byte_level(sections.get("normalizer"))
        text = json.dumps(document(self.models[level], sections))
        (self.folder / "tokenizer.json").write_text(text)
        return text

    def fail(self, what):
        self.wrong.append(what)
        print(what, flush=True)

    def refuse(self, section, value):
        text = self.write({section: value})
        tokenizers.Tokenizer.from_str(text)
        self.cases += 1
        try:
            list(Driver(self.program, self.folder).answers([]))
            self.fail(f"NOT REFUSED: {section} {value}")
        except Failed as reason:
            if "is not supported" not in str(reason):
                self.fail(f"refused with other words: {section} {value}: {reason}")

    def compare(self, sections, texts=None, letters="nce"):
        texts = self.texts if texts is None else texts
        package = tokenizers.Tokenizer.from_str(self.write(sections))
        result = Comparison(json.dumps(sections, ensure_ascii=False))
        self.cases += 1
        try:
            self.check(result, package, sections, texts, letters)
        except Failed as reason:
            self.fail(f"{result.name}: FAILED: {reason}")
            return
        self.close(result)

    def compare_random(self, rng, expression):
        """A random expression may take too much work, or count what may be empty."""
        value = split("Regex", expression, rng.choice(BEHAVIORS), rng.random() < 0.3)
        package = tokenizers.Tokenizer.from_str(self.write({"pre_tokenizer": value}))
        texts = [random_text(rng) for _ in range(200)]
        result = Comparison(json.dumps(value, ensure_ascii=False))
        self.cases += 1
        try:
            given = list(Driver(self.program, self.folder).answers([("c", t) for t in texts]))
        except Failed as reason:
            self.refused += 1
            if "too much work" not in str(reason) and "may be empty" not in str(reason):
                self.fail(f"{result.name}: FAILED: {reason}")
            return
        for text, answer in zip(texts, given):
            with quiet():
                right = or_none(pieces_of, package, text, False)
            if right is not None:
                result.check("c", answer, right, text)
        self.close(result)

    def close(self, result):
        self.answers += sum(result.asked.values())
        if result.wrong:
            self.fail(result.name + "\n" + "\n".join(result.examples))

    def check(self, result, package, sections, texts, letters):
        requests, wanted = self.questions(package, sections, texts, letters)
        given = Driver(self.program, self.folder).answers(requests)
        for (letter, subject), answer, right in zip(requests, given, wanted):
            if right is not None:
                result.check(letter, answer, right, subject)

    def questions(self, package, sections, texts, letters):
        """What the driver is asked, and the package's answers."""
        level = has_byte_level(sections.get("pre_tokenizer"))
        kinds = {"e": lambda text: package.encode(text).ids}
        if sections.get("normalizer"):
            kinds["n"] = package.normalizer.normalize_str
        if sections.get("pre_tokenizer"):
            kinds["c"] = lambda text: pieces_of(package, text, level)
        requests, wanted = [], []
        for letter in (letter for letter in letters if letter in kinds):
            requests += [(letter, text) for text in texts]
            with quiet():
                wanted += [or_none(kinds[letter], text) for text in texts]
        if "e" in letters:
            requests += [("e", text) for text in INVALID]
            wanted += [kinds["e"](text.decode(errors="replace")) for text in INVALID]
        if "decoder" in sections:
            lists = self.id_lists(package.get_vocab_size(),
                                  [package.encode(text).ids for text in texts])
            for letters_, skip in (("ds", True), ("DS", False)):
                for letter in letters_:
                    requests += [(letter, ids) for ids in lists]
                with quiet():
                    wanted += 2 * [or_none(package.decode, ids, skip_special_tokens=skip)
                                   for ids in lists]
        return requests, wanted

    def id_lists(self, size, of_texts):
        pools = [range(size), range(3, 20), range(1, 300)]
        own = [[self.random.choice(self.random.choice(pools))
                for _ in range(self.random.randrange(12))] for _ in range(300)]
        return of_texts + own


def run(sections):
    for value in normalizers():
        sections.compare({"normalizer": value})
    for value in pre_tokenizers():
        sections.compare({"pre_tokenizer": value})
    for value in decoders():
        sections.compare({"decoder": value}, sections.texts[::3])
    for value in post_processors(sections.models[False]["vocab"]):
        sections.compare({"post_processor": value}, sections.texts[::5])
    first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    for value in normalizers():
        sections.compare({"normalizer": value, "pre_tokenizer": first}, letters="e")
    for section, value in REFUSED:
        sections.refuse(section, value)
    rng = random.Random(sections.seed)
    for expression in compile_expressions(rng, sections.expressions):
        sections.compare_random(rng, expression)
    everything = list(over_all_characters())
    for form in FORMS + ("Lowercase",):
        sections.compare({"normalizer": {"type": form}}, everything, "n")
    runs = ["".join(ALL[begin:begin + 8192]) for begin in range(0, len(ALL), 8192)]
    for value in [split("Regex", expression) for expression in OVER_ALL] + [
            {"type": "Punctuation"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
            {"type": "Digits", "individual_digits": False}]:
        sections.compare({"pre_tokenizer": value}, runs, "c")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver")
    parser.add_argument("--strings", type=int, default=60, help="drawn for each construct")
    parser.add_argument("--expressions", type=int, default=80, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        novel = pathlib.Path(folder) / "text"
        novel.write_text(TEXT)
        source = strings.Strings(arguments.seed, [novel], ["<s>", "<add>"])
        drawn = [source.next()[:600] for _ in range(arguments.strings)]
        sections = Sections(arguments.driver, folder, SPECIAL + [TEXT] + drawn, arguments.seed,
                            arguments.expressions)
        run(sections)
    print(f"tokenizers {VERSION}, seed {arguments.seed}: {sections.cases} files, "
          f"{sections.answers} answers, {len(sections.wrong)} files with differences; "
          f"{sections.refused} random expressions refused for their work or for counting nothing")
    sys.exit(1 if sections.wrong else 0)


if __name__ == "__main__":
    main()
