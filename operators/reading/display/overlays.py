"""Overlay planes of a source image: side markers and other graphics beside its pixels (PS3.3 C.9.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag

GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _TYPE, _ORIGIN, _ALLOCATED, _POSITION, _DATA = 0x10, 0x11, 0x40, 0x50, 0x100, 0x102, 0x3000
_MOST_BYTES = 1 << 20  # of an image's planes, cut to what is drawn in them: all images of a study keep theirs


@dataclass(frozen=True, slots=True, eq=False)
class OverlayPlane:
    """The graphics of a group: ``bits`` (rows, columns) bool, whose first pixel lies at ``top``, ``left`` of the image.

    ``top`` and ``left`` count from 0 and may lie beyond the image.
    """

    group: int
    top: int
    left: int
    bits: NDArray[np.bool_]

    def on_image(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """Return where the plane is drawn on an image, (rows, columns) bool."""
        drawn = np.zeros((rows, columns), bool)
        height, width = self.bits.shape
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + height, rows), min(self.left + width, columns)
        if top < bottom and left < right:
            drawn[top:bottom, left:right] = self.bits[
                top - self.top : bottom - self.top, left - self.left : right - self.left
            ]
        return drawn


def overlay_planes(header: Dataset) -> tuple[OverlayPlane, ...]:
    """Return the planes of graphics of a header, full or normalised; what is damaged is left out."""
    return tuple(plane for plane, _ in _read(header) if plane is not None)


def copy_overlays(header: Dataset, copy: Dataset) -> list[int]:
    """Add the planes to a normalised copy, each cut to what is drawn in it; return the groups that are not in it.

    Labels and descriptions, which are free text, stay behind, and so do planes in unused bits of the pixels, which the
    Standard has retired, and regions of interest.
    """
    left, lost = _MOST_BYTES, []
    for plane, group in _read(header):
        size = 0 if plane is None else plane.bits.size // 8
        if plane is None or size > left:
            lost.append(group)
            continue
        left -= size
        values = (
            (_ROWS, "US", plane.bits.shape[0]),
            (_COLUMNS, "US", plane.bits.shape[1]),
            (_TYPE, "CS", "G"),
            (_ORIGIN, "SS", [plane.top + 1, plane.left + 1]),
            (_ALLOCATED, "US", 1),
            (_POSITION, "US", 0),
        )
        for element, vr, value in values:
            copy.add_new(Tag(group, element), vr, value)
        packed = np.packbits(plane.bits, bitorder="little").tobytes()
        copy.add_new(Tag(group, _DATA), "OW", packed + b"\0" * (len(packed) % 2))
    return lost


def _read(header: Dataset) -> Iterator[tuple[OverlayPlane | None, int]]:
    """Yield the plane of each group of a header that says it has one, None where it cannot be drawn."""
    for group in GROUPS:
        if Tag(group, _ROWS) in header:
            try:
                plane = _plane(header, group)
            except Exception:  # noqa: BLE001 - a damaged value raises a dozen kinds
                plane = None
            if plane is None or plane.bits.size:
                yield plane, group


def _plane(header: Dataset, group: int) -> OverlayPlane | None:
    def value(element: int) -> object:
        return header[group, element].value

    rows, columns = int(str(value(_ROWS))), int(str(value(_COLUMNS)))
    data = value(_DATA)
    graphics = (value(_TYPE), value(_ALLOCATED), value(_POSITION)) == ("G", 1, 0)
    if not graphics or not isinstance(data, bytes) or not 0 < rows * columns <= 8 * len(data):
        return None
    if header.original_encoding[1] is False:
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes()
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=rows * columns, bitorder="little")
    return _cut(group, header[group, _ORIGIN].value, bits.reshape(rows, columns).astype(bool))


def _cut(group: int, origin: list[int], bits: NDArray[np.bool_]) -> OverlayPlane:
    """Return the part of a plane that holds something."""
    rows, columns = (np.flatnonzero(bits.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return OverlayPlane(group, 0, 0, bits[:0, :0])
    part = bits[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return OverlayPlane(group, int(origin[0]) - 1 + int(rows[0]), int(origin[1]) - 1 + int(columns[0]), part)
