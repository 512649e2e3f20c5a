"""What codecs say: libraries of C warn of damage on standard error only, and decode on."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STANDARD_ERROR = 2
_MOST_BYTES = 65536
# Messages about sound streams: GDCM tries its codec of 8 bits before that of 12; some encoders leave out the spectral
# selection of a sequential scan, which no decoder uses.
_HARMLESS = ("Unsupported JPEG data precision", "Invalid SOS parameters for sequential JPEG")


class DoubtfulPixelsWarning(UserWarning):
    """The frame may be damaged: a sound one can look so, too."""


@dataclass
class CodecMessages:
    """``faults``: what codecs only say of damaged streams; ``doubts``: what our own checks are not sure of."""

    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@contextmanager
def captured_messages() -> Iterator[CodecMessages]:
    """Collect what is printed on standard error, or warned of, inside the context; complete when it is left.

    What is known to be said of sound streams, too, is left out. It redirects the whole process's standard error: for
    the decoder's child process only.
    """
    messages = CodecMessages()
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    with tempfile.TemporaryFile() as printed, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        os.dup2(printed.fileno(), STANDARD_ERROR)
        try:
            yield messages
        finally:
            sys.stderr.flush()
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            printed.seek(0)
            lines = printed.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
            for warning in warned:
                ours = issubclass(warning.category, DoubtfulPixelsWarning)
                (messages.doubts if ours else lines).append(str(warning.message))
            messages.faults += [line for line in lines if line and not line.startswith(_HARMLESS)]
