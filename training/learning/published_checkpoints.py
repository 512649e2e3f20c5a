"""Published Segment Anything checkpoints, fetched into a bundle and checked against their sha256."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import yaml
from monai.apps.utils import download_url

from operators.networks.verification import LARGE_FILES
from operators.networks.weights import sha256
from training.datasets.errors import InputError


def fetch(bundle_root: Path, checkpoint: str) -> Path:
    """Download one file of ``large_files.yml`` unless it is there; return its path.

    Raises
    ------
    InputError
        If the listing does not name the checkpoint.
    OSError
        If the file cannot be fetched or is not what the listing says.
    """
    listing = yaml.safe_load((bundle_root / LARGE_FILES).read_text("utf-8"))["large_files"]
    entry = next((item for item in listing if Path(item["path"]).name.startswith(checkpoint)), None)
    if entry is None:
        raise InputError(f"{bundle_root / LARGE_FILES} names no checkpoint {checkpoint}")
    file = bundle_root / str(entry["path"])
    if file.is_file() and sha256(file) == entry["hash_val"]:
        return file
    partial = file.with_name(file.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    try:
        download_url(entry["url"], partial, hash_val=entry["hash_val"], hash_type=entry["hash_type"])
        partial.replace(file)
    except (URLError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"{entry['url']} cannot be fetched ({error}); fetch it elsewhere and put it at {file}") from error
    return file
