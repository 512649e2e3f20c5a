"""Input folder -> files, one after the other; a folder of a million files costs no more memory than one of ten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from operators.records.sources import SourceFile


def list_files(root: Path, left_out: Path | None = None) -> Iterator[SourceFile]:
    """Yield the files below a folder by name, or the one file; a folder ``left_out`` inside it is skipped."""
    if root.is_file():
        yield SourceFile(root, root.name)
        return
    if left_out is not None and not left_out.is_relative_to(root):
        left_out = None  # a folder above holds all of them
    for path in _walk(root):
        if not (left_out is not None and path.is_relative_to(left_out)):
            yield SourceFile(path, path.relative_to(root).as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted as their whole paths would be; one folder's names are held at a time."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return  # a folder that may not be read holds nothing for us
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)
