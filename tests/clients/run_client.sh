#!/bin/sh
# run_client.sh SCRIPT ARGS...: SCRIPT under the pinned packages of build/clients; 77 tells ctest that
# nothing was compared.
python=$(dirname "$0")/../../build/clients/bin/python
if [ ! -x "$python" ]; then
    echo "MISSING build/clients (make clients): nothing was compared"
    exit 77
fi
exec "$python" "$@"
