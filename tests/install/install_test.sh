#!/usr/bin/env bash
# Installs a build, all of which is made, into an empty folder, moves it, and uses it as a stranger
# would: only the public headers are there, each compiles alone, and the examples find the package,
# build, quantize the bundled model and write texts.
#   tests/install/install_test.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "install_test: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
prefix=$work/prefix

expected=$(cd "$source/include" && find quarot -name '*.h' | sort)
found=$(cd "$prefix/include" && find . -type f | sed 's|^\./||' | sort)
[[ $found == "$expected" ]] || fail "installed headers are $found, expected $expected"
if grep -rlE "$build|$source" "$prefix/include" "$prefix"/lib*/cmake "$prefix"/lib*/pkgconfig; then
    fail "these files name the folders they were built from"
fi

for file in man/man1/quarot.1 bash-completion/completions/quarot; do
    [[ -s $prefix/share/$file ]] || fail "share/$file is missing"
done

compilers=()
for compiler in g++ clang++-19; do
    command -v $compiler >/dev/null && compilers+=("$compiler")
done
((${#compilers[@]} > 0)) || fail "no compiler was found"
for header in $expected; do
    for compiler in "${compilers[@]}"; do
        echo "#include <$header>" | "$compiler" -std=c++20 -Wall -Wextra -pedantic -Werror \
            -fsyntax-only -I "$prefix/include" -x c++ - ||
            fail "$header does not compile alone with $compiler"
    done
    if grep -n '#include' "$prefix/include/$header" | grep -vE '#include (<[a-z_]+>|"quarot/)'; then
        fail "$header includes more than the standard library"
    fi
done

run_example() {
    rm -rf "$work/out"
    local text
    text=$("$1" "$source/models/tiny-novels" "$work/out") || fail "$1 ended with $?"
    echo "$1 wrote:$text"
    ((${#text} > 40)) || fail "a text of 40 tokens is expected"
    [[ -s $work/out/quarot.json ]] || fail "no quantized folder was made"
    local code=0
    "$1" "$source/no-such-folder" "$work/other" 2>"$work/message" || code=$?
    ((code == 3)) || fail "a missing folder gives exit code $code, expected 3"
    [[ $(wc -l <"$work/message") == 1 ]] || fail "expected one line: $(cat "$work/message")"
}

for example in quantize_and_generate many_at_once; do
    cmake -S "$source/examples/$example" -B "$work/$example" \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF >"$work/configure.log"
    cmake --build "$work/$example" >"$work/build.log" || { cat "$work/build.log"; fail "no $example"; }
done
run_example "$work/quantize_and_generate/quantize_and_generate"
texts=$("$work/many_at_once/many_at_once" "$work/out" "It was a dark" "The old man" "It was a dark")
echo "many_at_once wrote: $texts"
(($(sed -n '$=' <<<"$texts") >= 3 && ${#texts} > 120)) || fail "three texts of 40 tokens are expected"

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name quarot.pc)")
# shellcheck disable=SC2046  # words are meant to split
g++ -std=c++20 "$source/examples/quantize_and_generate/main.cpp" -o "$work/by-pkg-config" \
    $(pkg-config --cflags --libs quarot)
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") run_example "$work/by-pkg-config"

"$prefix/bin/quarot" version
