#!/usr/bin/env python3
"""Makes tests/golden/zero_shot/harness.json: what lm-evaluation-harness says of the items beside it.

    pip install torch==2.15.0 transformers==5.24.0 lm-eval==0.4.13 accelerate
    HF_HUB_OFFLINE=1 python tests/golden/make_zero_shot.py [MODEL ITEMS LIMIT OUT]

The model runs in fp32 through transformers. Definitions are the package's own: its YAML files, with
the local items in place of the data sets. ITEMS may be a folder with more items of the same names,
such as whole data sets.
"""
import json
import pathlib
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

from harness_tasks import TASKS, write_tasks

HERE = pathlib.Path(__file__).parent


def main():
    arguments = sys.argv[1:]
    model, items, limit, out = arguments or [
        HERE.parent.parent / "models/tiny-novels", HERE / "zero_shot", "0",
        HERE / "zero_shot/harness.json"]
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(pathlib.Path(folder), pathlib.Path(items))
        result = lm_eval.simple_evaluate(
            model="hf", model_args=f"pretrained={model},dtype=float32", device="cpu", batch_size=1,
            tasks=[f"local_{task}" for task in TASKS], limit=int(limit) or None,
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            log_samples=True, bootstrap_iters=0)
    document = {}
    for task in TASKS:
        samples = sorted(result["samples"][f"local_{task}"], key=lambda s: s["doc_id"])
        document[task] = [
            {"loglikelihoods": [round(float(r[0][0]), 6) for r in s["resps"]],
             "greedy": [bool(r[0][1]) for r in s["resps"]],
             "acc": s["acc"], "acc_norm": s.get("acc_norm")} for s in samples]
    lines = [f'"{task}": [\n' + ",\n".join(json.dumps(s) for s in samples) + "]"
             for task, samples in document.items()]
    pathlib.Path(out).write_text("{" + ",\n".join(lines) + "}\n")


main()
