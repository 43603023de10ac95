"""The stubs say what the module does: mypy finds right calls right and wrong ones wrong."""

import ast
import pathlib
import re
import subprocess
import sys

import quarot

RIGHT = """
import pathlib
import numpy as np
import quarot

def tell(what: str, done: int, total: int) -> bool:
    return done < total

model = quarot.Model.from_pretrained(pathlib.Path("x"), kv_bits=4, progress=tell)
text: str = model.generate("a", max_tokens=3, stop=["b"]).text
again: str = model.generate([{"role": "user", "content": "c"}]).text
ids: list[int] = model.tokenizer.encode(text)
pieces: list[str] = [piece for piece in model.stream(ids)]
total: float = model.loglikelihood([("a", " b")])[0].loglikelihood
tokens: bool = model.loglikelihood([([1, 2], [3])])[0].is_greedy
rows: int = model.logits(ids).shape[0]
single: np.float32 = model.logits("a")[0, 0]
summary: quarot.QuantizeSummary = quarot.quantize("a", "b", weight_bits=4, progress=tell)
try:
    pass
except quarot.UsageError as error:
    code: int = error.code
    setting: str = error.setting
"""
WRONG = {
    'model.generate(3)': "overload|arg-type",
    'model.generate("a", max_token=3)': "call-arg",
    'quarot.quantize("a", "b", weight_bits="4")': "arg-type",
    'quarot.quantize("a", "b", progress=lambda what: None)': "arg-type|misc",
    'model.loglikelihood([("a",)])': "arg-type|list-item",
    'model.begin_id + 1': "operator",
    'model.recipe = "x"': "misc|attr",
    'quarot.no_such_name': "attr-defined",
}


def mypy(*arguments, cwd):
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", *arguments], cwd=cwd,
                          capture_output=True, text=True)
    return done.stdout


def test_right_uses_pass(tmp_path):
    (tmp_path / "right.py").write_text(RIGHT)
    assert "Success" in mypy("right.py", cwd=tmp_path)


def test_each_wrong_use_is_found(tmp_path):
    lines = ["import quarot", 'model = quarot.Model.from_pretrained("x")', *WRONG]
    (tmp_path / "wrong.py").write_text("\n".join(lines) + "\n")
    out = mypy("wrong.py", cwd=tmp_path)
    errors = re.findall(r"wrong.py:(\d+): error: .*\[(.*)\]", out)
    found = {int(line): code for line, code in errors}
    for number, (use, codes) in enumerate(WRONG.items(), start=3):
        assert re.fullmatch(codes, found.get(number, "nothing")), f"{use}: {out}"


def test_the_package_itself_passes(tmp_path):
    # The harness and tqdm have no types; the stub's generator writes os.PathLike without one.
    out = mypy("-p", "quarot", "--ignore-missing-imports", "--disable-error-code", "type-arg",
               cwd=tmp_path)
    assert "Success" in out, out


def names_of(owner):
    return {name for name in vars(owner) if not name.startswith("_")}


def test_the_stub_has_all_that_the_module_has():
    module = quarot._quarot
    stub = ast.parse(pathlib.Path(module.__file__).with_name("_quarot.pyi").read_text())
    classes = {node.name: {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
               for node in stub.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    assert names_of(module) == set(classes) | functions
    for name, members in classes.items():
        assert names_of(getattr(module, name)) == {one for one in members if one[0] != "_"}
