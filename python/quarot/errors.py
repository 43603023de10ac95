"""One exception a code of the library's errors; the codes are the program's exit codes."""

from typing import ClassVar


class Error(Exception):
    """What went wrong, for the person who can fix it, in one sentence."""

    code: ClassVar[int]

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        #: The setting to look at, by its argument or its key in quantization_config; may be empty.
        self.setting = setting


class InternalError(Error):
    """A bug of quarot."""

    code = 1


class UsageError(Error, ValueError):
    """A setting or an argument that cannot be."""

    code = 2


class NotFoundError(Error, FileNotFoundError):
    """Input that is missing or unreadable."""

    code = 3


class UnsupportedError(Error):
    """A model or a feature that quarot does not have."""

    code = 4


class CorruptError(Error):
    """A file that breaks its format, NaN or Inf stored in it included."""

    code = 5


class OutOfMemoryError(Error, MemoryError):
    """Too little memory of the host or a device, or a limit on it."""

    code = 6


class IoError(Error, OSError):
    """Reading or writing failed: a full disk, an output that cannot be written."""

    code = 7


class NumericError(Error, ArithmeticError):
    """NaN or Inf that arose in computation."""

    code = 8


class CheckFailedError(Error):
    """A check that did not pass."""

    code = 9


class DeviceError(Error):
    """A device or its driver failed."""

    code = 10


class Interrupted(Error):
    """A callback ended the call by returning False."""

    code = 130


class Terminated(Error):
    """A signal asked the process to end."""

    code = 143


_CLASSES: dict[int, type[Error]] = {kind.code: kind for kind in Error.__subclasses__()}


def error_of(code: int, message: str, setting: str) -> Error:
    """The exception that an error of the library becomes."""
    return _CLASSES[code](message, setting)
