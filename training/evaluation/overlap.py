"""How far boxes and masks overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.records.geometry import PixelBox, intersection_over_union


def match_boxes(found: Sequence[PixelBox], true: Sequence[PixelBox], minimum_iou: float) -> int:
    """Return how many true boxes are found, each by a box of its own, the best pairs first."""
    pairs = sorted(
        ((intersection_over_union(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(true)), reverse=True
    )
    used_found: set[int] = set()
    used_true: set[int] = set()
    for iou, i, j in pairs:
        if iou >= minimum_iou and i not in used_found and j not in used_true:
            used_found.add(i)
            used_true.add(j)
    return len(used_true)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2 * int((first & second).sum()) / total
