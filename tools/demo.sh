#!/usr/bin/env bash
# Quantizes the bundled sample model with and without rotation, compares both with full precision,
# and lets the rotated one write a text. Builds the program first.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
quarot=build/release/apps/quarot
model=models/tiny-novels
text=$model/eval.txt
out=build/demo

echo "== build"
cmake --preset release >/dev/null
cmake --build --preset release --target quarot -j "${JOBS:-$(nproc)}"

# The value of a key of the document's first level, which stands two spaces in.
value() { sed -n "s/^  \"$1\": \(.*[^,]\),\{0,1\}\$/\1/p"; }

# Weights alone, in MB.
size_of() { cat "$1"/model*.safetensors | wc -c | awk '{printf "%.1f", $1 / 1e6}'; }

row() { printf '%-16s %11s %9s %9s %12s %10s\n' "$@"; }

# measure NAME FOLDER: one row of the table.
measure() {
    local result bits
    result=$($quarot perplexity "$2" --text $text --seqlen 1024 --kl-base $model --json)
    bits=$($quarot inspect "$2" --json | value bits_per_weight)
    row "$1" "$(value perplexity <<<"$result" | xargs printf %.2f)" \
        "$(value kl_mean <<<"$result" | xargs printf %.4f)" "$(size_of "$2")" \
        "$(printf %.3f "$bits")" "$(value tokens_per_second <<<"$result" | xargs printf %.0f)"
}

rm -rf $out
mkdir -p $out
for recipe in rtn quarot-rtn; do
    echo
    echo "== quarot quantize $model $out/$recipe --recipe $recipe"
    $quarot quantize $model "$out/$recipe" --recipe "$recipe"
done

echo
echo "== quarot perplexity ... --text $text --seqlen 1024 --kl-base $model"
table=$(
    row recipe perplexity KL "MB" "bits/weight" "tokens/s"
    measure "full precision" $model
    measure rtn $out/rtn
    measure quarot-rtn $out/quarot-rtn
)
echo
echo "$table"
echo
echo "Weights, activations and KV cache have 4 bits in rtn and quarot-rtn; only quarot-rtn rotates."

echo
prompt="It was a dark and stormy evening, and"
echo "== quarot generate -m $out/quarot-rtn -p \"$prompt\""
echo
echo "$prompt ..."
$quarot generate -m $out/quarot-rtn -p "$prompt" -n 120 --temp 0.7 --top-p 0.9 --seed 1 --ignore-eos
