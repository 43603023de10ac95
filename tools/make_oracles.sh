#!/usr/bin/env bash
# make_oracles.sh [NAME]: makes build/NAME (oracles), a Python environment with the packages of
# tools/requirements-NAME.txt, which tests compare with. Tests that want it skip themselves where it is
# not there.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-oracles}
folder=build/$name
wanted=tools/requirements-$name.txt

if cmp -s "$wanted" "$folder/requirements.txt"; then
    echo "make_oracles: $folder is there"
    exit 0
fi
rm -rf "$folder"
mkdir -p build
if ! { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet -r "$wanted"; }; then
    rm -rf "$folder"
    echo "make_oracles: WARNING: $folder could not be made (the reason stands above);" >&2
    echo "make_oracles: WARNING: the tests that need it will be SKIPPED" >&2
    exit 1
fi
cp "$wanted" "$folder/requirements.txt"
echo "make_oracles: made $folder"
