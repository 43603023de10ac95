#!/usr/bin/env python3
"""Clang's warnings on every C++ source of a build folder, as errors, without making code.

tools/check_warnings.py BUILD JOBS [COMPILED]: BUILD has compile_commands.json and the precompiled
headers. What is up to date in COMPILED, another build by clang with these warnings, is left out.
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def problems(entry):
    """What the compiler says of one source; "" if nothing."""
    done = subprocess.run(entry["command"] + " -fsyntax-only", shell=True, text=True,
                          cwd=entry["directory"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE)
    return done.stdout or ("" if done.returncode == 0 else f"{entry['file']}: no message\n")


def sources_of(build):
    """The commands that compile C++, by their source."""
    with open(os.path.join(build, "compile_commands.json")) as file:
        return {entry["file"]: entry for entry in json.load(file) if entry["file"].endswith(".cpp")}


def up_to_date(build):
    """The sources that ninja would not compile there."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        return set()
    plan = subprocess.run(["ninja", "-C", build, "-n", "-v"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    if "--regenerate-during-build" in plan:  # it knows no more before that
        return set()
    return set(sources_of(build)) - set(re.findall(r" -c (\S+)$", plan, re.MULTILINE))


def main():
    build, jobs = sys.argv[1], int(sys.argv[2])
    sources = sources_of(build)
    done = up_to_date(sys.argv[3]) if len(sys.argv) > 3 else set()
    entries = [entry for file, entry in sources.items() if file not in done]
    with ThreadPoolExecutor(jobs) as pool:
        found = [text for text in pool.map(problems, entries) if text]
    sys.stderr.write("".join(found))
    if found or not sources:
        sys.exit(f"check_warnings: {len(found)} of {len(entries)} sources have some")
    print(f"check_warnings: none in {len(entries)} sources, {len(sources) - len(entries)} more "
          "were compiled without any")


main()
