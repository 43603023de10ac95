"""A folder quantized from Python is the program's."""

import hashlib
import json

import numpy as np
import pytest

import quarot
from conftest import write_safetensors


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.suffix == ".safetensors" or path.name == "config.json"
    }


def test_a_folder_has_the_bytes_of_the_program(sample, program, tmp_path):
    text = (sample / "calib.txt").read_text()[:60000]
    (tmp_path / "calib.txt").write_text(text)
    told = program("quantize", sample, tmp_path / "expected", "--recipe", "w4a8kv4", "--calib",
                   tmp_path / "calib.txt", "--nsamples", 4, "--seqlen", 128, "--seed", 3, "--json")
    summary = quarot.quantize(sample, tmp_path / "out", recipe="w4a8kv4", calibration_text=text,
                              calibration_windows=4, window_tokens=128, seed=3)
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert summary.bits_per_weight == json.loads(told)["bits_per_weight"]
    assert summary.seconds > 0 and "recipe='w4a8kv4'" in repr(summary)


def test_every_setting_arrives(sample, tmp_path):
    identity = tmp_path / "identity.safetensors"
    write_safetensors(identity, "R1", np.eye(256, dtype=np.float32))
    for n, settings in enumerate(
        [
            {"weight_bits": 3}, {"activation_bits": 8}, {"kv_bits": 8}, {"head_bits": 8},
            {"embedding_bits": 8}, {"group_size": 64}, {"activation_group_size": 64},
            {"activation_clip": 0.7}, {"kv_clip": 0.7}, {"rotation": "random"}, {"dtype": "f32"},
            {"seed": 5}, {"rotation": "r1,r2"}, {"r1_file": identity},
        ]
    ):
        out = tmp_path / str(n)
        quarot.quantize(sample, out, recipe="quarot-rtn", **settings)
        if n == 0:
            usual = tmp_path / "usual"
            quarot.quantize(sample, usual, recipe="quarot-rtn")
        assert digests(out) != digests(usual), settings


def test_recipes_are_names():
    assert {"quarot", "quarot-rtn", "w4a8kv4"} <= set(quarot.recipes())


def test_progress_is_told_and_its_exception_comes_through(sample, tmp_path):
    heard = []
    quarot.quantize(sample, tmp_path / "out", recipe="quarot-rtn",
                    progress=lambda *step: heard.append(step))
    steps = [step for step in heard if step[0].startswith("quantizing")]
    assert steps and steps[-1][1] == steps[-1][2] > 1
    assert len(heard) == len(set(heard)), "each step once"

    class Odd(Exception):
        pass

    raised = Odd("from the callback")

    def fail(what, done, total):
        if done > 1:
            raise raised

    with pytest.raises(Odd) as caught:
        quarot.quantize(sample, tmp_path / "other", recipe="quarot-rtn", progress=fail)
    assert caught.value is raised
    assert not (tmp_path / "other").exists()


def test_a_job_that_was_ended_goes_on(sample, tmp_path):
    settings = {"recipe": "quarot", "calibration_windows": 4, "window_tokens": 64,
                "calibration_text": (sample / "calib.txt").read_text()[:60000]}
    work = tmp_path / "work"
    started = []

    def stop(what, done, total):
        started.append(what)
        return not (work.exists() and len(list(work.glob("*"))) > 3)

    with pytest.raises(quarot.Interrupted):
        quarot.quantize(sample, tmp_path / "out", work_folder=work, progress=stop, **settings)
    quarot.quantize(sample, tmp_path / "out", work_folder=work, resume=True, **settings)
    quarot.quantize(sample, tmp_path / "whole", **settings)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert not work.exists()
