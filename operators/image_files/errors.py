"""What can be wrong with the images or the command of an inference without the application."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from operators.networks.workflow import is_library_call
from operators.records.errors import OsteoMapError

Result = TypeVar("Result")


class ImageFilesError(OsteoMapError):
    """The images, their list or the output folder cannot be used."""


def or_exit(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function; if the user's input is at fault, end the command ``python -m monai.bundle`` with one line.

    It is what a bundle's configuration calls the others by: MONAI wraps every error into a page of traceback, but for
    ``sys.exit``. An error that is not the user's keeps its traceback.

    Raises
    ------
    OsteoMapError
        Where the workflow runs in another program, which must not end.
    """
    try:
        return function(*arguments)
    except OsteoMapError as error:
        if is_library_call():
            raise
        sys.exit(str(error))
