"""What a run that was killed left behind: removed at the next start, unless another process still writes it.

What is being written is locked (flock), and the lock ends with its process, however it ends. Where a file system knows
no locks, leftovers stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def hold(descriptor: int) -> None:
    """Lock an open file or folder until it is closed; without effect where a file system knows no locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove those files and folders that no process holds; what cannot be removed stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)
