"""lm-evaluation-harness on a folder: the numbers of `quarot eval`, and what else tasks ask for."""

import json
import subprocess
import sys

import numpy as np
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

import quarot.lm_eval
from conftest import CHECKOUT

ITEMS = CHECKOUT / "tests/golden/zero_shot"


def compare(*arguments):
    return subprocess.run([sys.executable, CHECKOUT / "tools/compare_with_harness.py", *arguments],
                          capture_output=True, text=True)


def requests(kind, *arguments):
    return [Instance(kind, {}, one, i) for i, one in enumerate(arguments)]


@pytest.fixture(scope="module")
def lm(sample):
    return quarot.lm_eval.QuarotLM(sample, device="cpu", max_length=64)


def test_it_is_registered():
    assert get_model("quarot") is quarot.lm_eval.QuarotLM


@pytest.mark.parametrize("which", ["sample", "rounded"])
def test_tasks_have_the_numbers_of_quarot_eval(which, request):
    done = compare(request.getfixturevalue(which), ITEMS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 ") >= 6


def test_arguments_arrive(rounded):
    def answer(arguments, **of_harness):
        lm = quarot.lm_eval.QuarotLM.create_from_arg_string(
            f"pretrained={rounded},{arguments}", of_harness)
        return lm.loglikelihood(requests("loglikelihood", ("The old", " man")))

    as_made = answer("kv_bits=4", device="cuda:0", batch_size=1, max_batch_size=None)
    assert as_made == answer("threads=1", device="cpu", batch_size="auto", max_batch_size=2)
    for changed in ("kv_bits=16", "activation_bits=8", "activation_clip=0.5", "kv_clip=0.5",
                    "add_bos_token=False"):
        assert answer(changed) != as_made, changed
    assert quarot.lm_eval.QuarotLM(rounded, max_length=32).max_length == 32
    with pytest.raises(TypeError, match="kvbits"):
        answer("kvbits=4")


def test_a_text_is_scored_in_windows_that_predict_each_token_once(lm, sample):
    text = (sample / "eval.txt").read_text()[:900]
    ids = lm.model.tokenizer.encode(text)
    assert len(ids) > 3 * 64
    expected = 0.0
    n_scored = 0
    for begin in range(0, len(ids), 64):
        targets = ids[begin : begin + 64]
        end = begin + len(targets)
        whole = [lm.model.begin_id, *ids] if begin == 0 else ids
        first = 0 if begin == 0 else end - 65
        inputs = whole[first : first + 64] if begin else whole[: len(targets)]
        logits = lm.model.logits(inputs).astype(np.float64)
        scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected += sum(scores[i - len(targets), t] for i, t in enumerate(targets))
        n_scored += len(targets)
    assert n_scored == len(ids)
    found = lm.loglikelihood_rolling(requests("loglikelihood_rolling", (text,), ("short",)))
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert 0 > found[1] > found[0]


def test_texts_are_made_until_a_stop_string_in_the_order_of_requests(lm):
    contexts = [f"Chapter {i}. It was" for i in range(40)]
    whole = [lm.model.generate(context, max_tokens=16).text for context in contexts]
    greedy = {"do_sample": False, "max_gen_toks": 16}
    found = lm.generate_until(
        requests("generate_until", *((context, {"until": []} | greedy) for context in contexts))
    )
    assert found == whole
    stop = whole[0][10:13]
    (found,) = lm.generate_until(
        requests("generate_until", (contexts[0], {"until": [stop]} | greedy))
    )
    assert found == whole[0][: whole[0].index(stop)]


def test_a_long_context_keeps_its_end(lm):
    context = "It was a dark and stormy night. " * 20
    (found,) = lm.generate_until(
        requests("generate_until", (context, {"until": [], "max_gen_toks": 8}))
    )
    ids = lm.model.tokenizer.encode(context)[-(64 - 8) :]
    assert found == lm.model.generate(ids, max_tokens=8).text


def test_unknown_ways_of_generating_are_refused(lm):
    with pytest.raises(quarot.UsageError, match="num_beams"):
        lm.generate_until(requests("generate_until", ("a", {"until": [], "num_beams": 4})))
    with pytest.raises(quarot.UsageError, match="max_gen_toks is 64"):
        lm.generate_until(requests("generate_until", ("a", {"until": [], "max_gen_toks": 64})))


def test_answers_are_kept_for_the_cache(lm):
    kept = []

    class Hook:
        def add_partial(self, kind, arguments, answer):
            kept.append((kind, arguments, answer))

    before = lm.cache_hook
    lm.set_cache_hook(Hook())
    try:
        (answer,) = lm.loglikelihood(requests("loglikelihood", ("The old", " man")))
    finally:
        lm.set_cache_hook(before)
    assert kept == [("loglikelihood", ("The old", " man"), answer)]


def test_a_task_of_ones_own_runs_from_a_shell(sample, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"question": "It was a dark", "answer": "night"}\n' * 3)
    (tmp_path / "own.yaml").write_text(f"""
task: own
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/data.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match}}]
""")
    done = subprocess.run(
        [sys.executable, "-m", "quarot.lm_eval", "run", "--model", "quarot", "--model_args",
         f"pretrained={sample}", "--tasks", "own", "--include_path", tmp_path,
         "--output_path", tmp_path / "out"],
        capture_output=True, text=True,
        env={"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache"),
             "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(path.read_text())["results"]["own"]["exact_match,none"] == 0.0
