#!/usr/bin/env bash
# clang-tidy on the sources that changed since BASE.
#   tools/check_style.sh [BASE]
# BASE is where this branch left origin/main, or the last commit's parent where there is no other.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
most=20  # sources for clang-tidy, at some ten seconds each

base=${1:-$(git merge-base HEAD origin/main 2>/dev/null || true)}
if [[ -z $base || $base == "$(git rev-parse HEAD)" ]]; then
    base=$(git rev-parse HEAD~1 2>/dev/null || true)
fi
if [[ -z $base ]]; then
    echo "check_style: WARNING: no earlier commit here, clang-tidy checks nothing" >&2
    exit 0
fi
# A header is checked through the source of its name, if it has one.
mapfile -t sources < <(git diff --name-only --diff-filter=d "$base" -- 'src/*.cpp' 'src/*.h' 'apps/*.cpp' 'apps/*.h' |
    sed 's/\.h$/.cpp/' | grep -v '_test\.cpp$' | sort -u | while read -r file; do [[ ! -e $file ]] || echo "$file"; done)
if ((${#sources[@]} == 0)); then
    echo "check_style: no source changed since ${base:0:12}"
    exit 0
fi
if ((${#sources[@]} > most)); then
    echo "check_style: WARNING: ${#sources[@]} sources changed since ${base:0:12}, clang-tidy checks $most" >&2
    sources=("${sources[@]:0:most}")
fi
cmake --preset tidy >/dev/null
# Without a CUDA toolkit its sources are not part of the build.
mapfile -t built < <(for file in "${sources[@]}"; do
    ! grep -qF "\"file\": \"$PWD/$file\"" build/tidy/compile_commands.json || echo "$file"
done)
if ((${#built[@]} < ${#sources[@]})); then
    echo "check_style: WARNING: this machine builds ${#built[@]} of ${#sources[@]} changed sources, the others are not checked" >&2
    sources=("${built[@]}")
fi
((${#sources[@]} > 0)) || exit 0
printf '%s\0' "${sources[@]}" | xargs -0 -P "$jobs" -n 1 clang-tidy-19 --quiet -p build/tidy
echo "check_style: clang-tidy finds nothing in ${#sources[@]} sources changed since ${base:0:12}"
