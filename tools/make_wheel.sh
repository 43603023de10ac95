#!/usr/bin/env bash
# Makes the Python wheel, in build/python/dist, around the library of a build.
#   tools/make_wheel.sh [BUILD]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
work=$PWD/build/python

rm -rf "$work/prefix" "$work/dist"
mkdir -p "$work"
for component in library development; do
    cmake --install "$build" --prefix "$work/prefix" --component $component >"$work/install.log"
done
[[ -x $work/pip/bin/pip ]] || python3 -m venv "$work/pip"
"$work/pip/bin/pip" wheel --quiet --no-deps --wheel-dir "$work/dist" ./python \
    -C cmake.define.quarot_ROOT="$work/prefix" -C build-dir="$work/build" \
    -C cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON
echo "make_wheel: made $(ls "$work"/dist/*.whl)"
