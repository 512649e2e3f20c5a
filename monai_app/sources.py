"""What a caller gives to analyse -> the files to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from operators.reading.folder import list_files
from operators.records.sources import SourceFile

Source: TypeAlias = str | Path | bytes | BinaryIO | Dataset
_EMPTY_FILE = b"\0" * 128 + b"DICM"


def source_files(source: Source | Iterable[Source]) -> Iterator[SourceFile]:
    """Return the files of a folder, a file, a path, bytes, a file object, a data set, or of several of them.

    Raises
    ------
    FileNotFoundError
        If the one path that is given does not exist.
    TypeError
        If the source is none of these.
    """
    if isinstance(source, str | Path):
        if not Path(source).exists():
            raise FileNotFoundError(f"no input at {source}")
        return list_files(Path(source).resolve())
    if isinstance(source, bytes | Dataset) or hasattr(source, "read"):
        return _files([source], count(1))  # type: ignore[list-item]
    if not isinstance(source, Iterable):
        raise TypeError(f"cannot analyse a {type(source).__name__}; give a path, bytes, a file, a data set or several")
    return _files(source, count(1))


def _files(sources: Iterable[Source], numbers: Iterator[int]) -> Iterator[SourceFile]:
    for source in sources:
        if isinstance(source, str | Path):
            path = Path(source).resolve()
            if path.is_dir():
                yield from (replace(file, name=f"{path.name}/{file.name}") for file in list_files(path))
            else:
                yield SourceFile(path, path.name)
        elif isinstance(source, Dataset):
            yield _in_memory(_encoded(source), next(numbers))
        else:
            yield _in_memory(_content(source), next(numbers))


def _content(source: bytes | BinaryIO) -> bytes:
    content = source.read() if hasattr(source, "read") else source
    if not isinstance(content, bytes):
        kind = f"file that gives {type(content).__name__}" if hasattr(source, "read") else type(source).__name__
        raise TypeError(f"cannot analyse a {kind}; give a path, bytes, a binary file or a data set")
    return content


def _in_memory(content: bytes, number: int) -> SourceFile:
    name = f"in_memory_{number}.dcm"
    return SourceFile(Path(name), name, content)


def _encoded(ds: Dataset) -> bytes:
    """Return a data set as a file; one that cannot be written becomes an empty file, which fails as a damaged one does.

    The data set is not changed.
    """
    buffer, copy = BytesIO(), Dataset(ds)
    copy.file_meta = FileMetaDataset(getattr(ds, "file_meta", {}))
    copy.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)
    try:
        copy.save_as(buffer, enforce_file_format=True)
    except Exception:  # noqa: BLE001 - an impossible value raises a dozen kinds
        return _EMPTY_FILE
    return buffer.getvalue()
