#!/bin/sh
# Runs sections.py in the environment of the oracles; 77 tells ctest that nothing was compared.
folder=$(dirname "$0")
python=$folder/../../build/oracles/bin/python
if [ ! -x "$python" ]; then
    echo "MISSING build/oracles (make oracles): nothing was compared"
    exit 77
fi
exec "$python" "$folder/sections.py" "$@"
