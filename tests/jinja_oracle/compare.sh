#!/bin/sh
# compare.sh DRIVER templates|expressions ...: runs the comparison in the environment of the
# oracles; 77 tells ctest that nothing was compared.
folder=$(dirname "$0")
python=$folder/../../build/oracles/bin/python
if [ ! -x "$python" ]; then
    echo "MISSING build/oracles (make oracles): nothing was compared"
    exit 77
fi
driver=$1
what=$2
shift 2
exec "$python" "$folder/compare_$what.py" "$driver" "$@"
