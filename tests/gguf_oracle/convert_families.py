"""The golden families as GGUF files that llama.cpp's own converter writes: the logits of their folders, bit for bit.

    pip install torch transformers gguf safetensors
    python tests/gguf_oracle/convert_families.py LLAMA_CPP QUAROT [FAMILY...]

LLAMA_CPP is its source folder (that of llama-cpp-python 0.3.36 has been used). What no such file says is changed in the
folder beforehand.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

FAMILIES = pathlib.Path(__file__).resolve().parents[1] / "golden" / "families"
IDS = ",".join(str((i * i * 13 + 5 * i + 1) % 90) for i in range(40))
# Windows of Mistral's and Starcoder 2's architectures are not written.
UNSAID = {
    "gemma2": dict(query_pre_attn_scalar=12),
    "gemma3": dict(query_pre_attn_scalar=12, layer_types=["sliding_attention"] * 4),
    "qwen3_moe": dict(num_hidden_layers=2, mlp_only_layers=[]),
    "smollm3": dict(no_rope_layers=[1, 1, 1]),
    "gpt_neox": dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)),
    "gpt_neox_sequential": dict(hidden_act="gelu"),
    "mistral": dict(sliding_window=None),
    "mixtral": dict(sliding_window=None),
    "starcoder2": dict(sliding_window=None),
}


def make_folder(family, folder):
    shutil.copytree(FAMILIES / family, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update(UNSAID.get(family, {}))
    (folder / "config.json").write_text(json.dumps(config))
    if family == "qwen3_moe":
        drop_dense_layer(folder)
    # Gemma 3's converter counts its tokens.
    words = {f"t{i}": i for i in range(config["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}, "added_tokens": []}))
    return config["architectures"][0]


def drop_dense_layer(folder):
    """GGUF's names for Qwen 3 MoE have none for a dense layer: the third comes into the second's place."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = {name.replace("layers.2.", "layers.1."): values for name, values in load_file(path).items()
               if ".layers.1." not in name}
    save_file(tensors, path)


def convert(architecture, folder, out):
    import conversion
    import gguf

    model_class = conversion.get_model_class(architecture)
    without_words = type(model_class.__name__, (model_class,),
                         dict(model_arch=model_class.model_arch, set_vocab=lambda self: self._set_vocab_none()))
    model = without_words(folder, gguf.LlamaFileType.ALL_F32, out, eager=True)
    # GPT-NeoX's converter asks for it by the name that transformers 4 has.
    model.hparams.setdefault("rotary_pct", model.rope_parameters.get("partial_rotary_factor"))
    model.write()


def logits(quarot, model, out):
    subprocess.run([quarot, "logits", "-m", model, "--ids", IDS, "--out", out], check=True, capture_output=True)
    return out.read_bytes()


def main():
    llama_cpp, quarot = pathlib.Path(sys.argv[1]), sys.argv[2]
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    wanted = sys.argv[3:] or [path.name for path in sorted(FAMILIES.iterdir()) if path.name != "opt"]
    differing = []
    for family in wanted:
        with tempfile.TemporaryDirectory() as name:
            place = pathlib.Path(name)
            architecture = make_folder(family, place / "folder")
            convert(architecture, place / "folder", place / "model.gguf")
            (place / "folder" / "tokenizer.json").unlink()
            same = logits(quarot, place / "folder", place / "a") == logits(quarot, place / "model.gguf", place / "b")
        print(f"{family}: {'equal' if same else 'DIFFERENT'}", flush=True)
        if not same:
            differing.append(family)
    sys.exit(f"different: {differing}" if differing else 0)


if __name__ == "__main__":
    main()
