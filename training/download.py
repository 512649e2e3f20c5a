"""Fetch a published Segment Anything checkpoint into the bundle, checked against its sha256.

``python -m training.download sam_vit_b`` (375 MB), ``sam_vit_l`` (1.2 GB), ``sam_vit_h`` (2.6 GB) or ``mobile_sam``
(40 MB).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.error import URLError

import yaml
from monai.apps.utils import download_url

from operators.networks.loading import LARGE_FILES
from operators.networks.weights import sha256


def fetch(bundle_root: Path, checkpoint: str) -> Path:
    """Download one file of ``large_files.yml`` unless it is there; return its path.

    Raises
    ------
    ValueError
        If the listing does not name the checkpoint.
    OSError
        If the file cannot be fetched or is not what the listing says.
    """
    listing = yaml.safe_load((bundle_root / LARGE_FILES).read_text("utf-8"))["large_files"]
    entry = next((item for item in listing if Path(item["path"]).name.startswith(checkpoint)), None)
    if entry is None:
        raise ValueError(f"{bundle_root / LARGE_FILES} names no checkpoint {checkpoint}")
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


def main(arguments: list[str] | None = None) -> int:
    """Fetch a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m training.download", description=__doc__)
    parser.add_argument("checkpoint", choices=["sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam"])
    parser.add_argument("--bundle", type=Path, default=Path("bundles/msk_sam"))
    options = parser.parse_args(arguments)
    try:
        file = fetch(options.bundle, options.checkpoint)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"download: {error}\n")
        return 1
    sys.stdout.write(
        f"{file}\nset segmentation: checkpoint: {options.checkpoint} in app.yaml; zoom: null shows it the whole image\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
