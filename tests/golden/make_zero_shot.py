#!/usr/bin/env python3
"""Makes tests/golden/zero_shot/harness.json: what lm-evaluation-harness says of the items beside it.

    pip install torch==2.15.0 transformers==5.24.0 lm-eval==0.4.13 accelerate
    HF_HUB_OFFLINE=1 python tests/golden/make_zero_shot.py [MODEL ITEMS LIMIT OUT [TASKS]]

Definitions are the package's own: its YAML files, with the local items in place of the data sets.
ITEMS may be a folder with more items of the same names, such as whole data sets; TASKS are those
wanted, with commas.

The model runs through transformers, all of it in float64, so that a difference from these answers
is another program's. Ids come from tokenizer.json as it stands: where tokenizer_config.json names a
class, AutoTokenizer of transformers 5 puts the class's own steps in place of the file's (of
SmolLM2, GPT2Tokenizer without the step that takes digits apart), so that runs of spaces before
numbers get ids that the model was not trained with.
"""
import json
import pathlib
import sys
import tempfile

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.llama import modeling_llama

from harness_tasks import TASKS, write_tasks

HERE = pathlib.Path(__file__).parent


def normalized(self, x):
    """LlamaRMSNorm's, which takes float32 whatever it is given."""
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def cosines_and_sines(self, x, position_ids):
    """LlamaRotaryEmbedding's, likewise; RoPE as it is by default."""
    width = self.inv_freq.numel() * 2
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
    frequencies = self.config.rope_parameters["rope_theta"] ** -exponents
    angles = position_ids[..., None].double() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def load(folder):
    """A Llama in float64 as a model of the harness."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    stored = Tokenizer.from_file(f"{folder}/tokenizer.json")
    if json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"] != \
            json.loads(stored.to_str())["pre_tokenizer"]:
        sys.exit(f"transformers changes what {folder}/tokenizer.json says")
    model = HFLM(pretrained=str(folder), tokenizer=tokenizer, dtype="float64", device="cpu",
                 batch_size=4)
    if type(model.model) is not modeling_llama.LlamaForCausalLM or \
            model.config.rope_parameters["rope_type"] != "default":
        sys.exit(f"{folder} is no Llama with RoPE as it is by default")
    modeling_llama.LlamaRMSNorm.forward = normalized
    modeling_llama.LlamaRotaryEmbedding.forward = cosines_and_sines
    return model


def main():
    folder, items, limit, out, *names = sys.argv[1:] or [
        HERE.parent.parent / "models/tiny-novels", HERE / "zero_shot", "0",
        HERE / "zero_shot/harness.json"]
    tasks = names[0].split(",") if names else list(TASKS)
    with tempfile.TemporaryDirectory() as definitions:
        write_tasks(pathlib.Path(definitions), pathlib.Path(items), tasks)
        result = lm_eval.simple_evaluate(
            model=load(folder), tasks=[f"local_{task}" for task in tasks],
            limit=int(limit) or None,
            task_manager=TaskManager(include_path=definitions, include_defaults=False),
            log_samples=True, bootstrap_iters=0)
    document = {}
    for task in tasks:
        samples = sorted(result["samples"][f"local_{task}"], key=lambda s: s["doc_id"])
        document[task] = [
            {"loglikelihoods": [round(float(r[0][0]), 6) for r in s["resps"]],
             "greedy": [bool(r[0][1]) for r in s["resps"]],
             "acc": s["acc"], "acc_norm": s.get("acc_norm")} for s in samples]
    lines = [f'"{task}": [\n' + ",\n".join(json.dumps(s) for s in samples) + "]"
             for task, samples in document.items()]
    pathlib.Path(out).write_text("{" + ",\n".join(lines) + "}\n")


main()
