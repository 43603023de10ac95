"""What the tests share: the sample model, changed copies of it, and the program."""

import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

import quarot

CHECKOUT = pathlib.Path(__file__).parents[2]
SAMPLE = CHECKOUT / "models/tiny-novels"


@pytest.fixture(scope="session")
def sample():
    return SAMPLE


@pytest.fixture(scope="session")
def model():
    return quarot.Model.from_pretrained(SAMPLE, device="cpu")


@pytest.fixture(scope="session")
def rounded(tmp_path_factory):
    """The sample model in 4 bits."""
    out = tmp_path_factory.mktemp("models") / "rounded"
    quarot.quantize(SAMPLE, out, recipe="quarot-rtn")
    return out


@pytest.fixture
def copy(tmp_path):
    """Makes a copy of the sample model with other values in config.json."""

    def make(**changes):
        folder = tmp_path / "copy"
        shutil.copytree(SAMPLE, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        return folder

    return make


@pytest.fixture(scope="session")
def program():
    """Runs quarot and gives its output."""

    def run(*arguments):
        command = [os.environ["QUAROT_PROGRAM"], *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


def header_of(path):
    """Tensors of a safetensors file, and where their bytes begin."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size)), 8 + size


def read_tensor(path, name):
    """A tensor of floats."""
    header, start = header_of(path)
    begin, end = header[name]["data_offsets"]
    values = np.fromfile(path, np.float32, (end - begin) // 4, offset=start + begin)
    return values.reshape(header[name]["shape"])


def write_safetensors(path, name, values):
    """A file with one tensor of float32."""
    tensor = {"dtype": "F32", "shape": values.shape, "data_offsets": [0, values.nbytes]}
    header = json.dumps({name: tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())


def write_bf16(folder, name, value):
    """Sets all elements of a tensor of bfloat16."""
    bits = np.array([value], np.float32).view(np.uint32)[0] >> 16
    for path in folder.glob("*.safetensors"):
        header, start = header_of(path)
        if name in header:
            begin, end = header[name]["data_offsets"]
            with open(path, "r+b") as file:
                file.seek(start + begin)
                file.write(np.full((end - begin) // 2, bits, np.uint16).tobytes())
            return
    raise KeyError(name)
