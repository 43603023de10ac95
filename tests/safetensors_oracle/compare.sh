#!/bin/sh
# compare.py under the pinned packages; 77 (skipped) where they are not installed.
set -eu
here=$(dirname "$0")
python=$here/../../build/oracles/bin/python
if [ ! -x "$python" ]; then
    echo "MISSING $python: nothing was compared (make oracles)"
    exit 77
fi
exec "$python" "$here/compare.py" "$@"
