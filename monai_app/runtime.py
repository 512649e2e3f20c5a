"""What has to be true of a process that runs OsteoMAP."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import logging
import os
import resource
import shutil
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

from operators.records.errors import OsteoMapError

NOT_INSTALLED = (
    "Holoscan and the MONAI Deploy App SDK are missing; run pip install '.[app]' in the repository of OsteoMAP"
)
STACK_BYTES = 32 * 1024 * 1024  # what Holoscan asks for


class PreparationError(OsteoMapError):
    """The process cannot run the application: a package or a folder for temporary files is missing."""


def prepare(*, restart: bool = True) -> None:
    """Prepare for the import of MONAI and Holoscan: user, home, stack limit, quietness and the CUDA runtime.

    Raising the limit takes a restart of the interpreter. Holoscan links against libcudart even where there is no GPU;
    the library comes with torch's packages and is not on the loader's path.

    Raises
    ------
    PreparationError
        If no folder for temporary files can be written to, or, with ``restart``, Holoscan is not installed.
    """
    installed = find_spec("holoscan") is not None
    if restart:
        if not installed:
            raise PreparationError(NOT_INSTALLED)
        _raise_stack_limit()
    _name_user_and_home()
    hide_header_values()
    if installed:
        _prepare_for_holoscan()


def _prepare_for_holoscan() -> None:
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")
    from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib  # noqa: PLC0415 - Holoscan alone needs it

    with contextlib.suppress(DynamicLibNotFoundError):  # then a system-wide toolkit must serve, or the import says so
        load_nvidia_dynamic_lib("cudart")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)


def _name_user_and_home() -> None:
    """Give the process a user's name and a home that can be written to, where it has none.

    A container may run as any user ID, on a file system that is read-only. When they are imported, MONAI asks who the
    user is, and CuPy and Matplotlib make their caches at home; torch does so later.
    """
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise PreparationError("no folder for temporary files can be written to; set TMPDIR to one that can") from error
    try:
        getpass.getuser()
    except (KeyError, OSError):  # a user ID without a name; Python 3.13 raises OSError
        os.environ["USER"] = "osteomap"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises where there is none
    if not (home.is_absolute() and home.is_dir() and os.access(home, os.W_OK | os.X_OK)):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="osteomap-home-", dir=temporary)
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)


def hide_header_values() -> None:
    """Silence what pydicom and highdicom log and warn of: their texts quote values of headers, so patient data."""
    for package in ("pydicom", "highdicom"):
        warnings.filterwarnings("ignore", module=package)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("highdicom").setLevel(logging.ERROR)


def _raise_stack_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    low = soft != resource.RLIM_INFINITY and soft < STACK_BYTES
    if low and (hard == resource.RLIM_INFINITY or hard >= STACK_BYTES):
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, with the same arguments
