"""Input folder -> files, one after the other; a folder of a million files costs no more memory than one of ten.

What cannot be listed is told too: nobody could know otherwise that images are missing from the results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from operators.records.sources import SourceFile

_NO_RIGHTS = "a folder that cannot be listed ({}), so its files are not analysed; check access rights"
_LINKED_FOLDER = "a symbolic link to a folder outside the input, which is not followed; give the folder itself"
_DEAD_LINK = "a symbolic link to nothing, or to what must not be read; remove or correct it"


def list_files(root: Path, left_out: Path | None = None) -> Iterator[SourceFile]:
    """Yield the files below a folder by name, or the one file; a folder ``left_out`` inside it is skipped.

    A folder that may not be listed, a link to a folder outside the input and a link to nothing are yielded as a file
    with its problem. A link to a folder of the input is passed over: its files are yielded where they lie.
    """
    if root.is_file():
        yield SourceFile(root, root.name)
        return
    if left_out is not None and not left_out.is_relative_to(root):
        left_out = None  # a folder above holds all of them
    for path, problem in _walk(root, root.resolve()):
        if not (left_out is not None and path.is_relative_to(left_out)):
            yield SourceFile(path, path.relative_to(root).as_posix(), problem=problem)


def _walk(folder: Path, root: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below a folder, sorted as their whole paths would be; one folder's names are held at a time."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, _NO_RIGHTS.format(type(error).__name__)
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            yield from _linked(path, root)
        elif entry.is_dir():
            yield from _walk(path, root)
        elif entry.is_file():
            yield path, None


def _linked(path: Path, root: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield what a symbolic link leads to, if it is a file or missing from the input otherwise."""
    try:
        target = path.resolve(strict=True)
        if target.is_dir():
            if not target.is_relative_to(root):
                yield path, _LINKED_FOLDER
        elif target.is_file():
            yield path, None
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        yield path, _DEAD_LINK
