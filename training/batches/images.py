"""Image files and their masks as pixels, and the items that MONAI's data sets hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.datasets.dataset import first_line
from training.datasets.manifest import ImageRecord, ManifestError


def read_pixels(path: str) -> NDArray[np.float32]:
    """Read a PNG or JPEG image as (rows, columns) float32 [0, 1], grey.

    Raises
    ------
    ManifestError
        If the file is none, or damaged.
    """
    try:
        with Image.open(path) as image:
            depth = 65535.0 if image.mode.startswith("I") else 255.0
            grey = image if image.mode.startswith("I") else image.convert("L")
            return np.asarray(grey, np.float32) / depth
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        why = first_line(error, Path(path))
        raise ManifestError(
            f"{path} cannot be decoded: {why}; restore the file, or take it out of the data set"
        ) from error


def check_images(records: Iterable[ImageRecord]) -> None:
    """Decode the images and masks of records, before a training that would stop at a damaged one after hours.

    Raises
    ------
    ManifestError
        At the first file that cannot be decoded.
    """
    paths = [str(path) for record in records for path in (record.path, record.mask) if path is not None]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        checked = pool.map(_decode, paths)
        for _ in tqdm(checked, "check", len(paths), unit="image", disable=not sys.stderr.isatty(), leave=False):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(path: str) -> None:
    read_pixels(path)


def items(records: Iterable[ImageRecord]) -> list[dict[str, Any]]:
    """Return what MONAI data sets hold: one dictionary per image.

    ``guided`` says that the pixels of the finding are known: always so in a normal image.
    """
    return [
        {
            "image": str(record.path),
            "mask": str(record.mask) if record.mask else "",
            "label": float(record.label),
            "guided": record.label == 0 or record.mask is not None,
        }
        for record in records
    ]


class ReadImageAndMask:
    """Replace an item's paths by pixels: ``image`` float32 [0, 1] and ``mask`` 0 or 1, both (rows, columns)."""

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item; without a mask file the mask is empty."""
        image = read_pixels(item["image"])
        mask = (read_pixels(item["mask"]) > 0).astype(np.float32) if item["mask"] else np.zeros_like(image)
        return {**item, "image": image, "mask": mask}
