#!/usr/bin/env bash
# Processor seconds (user and system) of a full build and of `make demo`, of HEAD beside an earlier
# commit. Without ccache and CUDA kernels, one job each; both commits at once, so that whatever else
# the machine does slows both.
#   tools/compare_build.sh COMMIT
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# != 1)); then
    echo "usage: tools/compare_build.sh COMMIT" >&2
    exit 2
fi
folder=$PWD/build/compare
export CCACHE_DISABLE=1 JOBS=1

# What is measured, in a source tree without build folder.
configure() { cmake --preset release -DQUAROT_CUDA=OFF; }
build() { configure && cmake --build --preset release -j 1; }
demo() { configure && make demo; }

# measure TREE WHAT: leaves its seconds in TREE.WHAT.
measure() {
    local TIMEFORMAT='%U %S'
    cd "$folder/$1"
    rm -rf build
    { time "$2" >"../$1.$2.log" 2>&1; } 2>"../$1.$2" ||
        { echo "compare_build: $2 of $1 failed, see $folder/$1.$2.log" >&2; return 1; }
}

rm -rf "$folder"
for pair in "before $1" "now HEAD"; do
    read -r tree commit <<<"$pair"
    mkdir -p "$folder/$tree"
    git archive "$commit" | tar -x -C "$folder/$tree"
done
printf '%-6s %10s %10s %7s\n' what before now share
for what in build demo; do
    measure before $what &
    before=$!
    measure now $what &
    wait $before && wait $!
    awk -v what=$what '{ seconds[NR] = $1 + $2 }
        END { printf "%-6s %8.0f s %8.0f s %5.0f %%\n", what, seconds[1], seconds[2],
                     100 * seconds[2] / seconds[1] }' "$folder/before.$what" "$folder/now.$what"
done
