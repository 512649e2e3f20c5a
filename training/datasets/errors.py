"""Errors of what a user gave, and the edge of a program, where they become one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from operators.networks.workflow import is_library_call
from operators.records.errors import OsteoMapError

Result = TypeVar("Result")
BUG = "This looks like a bug. Please report it, with this traceback and the command, to the maintainers of OsteoMAP."


class InputError(OsteoMapError, ValueError):
    """A data set, a checkpoint, an evaluation or an option cannot be used; the text says what to do, in one line."""


def or_exit(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function and end the program with one line if what it was given is at fault.

    Commands and the configurations of bundles call it at their edge: MONAI wraps what a configuration raises into a
    page of traceback, and SystemExit passes through it. Any other error keeps its traceback, and a hint goes with it.

    Raises
    ------
    SystemExit
        On an error of ours or of the operating system.
    OsteoMapError, OSError
        The same error where a workflow of MONAI runs in another program than its command, which must not end.
    """
    try:
        return function(*arguments)
    except (OsteoMapError, OSError) as error:
        if is_library_call():
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        raise SystemExit(f"error: {lines[0]}") from error
    except Exception as error:
        error.add_note(BUG)
        raise
