#!/usr/bin/env bash
# Quantizes a model by several recipes and prints one table: perplexity, KL divergence from full
# precision, how often both have the same likeliest token, bits per weight, size, speed. The tables of
# README.md come from it.
#   tools/compare_recipes.sh MODEL TEXT SEQLEN WINDOWS OUT RECIPE...
# WINDOWS 0: all. A RECIPE may have flags behind it: "quarot-rtn --k-bias keep". Quantized folders are left in OUT. Recipes that calibrate read their text and its cut
# from the program's own variables, such as QUAROT_CALIB=TEXT QUAROT_NSAMPLES=32.
set -euo pipefail
shopt -s inherit_errexit
quarot=$(dirname "$0")/../build/release/apps/quarot
if (($# < 6)); then
    echo "usage: compare_recipes.sh MODEL TEXT SEQLEN WINDOWS OUT RECIPE..." >&2
    exit 2
fi
model=$1 text=$2 seqlen=$3 windows=$4 out=$5
shift 5

limit=()
if [[ $windows != 0 ]]; then limit=(--windows "$windows"); fi

# Errors and warnings only on stderr, so that the table stays whole.
run() { "$quarot" "$@" --progress none 2> >(grep -v -e '^quarot: backend' -e '^quarot: --calib' >&2); }

# The value of a key of the document's first level, which stands two spaces in.
value() { sed -n "s/^  \"$1\": \(.*[^,]\),\{0,1\}\$/\1/p"; }

row() { printf '| %-14s | %10s | %8s | %7s | %9s | %11s | %8s |\n' "$@"; }

# measure NAME FOLDER: one row of the table. Speed comes from a run without the base model.
measure() {
    local score speed bits size
    score=$(run perplexity "$2" --text "$text" --seqlen "$seqlen" "${limit[@]}" \
        --kl-base "$model" --json)
    speed=$(run perplexity "$2" --text "$text" --seqlen "$seqlen" "${limit[@]}" --json)
    bits=$(run inspect "$2" --json | value bits_per_weight)
    size=$(cat "$2"/model*.safetensors | wc -c)
    row "$1" "$(value perplexity <<<"$score" | xargs printf %.2f)" \
        "$(value kl_mean <<<"$score" | xargs printf %.4f)" \
        "$(value same_top1 <<<"$score" | awk '{printf "%.1f %%", 100 * $1}')" \
        "$(printf %.3f "$bits")" \
        "$(awk "BEGIN {printf \"%.1f MB\", $size / 1e6}")" \
        "$(value tokens_per_second <<<"$speed" | xargs printf %.0f)"
}

mkdir -p "$out"
folder_of() { echo "$out/${1// /_}"; }
for recipe in "$@"; do
    read -ra words <<<"$recipe"
    run quantize "$model" "$(folder_of "$recipe")" --recipe "${words[@]}" --overwrite >/dev/null
done
row recipe perplexity KL top-1 bits/wgt size tokens/s
row --- ---: ---: ---: ---: ---: ---:
measure "full precision" "$model"
for recipe in "$@"; do measure "$recipe" "$(folder_of "$recipe")"; done
