#!/usr/bin/env bash
# Quantizes the bundled sample model without rotation, with it, and with GPTQ, compares all with full
# precision, and lets the last one write a text. Builds the program first.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
quarot=build/release/apps/quarot
model=models/tiny-novels
text=$model/eval.txt
calib=$model/calib.txt

echo "== build"
cmake --preset release >/dev/null
cmake --build --preset release --target quarot -j "${JOBS:-$(nproc)}"

out=build/demo
rm -rf $out
echo
echo "== quarot quantize $model $out/RECIPE --recipe rtn, quarot-rtn, quarot (--calib $calib)"
echo "== quarot perplexity FOLDER --text $text --seqlen 1024 --kl-base $model"
echo
QUAROT_CALIB=$calib QUAROT_CALIB_WINDOWS=first QUAROT_NSAMPLES=16 QUAROT_SEQLEN=1024 \
    tools/compare_recipes.sh $model $text 1024 0 $out rtn quarot-rtn quarot
echo
echo "Weights, activations and KV cache have 4 bits in all three; rtn does not rotate, and quarot's weights"
echo "come from GPTQ instead of rounding."

echo
prompt="It was a dark and stormy evening, and"
echo "== quarot generate -m $out/quarot -p \"$prompt\""
echo
continued=$($quarot generate -m $out/quarot -p "$prompt" -n 120 --temp 0.7 --top-p 0.9 --seed 1 \
    --ignore-eos)
printf '\n%s%s\n' "$prompt" "$continued"
