#!/usr/bin/env python3
"""Clang's warnings on every C++ source of a build folder, as errors, without making code.

tools/check_warnings.py BUILD JOBS: BUILD has compile_commands.json and the precompiled headers.
"""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def problems(entry):
    """What the compiler says of one source; "" if nothing."""
    done = subprocess.run(entry["command"] + " -fsyntax-only", shell=True, text=True,
                          cwd=entry["directory"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE)
    return done.stdout or ("" if done.returncode == 0 else f"{entry['file']}: no message\n")


def main():
    build, jobs = sys.argv[1], int(sys.argv[2])
    with open(os.path.join(build, "compile_commands.json")) as file:
        entries = [entry for entry in json.load(file) if entry["file"].endswith(".cpp")]
    with ThreadPoolExecutor(jobs) as pool:
        found = [text for text in pool.map(problems, entries) if text]
    sys.stderr.write("".join(found))
    if found or not entries:
        sys.exit(f"check_warnings: {len(found)} of {len(entries)} sources have some")
    print(f"check_warnings: none in {len(entries)} sources")


main()
