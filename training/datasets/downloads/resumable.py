"""A published file -> the same file on disk: resumed where it was interrupted, checked against its checksum."""

from __future__ import annotations

import hashlib
import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from training.datasets.errors import InputError

_SECONDS = 60  # that a server may be silent
_PIECE = 1024 * 1024
_RANGE_NOT_SATISFIABLE = 416  # RFC 9110 15.5.17: nothing follows what is there already
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file as its publisher describes it; ``size`` in bytes, None where it is not told."""

    url: str
    checksum: str
    algorithm: str
    size: int | None = None


def download(published: PublishedFile, file: Path) -> Path:
    """Fetch a file unless it is there; what was fetched before an interruption is kept as ``<file>.partial``.

    Raises
    ------
    InputError
        If it cannot be fetched, or is not what its publisher describes.
    OSError
        If it cannot be written.
    """
    if file.is_file() and _digest(file, published.algorithm) == published.checksum:
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    with _one_line(published.url, f"; run the command again to go on, or put the file at {file}"):
        _fetch(published, partial)
    if _digest(partial, published.algorithm) != published.checksum:
        partial.unlink()
        raise InputError(
            f"{published.url}: what was fetched has another {published.algorithm} than was published, and is removed; "
            "run the command again"
        )
    return partial.replace(file)


def read_description(url: str) -> bytes:
    """Return a short document, such as a publisher's list of files; raises InputError as ``download``."""
    with _one_line(url, "; run the command again where there is a connection"), _open(url, 0) as response:
        content: bytes = response.read()
        return content


def _fetch(published: PublishedFile, partial: Path) -> None:
    """Fetch what ``partial`` does not have yet; raises OSError or HTTPException if it is interrupted."""
    have = partial.stat().st_size if partial.is_file() else 0
    try:
        response = _open(published.url, have)
    except HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE and have:
            return  # the file is whole, or longer than it should be: the checksum tells
        raise
    with response:
        have = have if response.status == _PARTIAL_CONTENT else 0  # a server may send all of it again
        length = response.headers.get("Content-Length")
        total = published.size if length is None else have + int(length)
        progress = tqdm(
            *(None, partial.stem, total),
            initial=have,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        )
        with partial.open("ab" if have else "wb") as file, progress:
            while piece := response.read(_PIECE):
                file.write(piece)
                progress.update(len(piece))
    if total is not None and partial.stat().st_size < total:
        raise http.client.IncompleteRead(b"", total - partial.stat().st_size)


def _open(url: str, start: int) -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: not an address of the web")
    request = Request(url, headers={"User-Agent": "OsteoMAP"} | ({"Range": f"bytes={start}-"} if start else {}))  # noqa: S310 - checked
    return urlopen(request, timeout=_SECONDS)  # noqa: S310 - as above


@contextmanager
def _one_line(url: str, remedy: str) -> Iterator[None]:
    """Turn what the network may raise into one line."""
    try:
        yield
    except HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}{remedy}") from error
    except URLError as error:
        raise InputError(f"{url}: no connection ({error.reason}){remedy}") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(f"{url}: interrupted ({type(error).__name__}){remedy}") from error


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
