#!/usr/bin/env python3
"""Makes tests/golden/rolling/harness.json: what lm-evaluation-harness says of the pages beside it.

    pip install torch==2.15.0 transformers==5.24.0 lm-eval==0.4.13 accelerate
    HF_HUB_OFFLINE=1 python tests/golden/make_rolling.py [MODEL PAGES.jsonl LIMIT WINDOW OUT]

The model runs in fp32 through transformers; the task is the package's own wikitext, with local pages in place of the
data set and windows of WINDOW tokens.
"""
import json
import pathlib
import re
import shutil
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

HERE = pathlib.Path(__file__).parent
DEFINITION = pathlib.Path(lm_eval.__file__).parent / "tasks/wikitext"
DROPPED = re.compile(r"^(task|dataset_path|dataset_name|training_split|validation_split|test_split|"
                     r"should_decontaminate|doc_to_decontamination_query):.*\n", re.M)


def write_task(folder, pages):
    shutil.copy(DEFINITION / "preprocess_wikitext.py", folder)
    head = f"task: local_wikitext\ndataset_path: json\ntest_split: test\ndataset_kwargs:\n  data_files:\n    test: {pages}\n"
    (folder / "wikitext.yaml").write_text(head + DROPPED.sub("", (DEFINITION / "wikitext.yaml").read_text()))


def main():
    model, pages, limit, window, out = sys.argv[1:] or [
        HERE.parent.parent / "models/tiny-novels", HERE / "rolling/pages.jsonl", "0", "64", HERE / "rolling/harness.json"]
    with tempfile.TemporaryDirectory() as folder:
        write_task(pathlib.Path(folder), pathlib.Path(pages).resolve())
        result = lm_eval.simple_evaluate(
            model="hf", model_args=f"pretrained={model},dtype=float32,max_length={window}", device="cpu", batch_size=1,
            tasks=["local_wikitext"], limit=int(limit) or None,
            task_manager=TaskManager(include_path=folder, include_defaults=False), log_samples=True, bootstrap_iters=0)
    samples = sorted(result["samples"]["local_wikitext"], key=lambda s: s["doc_id"])
    measures = result["results"]["local_wikitext"]
    document = {"window": int(window),
                "loglikelihoods": [s["word_perplexity"][0] for s in samples],
                "words": [s["word_perplexity"][1] for s in samples],
                "bytes": [s["byte_perplexity"][1] for s in samples],
                **{name: measures[f"{name},none"] for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")}}
    pathlib.Path(out).write_text(json.dumps(document, indent=1) + "\n")


main()
