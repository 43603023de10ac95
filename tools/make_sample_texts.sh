#!/usr/bin/env bash
# Makes models/tiny-novels/eval.txt and calib.txt: about 64 KiB each, sampled from the model itself in
# full precision, piece by piece with recorded seeds. Same program and machine class, same text.
#   tools/make_sample_texts.sh [path to quarot]
set -euo pipefail
cd "$(dirname "$0")/.."
quarot=${1:-build/release/apps/quarot}
model=models/tiny-novels

# pieces FIRST_SEED LAST_SEED: each seed gives one piece of at most 1000 new tokens.
pieces() {
    local seed
    for seed in $(seq "$1" "$2"); do
        "$quarot" generate -m $model -p "CHAPTER $((seed % 100))" -n 1000 --temp 0.8 --top-p 0.95 \
            --seed "$seed" --ignore-eos 2>/dev/null
        printf '\n\n'
    done
}

pieces 101 118 >$model/eval.txt
pieces 201 218 >$model/calib.txt
wc -c $model/eval.txt $model/calib.txt
