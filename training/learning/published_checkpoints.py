"""Published Segment Anything checkpoints, fetched into a bundle and checked against their sha256."""

from __future__ import annotations

from pathlib import Path

import yaml

from operators.networks.verification import LARGE_FILES
from training.datasets.downloads.resumable import PublishedFile, download
from training.datasets.errors import InputError


def fetch(bundle_root: Path, checkpoint: str) -> Path:
    """Download one file of ``large_files.yml`` unless it is there; return its path.

    Raises
    ------
    InputError
        If the listing does not name the checkpoint, or it cannot be fetched, or is not what the listing says.
    OSError
        If it cannot be written.
    """
    listing = yaml.safe_load((bundle_root / LARGE_FILES).read_text("utf-8"))["large_files"]
    entry = next((item for item in listing if Path(item["path"]).name.startswith(checkpoint)), None)
    if entry is None:
        raise InputError(f"{bundle_root / LARGE_FILES} names no checkpoint {checkpoint}")
    published = PublishedFile(entry["url"], entry["hash_val"], entry["hash_type"])
    return download(published, bundle_root / str(entry["path"]))
