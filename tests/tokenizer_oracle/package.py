"""The tokenizers package in the one version that the comparisons are statements about.

Whoever imports this ends with 77 where the package is missing and with 1 for another version."""
import sys

VERSION = "0.23.3"

try:
    import tokenizers
except ImportError:
    print("MISSING the tokenizers package (make oracles): nothing was compared")
    sys.exit(77)
if tokenizers.__version__ != VERSION:
    sys.exit(f"FAILED: the tokenizers package is {tokenizers.__version__}, expected {VERSION}")
