#!/bin/sh
# run_oracle.sh SCRIPT ARGS...: SCRIPT under the pinned packages of build/oracles; 77 tells ctest
# that nothing was compared.
python=$(dirname "$0")/../../build/oracles/bin/python
if [ ! -x "$python" ]; then
    echo "MISSING build/oracles (make oracles): nothing was compared"
    exit 77
fi
exec "$python" "$@"
