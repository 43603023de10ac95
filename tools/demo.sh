#!/usr/bin/env bash
# Quantizes the bundled sample model with and without rotation, compares both with full precision,
# and lets the rotated one write a text. Builds the program first.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
quarot=build/release/apps/quarot
model=models/tiny-novels
text=$model/eval.txt

echo "== build"
cmake --preset release >/dev/null
cmake --build --preset release --target quarot -j "${JOBS:-$(nproc)}"

out=build/demo
rm -rf $out
echo
echo "== quarot quantize $model $out/RECIPE --recipe rtn, quarot-rtn"
echo "== quarot perplexity FOLDER --text $text --seqlen 1024 --kl-base $model"
echo
tools/compare_recipes.sh $model $text 1024 0 $out rtn quarot-rtn
echo
echo "Weights, activations and KV cache have 4 bits in rtn and quarot-rtn; only quarot-rtn rotates."

echo
prompt="It was a dark and stormy evening, and"
echo "== quarot generate -m $out/quarot-rtn -p \"$prompt\""
echo
continued=$($quarot generate -m $out/quarot-rtn -p "$prompt" -n 120 --temp 0.7 --top-p 0.9 --seed 1 \
    --ignore-eos)
printf '\n%s%s\n' "$prompt" "$continued"
