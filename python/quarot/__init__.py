"""Rotate, quantize to 4 bits and run large language models.

>>> quarot.quantize("Llama-3.2-1B", "llama-w4", recipe="w4a8kv4", calibration_text=text)
>>> model = quarot.Model.from_pretrained("llama-w4")
>>> model.generate("It was a dark", max_tokens=40).text
"""

import atexit
import logging

from quarot._quarot import (
    Generation,
    Likelihood,
    Model,
    QuantizeSummary,
    TextStream,
    Tokenizer,
    quantize,
    recipes,
    set_log,
    version,
)
from quarot.errors import (
    CheckFailedError,
    CorruptError,
    DeviceError,
    Error,
    InternalError,
    Interrupted,
    IoError,
    NotFoundError,
    NumericError,
    OutOfMemoryError,
    Terminated,
    UnsupportedError,
    UsageError,
)

__version__ = version()
__all__ = [
    "CheckFailedError",
    "CorruptError",
    "DeviceError",
    "Error",
    "Generation",
    "InternalError",
    "Interrupted",
    "IoError",
    "Likelihood",
    "Model",
    "NotFoundError",
    "NumericError",
    "OutOfMemoryError",
    "QuantizeSummary",
    "Terminated",
    "TextStream",
    "Tokenizer",
    "UnsupportedError",
    "UsageError",
    "quantize",
    "recipes",
    "set_log",
]

set_log(logging.getLogger(__name__).log)
atexit.register(set_log, None)
