"""What Holoscan prints of an error: it writes the text of every exception of an operator to the console."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    except OSError as error:
        raise OSError(error.errno, error.strerror) from None
    except Exception as error:  # noqa: BLE001 - the edge towards Holoscan
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise RuntimeError(f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}") from None
