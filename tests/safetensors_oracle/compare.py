"""Verdicts on damaged safetensors files, ours and those of the safetensors package.

compare.py DRIVER --files N [--first NUMBER]; fails on any difference that no stricter rule explains.
"""

import argparse
import collections
import struct
import subprocess
import sys

import safetensors

import mutations
import stricter

WANTED = "0.8.0"
CHUNK = 5000
CODES = {"0", "4", "5"}  # accepted, unsupported, corrupt


def package_accepts(whole):
    try:
        safetensors.deserialize(whole)
        return True
    except safetensors.SafetensorError:
        return False


def our_verdicts(driver, files):
    frames = b"".join(struct.pack("<I", len(f)) + f for f in files)
    done = subprocess.run([driver], input=frames, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    if len(lines) != len(files):
        raise SystemExit("%d verdicts for %d files" % (len(lines), len(files)))
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("driver")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    if safetensors.__version__ != WANTED:
        raise SystemExit("safetensors %s, expected %s" % (safetensors.__version__, WANTED))

    counts, reasons, wrong = collections.Counter(), collections.Counter(), []
    for first in range(arguments.first, arguments.first + arguments.files, CHUNK):
        numbers = range(first, min(first + CHUNK, arguments.first + arguments.files))
        files = [mutations.file_of(number) for number in numbers]
        for number, whole, line in zip(numbers, files, our_verdicts(arguments.driver, files)):
            ours, theirs = line.split(" ")[0] == "0", package_accepts(whole)
            counts[ours, theirs] += 1
            reason = stricter.explain(whole) if theirs and not ours else None
            if reason:
                reasons[reason] += 1
            if line.split(" ")[0] not in CODES or (ours != theirs and not reason):
                wrong.append((number, whole, line, theirs))

    print("%d files: %d accepted by both, %d refused by both, %d refused by us alone" % (
        sum(counts.values()), counts[True, True], counts[False, False], counts[False, True]))
    for reason, n in sorted(reasons.items()):
        print("%7d by rule %s" % (n, reason))
    for number, whole, line, theirs in wrong[:10]:
        print("UNEXPLAINED file %d: the package %s, we say %s\n  %r" % (
            number, "accepts" if theirs else "refuses", line, whole[:400]))
    print("%d unexplained" % len(wrong))
    # A run in which one side refuses everything would compare nothing.
    balanced = min(counts[True, True], counts[False, False]) >= arguments.files // 10
    if not balanced:
        print("too few files of one kind")
    return 1 if wrong or not balanced else 0


if __name__ == "__main__":
    sys.exit(main())
