"""x"""

from __future__ import annotations

from operators.records.geometry import PixelGeometry


def scaled_size(geometry: PixelGeometry, scale: float) -> tuple[int, int]:
    """Return the (height, width) of a view that is ``scale`` times as large as the plain one."""
    return max(round(geometry.input_height * scale), 1), max(round(geometry.input_width * scale), 1)
