"""What Holoscan prints of an error: it writes the text of every exception of an operator to the console."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.records.errors import system_error


@contextmanager
def unquoted() -> Iterator[None]:
    """Replace an exception by one of the same kind of cause without its text, which may quote a header or a file name.

    Raises
    ------
    OSError
        With number and reason, if it was one.
    RuntimeError
        With kind and place of any other.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the edge towards Holoscan
        system = system_error(error)
        if system is not None:
            raise OSError(system.errno, system.strerror) from None
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise RuntimeError(f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}") from None
