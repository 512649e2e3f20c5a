"""What has to be true of the process before Holoscan is imported."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import warnings

from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib

STACK_BYTES = 32 * 1024 * 1024  # what Holoscan asks for


def prepare(*, restart: bool = True) -> None:
    """Raise the stack limit (which takes a restart of the interpreter), quieten Holoscan and load its CUDA runtime.

    Holoscan links against libcudart even where there is no GPU; the library comes with torch's packages and is not on
    the loader's path.
    """
    if restart:
        _raise_stack_limit()
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")
    with contextlib.suppress(DynamicLibNotFoundError):  # then a system-wide toolkit must serve, or the import says so
        load_nvidia_dynamic_lib("cudart")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
    for package in ("pydicom", "highdicom"):  # their texts quote values of headers
        warnings.filterwarnings("ignore", module=package)


def _raise_stack_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    low = soft != resource.RLIM_INFINITY and soft < STACK_BYTES
    if low and (hard == resource.RLIM_INFINITY or hard >= STACK_BYTES):
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, with the same arguments
