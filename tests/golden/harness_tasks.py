#!/usr/bin/env python3
"""The six tasks of lm-evaluation-harness on local items: the package's own definitions, with a file
of items in place of each data set.

    python tests/golden/harness_tasks.py DATA LIMIT ITEMS

writes the first LIMIT items of each data set in DATA (where `quarot eval --data` takes them) as
ITEMS/NAME.jsonl, for make_zero_shot.py and its test.
"""
import bz2
import itertools
import json
import pathlib
import re
import shutil
import sys

import lm_eval

DEFINITIONS = pathlib.Path(lm_eval.__file__).parent / "tasks"
TASKS = {
    "piqa": "piqa/piqa.yaml",
    "winogrande": "winogrande/default.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
}
FUNCTIONS = ["winogrande/preprocess_winogrande.py", "hellaswag/utils.py"]
FOLDERS = {"piqa": "piqa/valid", "winogrande": "winogrande/winogrande_dev",
           "hellaswag": "hellaswag/hellaswag_val_full",
           "arc_easy": "arc/arc_easy_test", "arc_challenge": "arc/arc_challenge_test",
           "lambada_openai": "lambada/lambada_openai"}
DROPPED = re.compile(r"^(task|tag|dataset_path|dataset_name|training_split|validation_split|"
                     r"test_split):.*(\n  - .*)*$", re.M)


def as_data_set(row):
    """An item with the fields that the data set has, whichever of its copies it comes from."""
    if "query" in row:
        labels = [chr(ord("A") + i) for i in range(len(row["choices"]))]
        return {"question": row["query"].removeprefix("Question: "),
                "answerKey": labels[row["gold"]],
                "choices": {"text": row["choices"], "label": labels}}
    if "context_options" in row:
        option1, option2 = row["context_options"]
        return {"sentence": "_ " + row["continuation"], "option1": option1, "option2": option2,
                "answer": str(row["gold"] + 1)}
    if "continuation" in row:
        return {"text": row["context"] + " " + row["continuation"]}
    return row


def definition(path):
    text = (DEFINITIONS / path).read_text()
    base = re.search(r"^include: (.*)\n", text, re.M)
    if base:
        included = (DEFINITIONS / path).parent / base.group(1)
        text = included.read_text() + "\n" + text.replace(base.group(0), "")
    return DROPPED.sub("", text)


def write_tasks(folder, items, tasks=tuple(TASKS)):
    """Tasks local_NAME in `folder`, of items/NAME.jsonl."""
    for path in FUNCTIONS:
        shutil.copy(DEFINITIONS / path, folder)
    for task in tasks:
        rows = [json.loads(line) for line in open(items / f"{task}.jsonl")]
        data = folder / f"{task}.jsonl"
        data.write_text("".join(json.dumps(as_data_set(row)) + "\n" for row in rows))
        head = f"task: local_{task}\ndataset_path: json\ntest_split: test\n"
        head += f"dataset_kwargs:\n  data_files:\n    test: {data}\n"
        (folder / f"{task}.yaml").write_text(head + definition(TASKS[task]))


def hellaswag_items(lines):
    """Of six lines an item: the context, the number of the right ending, four endings."""
    for context, gold, *endings in zip(*[iter(lines)] * 6):
        label, _, rest = context.partition(": ")
        first, dot, last = rest.rpartition(". ")
        is_second = bool(dot) and last[:1].islower()
        yield {"activity_label": label, "ctx_a": first + "." if is_second else rest,
               "ctx_b": last if is_second else "", "endings": endings, "label": gold}


def items_of(data, task):
    for path in (data / f"{task}.jsonl", data / f"{FOLDERS[task]}.jsonl"):
        if path.exists():
            rows = (json.loads(line) for line in open(path))
            labels = path.with_name(f"{path.stem}-labels.lst")
            if labels.exists():
                return ({**row, "label": int(label)} for row, label in zip(rows, open(labels)))
            return map(as_data_set, rows)
    packed = data / f"{FOLDERS[task]}.txt.bz2"
    if not packed.exists():
        sys.exit(f"no items of {task} are in {data}")
    return hellaswag_items(bz2.open(packed, "rt").read().splitlines())


def write_items(data, folder, tasks, limit):
    for task in tasks:
        rows = itertools.islice(items_of(data, task), limit)
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    data, limit, items = sys.argv[1:]
    pathlib.Path(items).mkdir(parents=True, exist_ok=True)
    write_items(pathlib.Path(data), pathlib.Path(items), TASKS, int(limit))
