#!/usr/bin/env bash
# Is what was built hardened, and does the library show its public names alone?
#   tests/install/hardening_test.sh PROGRAM LIBRARY     (LIBRARY may be an archive, or missing)
set -euo pipefail
program=$1 library=$2

fail() {
    echo "hardening_test: $*" >&2
    exit 1
}

check() {
    local file=$1 segments dynamic
    segments=$(readelf -lW "$file")
    dynamic=$(readelf -dW "$file")
    grep -q 'GNU_STACK.* RW ' <<<"$segments" || fail "$file has an executable stack"
    grep -q 'GNU_RELRO' <<<"$segments" || fail "$file has no RELRO"
    grep -q 'BIND_NOW\|FLAGS_1.*NOW' <<<"$dynamic" || fail "$file is not bound at its start"
    grep -q 'TEXTREL' <<<"$dynamic" && fail "$file has text relocations"
    grep -q '__stack_chk_fail' <<<"$(nm -D "$file")" || fail "$file has no stack protector"
    grep -q '_chk@' <<<"$(nm -D "$file")" || fail "$file has no fortified libc calls"
}

check "$program"
grep -q 'FLAGS_1.*PIE' <<<"$(readelf -dW "$program")" || fail "$program is not PIE"

if [[ $library == *.so* ]]; then
    check "$library"
    others=$(nm -DC --defined-only "$library" |
        sed -E 's/^[0-9a-f]* [A-Za-z] //; s/^(vtable|typeinfo|typeinfo name|VTT|guard variable) for //' |
        grep -vE '^quarot::(Engine|Error|Model|Request|Session|StreamDecoder|Tokenizer)(::|$)' |
        grep -vE '^quarot::(quantize_folder|recipe_names|set_log|suggested_options|version)(\[abi:cxx11\])?\(' || true)
    [[ -z $others ]] || fail "$library shows names that are not public: $others"
fi
