"""The images of a benchmark, and their strata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.resampling import (
    Array,
)
from training.localization.masks import SIZES, size_class, size_cuts
from training.localization.rows import ImageRow, Measured


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The images of a benchmark, in the order of the rows.

    Parameters
    ----------
    rows
        One per image.
    groups
        (images,) numbered patients.
    cuts
        Where the size of a fracture, its share of the image, is split into thirds; None: too few masks.
    """

    rows: tuple[ImageRow, ...]
    groups: NDArray[np.intp]
    cuts: tuple[float, float] | None

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """(images,) where the expert marked a finding."""
        return np.array([row.label == 1 and row.findings > 0 for row in self.rows], bool)

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(images,) where there is none."""
        return np.array([row.label == 0 for row in self.rows], bool)

    @property
    def opened(self) -> Array:
        """(images,) 1.0 where the classifier's gate lets boxes through: it does not call the image normal."""
        return np.array([row.state != "normal" for row in self.rows], float)


def benchmark_images(measured: Sequence[Measured]) -> Images:
    """Return the images of the rows of one classifier."""
    rows = tuple(each.image for each in measured)
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    cuts = size_cuts([row.share for row in rows if row.share is not None])
    return Images(rows, np.asarray(groups, np.intp), cuts)


def list_strata(images: Images) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield (kind, name, (images,) bool): every body part that has a finding, and the thirds by fracture size."""
    parts = np.array([row.body_part for row in images.rows])
    for part in sorted({str(part) for part in parts[images.abnormal]} - {""}):
        yield "body_part", part, parts == part
    if images.cuts is not None:
        sizes = np.array([size_class(row.share, images.cuts) if row.share is not None else "" for row in images.rows])
        for size in SIZES:
            yield "size", size, sizes == size
