"""compare_templates.py DRIVER: chat templates against jinja2, on every conversation; what a user
typed has to be marked, and nothing else. Ends with 77 if a template was not there to compare."""
import json
import os
import re
import sys

from conversations import all_conversations, in_private_characters
from driver import render_all
from environment import make_environment, render
from families import FAMILIES

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIGS = {
    "SmolLM2": HERE + "/../../build/models/smollm2-135m/tokenizer_config.json",
    "Qwen3": HERE + "/../../../shared/data/tokenizers/qwen3/tokenizer_config.json",
}

FEWEST_TEXTS = 20  # of a template, for a comparison that says something
PRINT_NO_USER_TEXT = {"arithmetic", "break_and_continue"}

# The private characters of in_private_characters(), as they are or as repr and JSON escape them.
PRIVATE = re.compile(r"(?:[\ue000-\uefff]|\\ue[0-9a-f]{3})+")


def templates():
    """Those there are, and how many are missing."""
    out = dict(FAMILIES)
    missing = 0
    for name, path in CONFIGS.items():
        if not os.path.exists(path):
            print(f"MISSING {os.path.relpath(path, HERE + '/../..')}: {name} was not compared")
            missing += 1
            continue
        with open(path, encoding="utf-8") as file:
            out[name] = json.load(file)["chat_template"]
    return out, missing


def wrong_marks(ours, names_are_typed):
    """What is said of the marks of a rendering; in tools and calls, members are named by a user."""
    expected = []
    for run in PRIVATE.finditer(ours["text"]):
        begin = len(ours["text"][:run.start()].encode())
        expected.append([begin, begin + len(run.group().encode())])
    if not names_are_typed:
        return "" if ours["user"] == expected else f"marks {ours['user']}, expected {expected}"
    lost = [span for span in expected
            if not any(mark[0] <= span[0] and span[1] <= mark[1] for mark in ours["user"])]
    return f"no marks at {lost}" if lost else ""


def differences_in_marks(name, source, driver):
    differences = 0
    compared = 0
    conversations = [(c, typed) for c, typed in map(in_private_characters, all_conversations())]
    answers = render_all(driver, [(source, c) for c, _ in conversations])
    for (variables, names_are_typed), ours in zip(conversations, answers):
        if "text" not in ours:
            continue
        compared += bool(PRIVATE.search(ours["text"]))
        wrong = wrong_marks(ours, names_are_typed)
        if wrong:
            differences += 1
            print(f"MARKED WRONGLY {name}: {variables}\n  {ours['text']!r}\n  {wrong}")
    return differences, compared


def agrees(ours, theirs):
    if "text" in theirs:
        return ours.get("text") == theirs["text"]
    if theirs["error"] == "raised":
        return ours.get("error") == "raised" and theirs["message"][:100] in ours["message"]
    return ours.get("error") in ("failed", "unsupported")


def main():
    environment = make_environment()
    conversations = all_conversations()
    differences = 0
    subjects, missing = templates()
    for name, source in subjects.items():
        answers = render_all(sys.argv[1], [(source, c) for c in conversations])
        kinds = {"text": 0, "raised": 0, "failed": 0}
        for variables, ours in zip(conversations, answers):
            theirs = render(environment, source, variables)
            kinds[theirs.get("error", "text")] += 1
            if agrees(ours, theirs):
                continue
            differences += 1
            if differences <= 10:
                print(f"DIFFERENT {name}: {variables}\n  jinja2 {theirs}\n  ours   {ours}")
        print(f"{name}: {len(conversations)} conversations, {kinds['text']} texts, "
              f"{kinds['raised']} raised, {kinds['failed']} failed")
        if kinds["text"] < FEWEST_TEXTS:
            print(f"TOO FEW texts of {name} to compare")
            differences += 1
        wrong, compared = differences_in_marks(name, source, sys.argv[1])
        differences += wrong
        print(f"{name}: marks of {compared} texts")
        if compared < FEWEST_TEXTS and name not in PRINT_NO_USER_TEXT:
            print(f"TOO FEW texts of {name} hold what a user typed")
            differences += 1
    print(f"{differences} differences, {missing} templates missing")
    return 1 if differences else 77 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
