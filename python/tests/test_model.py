"""A model says the same in Python as in the program."""

import gc
import json

import numpy as np
import pytest

import quarot
from conftest import read_tensor

PROMPT = "It was a dark and stormy"


def test_a_folder_says_what_it_is(model, rounded):
    assert (model.recipe, model.vocabulary_size, model.context) == ("none", 4096, 2048)
    assert (model.begin_id, model.end_ids) == (0, [1])
    assert model.parameter_count > 8e6
    assert not model.has_chat_template
    assert quarot.Model.from_pretrained(rounded).recipe == "quarot-rtn"
    assert quarot.Model.from_pretrained(str(rounded), context=64).context == 64


def test_texts_are_those_of_the_program(model, sample, program):
    arguments = ["generate", "-m", sample, "-p", PROMPT, "-n", 30, "--device", "cpu", "--json"]
    expected = json.loads(program(*arguments))
    found = model.generate(PROMPT, max_tokens=30)
    assert (found.text, found.ids) == (expected["text"], expected["ids"])
    assert found.finish_reason == expected["finish_reason"] == "length"
    assert found.prompt_tokens == len(expected["prompt_ids"])
    assert model.generate(expected["prompt_ids"], max_tokens=30).ids == expected["ids"]
    ids = np.array(expected["prompt_ids"])
    assert model.generate(ids, max_tokens=30).ids == expected["ids"]

    sampled = json.loads(program(*arguments, "--temp", 0.8, "--top-p", 0.9, "--seed", 7))
    found = model.generate(PROMPT, max_tokens=30, temperature=0.8, top_p=0.9, seed=7)
    assert found.ids == sampled["ids"] != expected["ids"]


def test_a_text_ends_before_a_stop_string(model):
    whole = model.generate(PROMPT, max_tokens=30).text
    found = model.generate(PROMPT, max_tokens=30, stop=["no such text", whole[20:24]])
    assert found.finish_reason == "stop"
    assert found.text == whole[: whole.index(whole[20:24])]


def test_a_stream_has_the_same_text_in_pieces(model):
    whole = model.generate(PROMPT, max_tokens=30)
    stream = model.stream(PROMPT, max_tokens=30)
    pieces = list(stream)
    assert "".join(pieces) == whole.text
    assert len(pieces) > 5
    assert list(stream) == []
    assert stream.result().ids == whole.ids
    assert model.stream(PROMPT, max_tokens=30).result().text == whole.text


def test_a_stream_ends_when_it_is_closed(model):
    stream = model.stream(PROMPT, ignore_end_tokens=True)
    first = next(stream)
    stream.close()
    result = stream.result()
    assert result.finish_reason == "cancelled"
    assert result.text.startswith(first)
    assert len(result.ids) < 1000


def test_a_stream_raises_what_ended_it(model):
    with pytest.raises(quarot.UsageError, match="temperature"):
        next(model.stream(PROMPT, temperature=-1.0))
    with pytest.raises(quarot.UsageError):
        model.stream([5000]).result()


def test_streams_run_side_by_side(model):
    prompts = [f"Chapter {i}. The" for i in range(12)]
    streams = [model.stream(prompt, max_tokens=20) for prompt in prompts]
    together = [stream.result().ids for stream in streams]
    assert together == [model.generate(prompt, max_tokens=20).ids for prompt in prompts]


@pytest.mark.parametrize("which", ["sample", "rounded"])
def test_logits_are_those_of_the_program(which, request, program, tmp_path):
    folder = request.getfixturevalue(which)
    out = tmp_path / "logits.safetensors"
    program("logits", "-m", folder, "-p", PROMPT, "--device", "cpu", "--out", out)
    expected = read_tensor(out, "logits")
    found = quarot.Model.from_pretrained(folder, device="cpu").logits(PROMPT)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if which == "rounded" else 1e-4)


def test_logits_are_not_copied_and_outlive_the_model(sample):
    model = quarot.Model.from_pretrained(sample)
    logits = model.logits([0, 5, 6])
    assert not logits.flags.owndata and logits.flags.writeable
    kept = logits.copy()
    del model
    gc.collect()
    np.testing.assert_array_equal(logits, kept)


def test_loglikelihoods_are_sums_over_logits(model):
    context, text = "The old man", " looked at the sea."
    encode = model.tokenizer.encode
    ids, n_context = encode(context + text), len(encode(context))
    logits = model.logits(ids).astype(np.float64)
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = sum(scores[i - 1, ids[i]] for i in range(n_context, len(ids)))
    best = model.generate(context, max_tokens=3).ids

    texts = model.loglikelihood([(context, text), (context, " looked")])
    tokens = model.loglikelihood(
        [(ids[:n_context], ids[n_context:]), (ids[:n_context], best)]
    )
    assert texts[0].loglikelihood == pytest.approx(expected, abs=1e-4)
    assert tokens[0].loglikelihood == texts[0].loglikelihood
    assert tokens[1].is_greedy and not tokens[0].is_greedy
    assert not texts[0].is_cut
    assert model.loglikelihood([]) == []


def test_loglikelihoods_with_and_without_special_tokens(model):
    pair = ("The old man", " looked")
    with_them, without = (
        model.loglikelihood([pair], add_special_tokens=add)[0] for add in (True, False)
    )
    assert with_them.loglikelihood != without.loglikelihood
    ids = [model.tokenizer.encode(text, add_special_tokens=False) for text in pair]
    assert model.loglikelihood([(ids[0], ids[1])])[0].loglikelihood == without.loglikelihood


def test_a_context_that_is_too_long_is_cut(sample):
    short = quarot.Model.from_pretrained(sample, context=16)
    (found,) = short.loglikelihood([("It was a dark and stormy night. " * 5, " The end")])
    assert found.is_cut


def test_perplexity_is_that_of_the_program(model, sample, program):
    text = (sample / "eval.txt").read_text()[:20000]
    ids = model.tokenizer.encode(text)
    measured = model.perplexity(ids, window_tokens=256)
    file = sample / "eval.txt"
    expected = json.loads(program("perplexity", sample, "--text", file, "--seqlen", 256,
                                  "--windows", len(ids) // 256, "--device", "cpu", "--json"))
    assert measured == pytest.approx(expected["perplexity"], rel=1e-2)


def test_a_folder_runs_with_another_cache(rounded):
    as_made, wide, same = (
        quarot.Model.from_pretrained(rounded, **options).logits([0, 5, 6])
        for options in ({}, {"kv_bits": 16}, {"kv_bits": 4, "activation_bits": 4, "sequences": 1})
    )
    assert (as_made == same).all() and (as_made != wide).any()


def test_tokenizer(model, sample):
    tokenizer = quarot.Tokenizer.from_pretrained(sample)
    ids = tokenizer.encode("café €")
    assert ids[0] == model.begin_id
    assert tokenizer.encode("café €", add_special_tokens=False) == ids[1:]
    assert tokenizer.decode(ids) == "café €"
    assert tokenizer.decode(ids, skip_special_tokens=False) != "café €"
    assert tokenizer.vocabulary_size == 4096


def test_a_conversation_is_a_prompt(copy):
    folder = copy()
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    model = quarot.Model.from_pretrained(folder)
    messages = [{"role": "user", "content": "Who are you?"}]
    ids = model.chat_prompt(messages)
    assert model.tokenizer.decode(ids) == "user: Who are you?\n"
    assert model.generate(messages, max_tokens=5).ids == model.generate(ids, max_tokens=5).ids
    with pytest.raises(quarot.UsageError, match='"role" and "content"'):
        model.generate([{"role": "user"}])


def test_the_makers_sampling_values_are_arguments(model, sample):
    made = json.loads((sample / "generation_config.json").read_text())
    options = model.suggested_options()
    assert options["temperature"] == pytest.approx(made["temperature"])
    assert model.generate(PROMPT, max_tokens=5, seed=3, **options).ids
