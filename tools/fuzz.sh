#!/usr/bin/env bash
# Runs every fuzz target on a corpus made anew and prints what each did; fails if one finds anything.
#   FUZZ_SECONDS  for each target (default 30)     FUZZ_RUNS     executions, whichever comes first
#   FUZZ_TARGETS  names (default all)              FUZZ_FOLDER   built programs (default build/fuzz)
#   JOBS          targets at once (default: one a processor)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${FUZZ_FOLDER:-build/fuzz}
corpus=$folder/corpus
# Memory that is given back is used again soon: what is read must fit into the caches.
export ASAN_OPTIONS="quarantine_size_mb=8:malloc_context_size=3:detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

# Searches one target for its seconds and prints its row.
fuzz() {
    local target=$1 max_bytes=$2 log=$corpus/$1.log verdict=
    mkdir -p "$corpus/found/$target"
    "$folder/fuzz/fuzz_$target" "$corpus/found/$target" "$corpus/seeds/$target" \
        -dict="$corpus/seeds/$target.dict" -artifact_prefix="$corpus/findings/$target-" \
        -max_len="$max_bytes" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 \
        -max_total_time="${FUZZ_SECONDS:-30}" -runs="${FUZZ_RUNS:--1}" \
        -print_final_stats=1 > "$log" 2>&1 < /dev/null || verdict="  FINDING: see $log"
    awk -v target="$target" -v verdict="$verdict" '
        /inline 8-bit counters/ { match($0, /\([0-9]+ inline/); all = substr($0, RSTART + 1, RLENGTH - 8) }
        /cov: / { match($0, /cov: [0-9]+/); reached = substr($0, RSTART + 5, RLENGTH - 5) }
        /^Done / { seconds = $(NF - 1) }
        /number_of_executed_units/ { runs = $2 }
        END { rate = (seconds > 0) ? runs / seconds : 0
              printf "%-14s %12d %9d %12d %8d of %5d%s\n", target, runs, seconds, rate, reached,
                     all, verdict }' "$log"
    [[ -z $verdict ]]
}

mkdir -p "$corpus/seeds" "$corpus/findings"
"$folder/fuzz/fuzz_corpus" "$corpus/seeds" > "$corpus/targets"
printf '%-14s %12s %9s %12s %16s\n' target executions seconds 'per second' 'edges reached'
export -f fuzz
export folder corpus
while read -r target max_bytes; do
    case " ${FUZZ_TARGETS:-$target} " in *" $target "*) echo "$target $max_bytes" ;; esac
done < "$corpus/targets" |
    xargs -P "${JOBS:-$(nproc)}" -L 1 bash -c 'fuzz "$0" "$1"'
