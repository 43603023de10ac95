"""compare_templates.py DRIVER: chat templates against jinja2, on every conversation."""
import json
import os
import sys

from conversations import all_conversations
from driver import render_all
from environment import make_environment, render
from families import FAMILIES

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIGS = {
    "SmolLM2": HERE + "/../../build/models/smollm2-135m/tokenizer_config.json",
    "Qwen3": HERE + "/../../../shared/data/tokenizers/qwen3/tokenizer_config.json",
}


def templates():
    out = dict(FAMILIES)
    for name, path in CONFIGS.items():
        if not os.path.exists(path):
            print(f"MISSING {os.path.relpath(path, HERE + '/../..')}: {name} was not compared")
            continue
        with open(path, encoding="utf-8") as file:
            out[name] = json.load(file)["chat_template"]
    return out


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
    for name, source in templates().items():
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
        if kinds["text"] < 20:
            print(f"TOO FEW texts of {name} to compare")
            differences += 1
    print(f"{differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
