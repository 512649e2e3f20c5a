"""Images and masks as the network's pre-processing leaves them, in one memory map on disk: epochs read no image file.

The first training of a data set builds the cache and says what it costs; the next one, and a resumed one, open it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.batches.images import read_pixels
from training.datasets.manifest import ImageRecord

logger = logging.getLogger(__name__)

LEVELS = 255
SECONDS = 30.0  # between two lines of the log while the cache is built
Transform = Callable[[NDArray[np.float32]], Any]


@dataclass(frozen=True, slots=True)
class CachedImage:
    """Where an image lies in the map: from ``offset`` on, ``shape`` (rows, columns), level 0 = low, 255 = high."""

    offset: int
    shape: tuple[int, int]
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class ImageCache:
    """Pre-processed images and masks, uint8, one after the other; ``entries`` in the order of the records."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    entries: tuple[CachedImage, ...]

    def read(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return image (1, rows, columns) float32 as the network takes it, and mask (1, rows, columns) [0, 1]."""
        entry = self.entries[index]
        place = slice(entry.offset, entry.offset + entry.shape[0] * entry.shape[1])
        scale = (entry.high - entry.low) / LEVELS
        image = self.pixels[place].reshape(1, *entry.shape).astype(np.float32) * np.float32(scale)
        mask = self.masks[place].reshape(1, *entry.shape).astype(np.float32) / np.float32(LEVELS)
        return image + np.float32(entry.low), mask


def open_cache(
    records: Sequence[ImageRecord], geometry: Transform, intensity: Transform, description: object, folder: str | Path
) -> ImageCache:
    """Open the cache of these records and this pre-processing, or build it.

    Parameters
    ----------
    geometry, intensity
        (rows, columns) float32 [0, 1] -> (1, height, width), and what follows it on the image alone.
    description
        What the two are made of (their configuration): another description is another cache.
    folder
        Where caches are kept; each has a file name made of the hash of all of this.

    Raises
    ------
    ManifestError
        If an image or a mask cannot be decoded.
    """
    stamps = [(str(r.path), r.path.stat().st_size, r.path.stat().st_mtime_ns, str(r.mask or "")) for r in records]
    key = hashlib.sha256(json.dumps([stamps, description], default=str).encode()).hexdigest()[:16]
    stem = Path(folder) / key
    if not stem.with_suffix(".json").is_file():
        _build(records, geometry, intensity, stem)
    entries = json.loads(stem.with_suffix(".json").read_text("utf-8"))
    return ImageCache(
        pixels=np.memmap(stem.with_suffix(".pixels"), np.uint8, "r"),
        masks=np.memmap(stem.with_suffix(".masks"), np.uint8, "r"),
        entries=tuple(CachedImage(offset, (rows, columns), low, high) for offset, rows, columns, low, high in entries),
    )


def _build(records: Sequence[ImageRecord], geometry: Transform, intensity: Transform, stem: Path) -> None:
    """Write ``stem``.pixels, .masks and, last, the .json that makes the two valid.

    All are written aside first, so that trainings that are begun side by side do not disturb each other.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    logger.info("%d images are prepared once and kept in %s", len(records), stem.parent)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{stem.name}.unfinished-", dir=stem.parent) as folder:
        aside = Path(folder) / stem.name
        size = _write_images(records, geometry, intensity, aside)
        for suffix in (".pixels", ".masks", ".json"):
            aside.with_suffix(suffix).replace(stem.with_suffix(suffix))
    seconds = time.perf_counter() - started
    logger.info("cache of %d images built: %.0f MB on disk, %.0f s", len(records), 2 * size / 1e6, seconds)


def _write_images(records: Sequence[ImageRecord], geometry: Transform, intensity: Transform, stem: Path) -> int:
    """Write the three files of a cache and return the number of pixels."""
    offset, entries, told = 0, [], time.perf_counter()
    with stem.with_suffix(".pixels").open("wb") as pixels, stem.with_suffix(".masks").open("wb") as masks:
        for record in tqdm(records, desc="cache", unit="image", disable=not sys.stderr.isatty()):
            placed = geometry(read_pixels(str(record.path)))
            image = np.asarray(intensity(placed), np.float32)[0]
            low, high = float(image.min()), float(image.max())
            levels = (image - low) * (LEVELS / max(high - low, 1e-6))
            mask = np.zeros_like(image)
            if record.mask is not None:
                mask = np.asarray(geometry((read_pixels(str(record.mask)) > 0).astype(np.float32)), np.float32)[0]
            pixels.write(np.round(levels).astype(np.uint8).tobytes())
            masks.write(np.ceil(mask * LEVELS).clip(0, LEVELS).astype(np.uint8).tobytes())
            entries.append((offset, *image.shape, low, high))
            offset += image.size
            if time.perf_counter() - told > SECONDS and not sys.stderr.isatty():
                told = time.perf_counter()
                logger.info("%d of %d images prepared", len(entries), len(records))
    stem.with_suffix(".json").write_text(json.dumps(entries), "utf-8")
    return offset
