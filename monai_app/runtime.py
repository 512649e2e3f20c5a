"""What has to be true of a process that runs OsteoMAP."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import warnings

STACK_BYTES = 32 * 1024 * 1024  # what Holoscan asks for


def prepare(*, restart: bool = True) -> None:
    """Prepare for the import of Holoscan: raise the stack limit, quieten it and load its CUDA runtime.

    Raising the limit takes a restart of the interpreter. Holoscan links against libcudart even where there is no GPU;
    the library comes with torch's packages and is not on the loader's path.
    """
    if restart:
        _raise_stack_limit()
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")
    from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib  # noqa: PLC0415 - Holoscan alone needs it

    with contextlib.suppress(DynamicLibNotFoundError):  # then a system-wide toolkit must serve, or the import says so
        load_nvidia_dynamic_lib("cudart")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
    hide_header_values()


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
