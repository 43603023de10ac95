"""Each code of the library's errors is an exception of its own."""

import pickle
import re

import pytest

import quarot
from conftest import CHECKOUT, write_bf16
from quarot.errors import error_of


def codes_of_the_library():
    text = (CHECKOUT / "include/quarot/error.h").read_text()
    body = re.search(r"enum class ErrorCode \{(.*?)\};", text, re.S).group(1)
    return {name: int(code) for name, code in re.findall(r"(\w+) = (\d+)", body)}


def test_there_is_one_class_for_each_code_and_no_other():
    codes = codes_of_the_library()
    assert len(codes) >= 12
    classes = {name: getattr(quarot, name, None) or getattr(quarot, f"{name}Error")
               for name in codes}
    assert {name: kind.code for name, kind in classes.items()} == codes
    assert set(classes.values()) == set(quarot.Error.__subclasses__())
    for name, code in codes.items():
        error = error_of(code, "what it is", "weights.bits")
        assert type(error) is classes[name]
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.setting) == (type(error), "what it is",
                                                            "weights.bits")


def test_usage(sample, tmp_path):
    with pytest.raises(quarot.UsageError, match="weights.bits.* is 9") as caught:
        quarot.quantize(sample, tmp_path / "out", weight_bits=9)
    assert caught.value.setting == "weights.bits" and caught.value.code == 2
    assert isinstance(caught.value, ValueError)


def test_not_found(tmp_path):
    with pytest.raises(quarot.NotFoundError, match="absent") as caught:
        quarot.Model.from_pretrained(tmp_path / "absent")
    assert isinstance(caught.value, FileNotFoundError)


def test_unsupported(copy):
    with pytest.raises(quarot.UnsupportedError, match="UnheardOf"):
        quarot.Model.from_pretrained(copy(architectures=["UnheardOf"]))


def test_corrupt(copy):
    folder = copy()
    shard = next(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(quarot.CorruptError, match=shard.name):
        quarot.Model.from_pretrained(folder)


def test_out_of_memory(copy):
    folder = copy(max_position_embeddings=2**24)
    with pytest.raises(quarot.OutOfMemoryError) as caught:
        quarot.Model.from_pretrained(folder, context=2**24)
    assert isinstance(caught.value, MemoryError)


def test_io(sample):
    with pytest.raises(quarot.IoError) as caught:
        quarot.quantize(sample, "/proc/nowhere/out", recipe="quarot-rtn")
    assert isinstance(caught.value, OSError)


def test_numeric(copy):
    folder = copy()
    write_bf16(folder, "model.norm.weight", 3e38)
    with pytest.raises(quarot.NumericError):
        quarot.Model.from_pretrained(folder, device="cpu").logits("It was")


def test_device(sample):
    with pytest.raises(quarot.DeviceError):
        quarot.Model.from_pretrained(sample, device="cuda:99")


def test_interrupted(sample):
    with pytest.raises(quarot.Interrupted):
        quarot.Model.from_pretrained(sample, progress=lambda *step: False)


def test_arguments_of_another_type_are_type_errors(model, sample, tmp_path):
    for call in (
        lambda: model.generate(3),
        lambda: model.generate(b"a"),
        lambda: model.generate("a", stop="abc"),
        lambda: model.generate("a", max_token=3),
        lambda: model.loglikelihood([("a", "b", "c")]),
        lambda: quarot.quantize(sample, tmp_path / "out", progress=3),
    ):
        with pytest.raises(TypeError):
            call()


def test_a_model_serves_on_after_an_error(model):
    for _ in range(3):
        with pytest.raises(quarot.UsageError):
            model.logits([4096])
    assert model.logits([1]).shape == (1, 4096)
