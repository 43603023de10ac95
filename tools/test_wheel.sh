#!/usr/bin/env bash
# Installs the wheel of tools/make_wheel.sh into a fresh Python environment, build/python/venv, and
# tests it there. What it needs besides is downloaded once for each list of versions.
#   tools/test_wheel.sh [BUILD] [PYTEST ARGUMENTS...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${1:-build/release}" && pwd)
work=$PWD/build/python
wanted=python/requirements-test.txt
pip=$work/pip/bin/pip

if ! compgen -G "$work/dist/*.whl" >/dev/null; then
    echo "MISSING build/python/dist (make python): nothing was tested"
    exit 77
fi
if ! cmp -s "$wanted" "$work/packages/requirements.txt"; then
    rm -rf "$work/packages"
    "$pip" wheel --quiet --wheel-dir "$work/packages" -r "$wanted"
    cp "$wanted" "$work/packages/requirements.txt"
fi
rm -rf "$work/venv"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --no-index --find-links "$work/packages" \
    -r "$wanted" "$work"/dist/*.whl

QUAROT_PROGRAM=$build/apps/quarot "$work/venv/bin/pytest" python/tests "${@:2}"
