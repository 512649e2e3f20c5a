"""What can be wrong with the images or the command of an inference without the application."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from operators.records.errors import OsteoMapError

Result = TypeVar("Result")


class ImageFilesError(OsteoMapError):
    """The images, their list or the output folder cannot be used."""


def or_exit(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function; if the user's input is at fault, end the program with one line.

    It is what a bundle's configuration calls the others by: MONAI wraps every error into a page of traceback, but for
    ``sys.exit``. An error that is not the user's keeps its traceback.
    """
    try:
        return function(*arguments)
    except OsteoMapError as error:
        sys.exit(str(error))
