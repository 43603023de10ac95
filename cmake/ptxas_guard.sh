#!/bin/sh
# Runs the compiler given by its arguments, which carry -Xptxas=-v, and fails where ptxas reports
# what costs a kernel its speed: serialised wgmma (C75xx) or spilled registers. The report is kept
# beside the object, in OBJECT.ptxas.
object=
previous=
for argument in "$@"; do
    if [ "$previous" = "-o" ]; then object=$argument; fi
    previous=$argument
done
report=${object:-/tmp/quarot}.ptxas
"$@" 2>"$report"
status=$?
grep -v -E '^ptxas info|^    [0-9]+ bytes|^$' "$report" >&2
if [ $status -ne 0 ]; then exit $status; fi
if grep -E 'C75[0-9][0-9]' "$report" >&2; then
    echo "ptxas_guard: wgmma is serialised or setmaxnreg ignored in $object" >&2
    rm -f "$object"
    exit 1
fi
if grep -B1 -E '[1-9][0-9]* bytes spill' "$report" >&2; then
    echo "ptxas_guard: registers are spilled in $object" >&2
    rm -f "$object"
    exit 1
fi
exit 0
