"""FracAtlas from figshare, where its authors publish it (doi:10.6084/m9.figshare.22363012, CC BY 4.0)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from training.datasets.downloads.resumable import PublishedFile, download, read_description
from training.datasets.errors import InputError
from training.datasets.fracatlas import find_fracatlas

ARTICLE = "https://api.figshare.com/v2/articles/22363012"  # names the file of the newest version, with its MD5
ARCHIVE = "FracAtlas.zip"


def fetch_fracatlas(folder: Path, article: str = ARTICLE) -> Path:
    """Fetch and unpack FracAtlas below a folder, unless it is there; return the folder that holds its table.

    The archive is removed once it is unpacked.

    Raises
    ------
    InputError
        If it cannot be fetched, is not what figshare describes, or does not hold FracAtlas.
    OSError
        If there is no room for it.
    """
    found = find_fracatlas(folder)
    if found is not None:
        return found
    archive = download(_published(article), folder / ARCHIVE)
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive}: not a zip archive ({error}); remove it and run the command again") from error
    found = find_fracatlas(folder)
    if found is None:
        raise InputError(f"{archive}: holds no dataset.csv beside images/Fractured; the archive has another form now")
    archive.unlink()
    return found


def _published(article: str) -> PublishedFile:
    """Return what figshare tells of the archive."""
    description = read_description(article)
    try:
        files = json.loads(description)["files"]
        described = next(file for file in files if file["name"] == ARCHIVE)
        return PublishedFile(described["download_url"], described["computed_md5"], "md5", int(described["size"]))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise InputError(f"{article}: describes no {ARCHIVE}; fetch it by hand from the page of the DOI") from error
