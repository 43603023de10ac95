#!/usr/bin/env bash
# Address and undefined-behaviour sanitizers in one clang build, warnings as errors: the unit tests
# that read, parse and compute, then every fuzz target for FUZZ_SECONDS (10).
# What is left out runs whole models, too slow under sanitizers: `make test-asan` has it.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
build=build/fuzz

tests=(src/core/core_test src/tensor/tensor_test src/io/io_test src/linalg/linalg_test
    src/tokenizer/tokenizer_test src/jinja/jinja_test src/chat/chat_test
    src/generation/generation_test src/kernels/kernels_test src/recipe/recipe_test src/model/model_test
    src/folder/folder_test src/rotate/rotate_test src/runtime/runtime_test src/verify/verify_test src/serve/serve_test
    apps/apps_test)

cmake --preset fuzz
cmake --build $build -j "$jobs" --target fuzzers "${tests[@]##*/}"

export GTEST_BRIEF=1 UBSAN_OPTIONS=print_stacktrace=1
printf '%s\n' "${tests[@]}" | xargs -P "$jobs" -I{} sh -c 'echo "== {}"; exec '"$build"'/{}'

FUZZ_SECONDS=${FUZZ_SECONDS:-10} tools/fuzz.sh
