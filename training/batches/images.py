"""Image files and their masks as pixels, and the items that MONAI's data sets hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets.manifest import ImageRecord


def read_pixels(path: str) -> NDArray[np.float32]:
    """Read a PNG or JPEG image as (rows, columns) float32 [0, 1], grey."""
    with Image.open(path) as image:
        depth = 65535.0 if image.mode.startswith("I") else 255.0
        grey = image if image.mode.startswith("I") else image.convert("L")
        return np.asarray(grey, np.float32) / depth


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
