"""Remarks go to `logging`, or where the caller wants them."""

import logging
import subprocess
import sys

import pytest

import quarot


@pytest.fixture
def usual_log():
    yield
    quarot.set_log(logging.getLogger("quarot").log)


def round_without_text(sample, out):
    quarot.quantize(sample, out, recipe="w4a8kv4", overwrite=True)


def test_remarks_go_to_the_logger_of_the_package(sample, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="quarot"):
        round_without_text(sample, tmp_path / "out")
    records = [r for r in caplog.records if "without a calibration text" in r.message]
    assert [(r.name, r.levelno) for r in records] == [("quarot", logging.INFO)]


def test_remarks_go_to_a_callback(sample, tmp_path, usual_log):
    heard = []
    quarot.set_log(lambda level, message: heard.append((level, message)))
    round_without_text(sample, tmp_path / "out")
    assert any(level == logging.INFO and "rounds weights" in line for level, line in heard)


def test_a_callback_that_raises_harms_nothing(sample, tmp_path, usual_log, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    quarot.set_log(lambda level, message: 1 / 0)
    round_without_text(sample, tmp_path / "out")
    assert unraisable and isinstance(unraisable[0].exc_value, ZeroDivisionError)


def test_none_means_stderr(sample, tmp_path):
    script = ("import sys, quarot\nquarot.set_log(None)\n"
              "quarot.quantize(*sys.argv[1:], recipe='w4a8kv4')")
    done = subprocess.run([sys.executable, "-c", script, sample, tmp_path / "out"],
                          capture_output=True, text=True, check=True)
    assert "rounds weights" in done.stderr
