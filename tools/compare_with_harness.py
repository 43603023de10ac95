#!/usr/bin/env python3
"""Do lm-evaluation-harness and `quarot eval` give the same numbers?

    build/python/venv/bin/python tools/compare_with_harness.py MODEL DATA [--limit N]
    build/clients/bin/python tools/compare_with_harness.py MODEL DATA --server [--limit N]

The harness has `--model quarot`, the Python package, and with --server `--model local-completions`,
which asks a `quarot serve` that is started for it. `make test-python` and `make clients` make the
environments; any other with quarot's wheel and lm-eval, or with lm-eval[api], will do. Both sides run
the model on the first N items of each task, from files as `quarot eval --data` takes them. Exit code 1
if any log-likelihood differs by more than 1e-6, with --server 1e-4, or any prediction at all.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests/golden"))
from harness_tasks import TASKS, write_items, write_tasks  # noqa: E402

LIMIT, LIMIT_OF_SERVER = 1e-6, 1e-4


def run(command, **env):
    """Its output, and its seconds."""
    start = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout, time.monotonic() - start


def by_program(program, model, items, tasks, work, bos):
    log = work / "items.jsonl"
    _, seconds = run([program, "eval", model, "--tasks", ",".join(tasks), "--data", items,
                      "--log-items", log, "--tokenizer-bos", bos])
    found = {task: [] for task in tasks}
    for line in open(log):
        item = json.loads(line)
        found[item["task"]].append({
            "loglikelihoods": item["loglikelihoods"],
            "acc": float(item["prediction"] == item["gold"]),
            "acc_norm": float(item["prediction_norm"] == item["gold"])
                        if "prediction_norm" in item else None})
    return found, seconds


@contextlib.contextmanager
def serving(program, model):
    """The address of a server."""
    server = subprocess.Popen([program, "serve", model, "--port", "0", "--access-log", "off"],
                              stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(server.stderr.readline, "")
        found = (re.search(r"serving .* at (http://\S+)", line) for line in lines)
        address = next((match[1] for match in found if match), None)
        if address is None:
            sys.exit(f"{program} serve {model} did not start")
        yield address
    finally:
        server.terminate()
        server.communicate()


def by_server(program, model, items, tasks, work):
    with serving(program, model) as address:
        return by_harness(["-m", "lm_eval"], "local-completions",
                          f"model=default,base_url={address}/v1/completions,"
                          "tokenizer_backend=remote,num_concurrent=4,max_retries=1",
                          items, tasks, work, "--batch_size", "4")


def by_harness(module, kind, arguments, items, tasks, work, *more):
    definitions, out = work / "tasks", work / "out"
    definitions.mkdir()
    write_tasks(definitions, items, tasks)
    _, seconds = run([sys.executable, *module, "run", "--model", kind,
                      "--model_args", arguments, *more, "--include_path", definitions,
                      "--tasks", ",".join(f"local_{task}" for task in tasks),
                      "--log_samples", "--output_path", out],
                     HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(work / "cache"))
    found = {}
    for task in tasks:
        (path,) = out.glob(f"*/samples_local_{task}_*.jsonl")
        samples = sorted(map(json.loads, open(path)), key=lambda sample: sample["doc_id"])
        found[task] = [{"loglikelihoods": [float(one[0][0]) for one in sample["resps"]],
                        "acc": float(sample["acc"]), "acc_norm": sample.get("acc_norm")}
                       for sample in samples]
    return found, seconds


def compare(ours, theirs, limit):
    """A line a task; whether all is equal."""
    equal = True
    print(f"{'task':<16}{'items':>7}{'log-likelihoods':>17}{'largest difference':>20}"
          f"{'predictions that differ':>25}{'acc':>8}")
    for task, items in ours.items():
        pairs = list(zip(items, theirs[task], strict=True))
        values = [(a, b) for one, other in pairs
                  for a, b in zip(one["loglikelihoods"], other["loglikelihoods"], strict=True)]
        largest = max(abs(a - b) for a, b in values)
        n_other = sum(one[key] != other[key] for one, other in pairs for key in ("acc", "acc_norm"))
        equal = equal and largest <= limit and n_other == 0
        acc = sum(item["acc"] for item in items) / len(items)
        print(f"{task:<16}{len(items):>7}{len(values):>17}{largest:>20.3g}{n_other:>25}{acc:>8.4f}")
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--program", default=ROOT / "build/release/apps/quarot")
    parser.add_argument("--server", action="store_true")
    flags = parser.parse_args()
    tasks = flags.tasks
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        items = work / "items"
        items.mkdir()
        write_items(flags.data, items, tasks, flags.limit)
        # local-completions puts nothing in front of a context.
        ours, our_seconds = by_program(flags.program, flags.model, items, tasks, work,
                                       "off" if flags.server else "auto")
        if flags.server:
            kind, limit = "local-completions", LIMIT_OF_SERVER
            theirs, their_seconds = by_server(flags.program, flags.model, items, tasks, work)
        else:
            kind, limit = "quarot", LIMIT
            theirs, their_seconds = by_harness(["-m", "quarot.lm_eval"], kind,
                                               f"pretrained={flags.model}", items, tasks, work)
    equal = compare(ours, theirs, limit)
    print(f"quarot eval took {our_seconds:.1f} s, lm_eval --model {kind} {their_seconds:.1f} s")
    sys.exit(0 if equal else 1)


main()
