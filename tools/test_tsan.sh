#!/usr/bin/env bash
# Runs the tests that use threads in a build with the thread sanitizer; stops at the first report.
#   tools/test_tsan.sh [BUILD]
set -euo pipefail
build=${1:-build/tsan}
export TSAN_OPTIONS=halt_on_error=1
export GTEST_BRIEF=1

# Of the conformance tests, those of scalar and reference code and of every pair of group sizes say
# nothing about threads that the others do not, and take most of the time; so do whole models of the
# same-bits test but the two small ones.
run() {
    echo "== $*"
    "$build/$@"
}
run src/core/core_test
run src/kernels/kernels_test
run tests/backend/backend_test \
    --gtest_filter='-*scalar*:Reference*:*Groups*:*EveryPair*:*EveryShape*'
run src/runtime/runtime_test
run src/eval/eval_test
run src/quantize/quantize_test
run src/serve/serve_test
run src/facade/facade_test
run tests/golden/same_bits_test --gtest_filter='*Threads/small:*Threads/awkward'
run tests/e2e/e2e_commands_test --gtest_filter='*Quantize*:*Generate*'
