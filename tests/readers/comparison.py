"""What a reading should say, by ``result.json`` and the masks, and what it says wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from tests.readers.programs import Reading

WITHIN = 1.0  # pixels


@dataclass(frozen=True, slots=True)
class Finding:
    """``box``: left, top, right, bottom; ``areas``: in pixels and, with a spacing, in square millimetres."""

    uid: str
    box: tuple[int, int, int, int]
    score: float
    areas: tuple[float, ...]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of an image; ``heatmap``: levels of 0 to 255; no ``probability``: it was not analysed."""

    uid: str
    rows: int
    columns: int
    probability: float | None
    findings: tuple[Finding, ...]
    heatmap: NDArray[np.uint8] | None = None


def digest(pixels: NDArray[Any]) -> str:
    return sha256(pixels.astype(np.uint8).tobytes()).hexdigest()


def wrong(kind: str, path: Path, reading: Reading, images: Sequence[Expected]) -> list[str]:
    """Return what a reading says wrongly of an object: ``images`` are those of its study."""
    if "error" in reading:
        return [f"not read: {reading['error']}"]
    if kind == "sr":
        return list(_wrong_boxes(reading, images) if "boxes" in reading else _wrong_groups(reading, images))
    if kind == "sc":
        ds = dcmread(path)
        right = {"rows": ds.Rows, "columns": ds.Columns, "sha256": digest(ds.pixel_array)}
        return [] if reading["picture"] == right else ["other pixels"]
    image = images[int(path.stem.split("_")[1]) - 1]
    return list(_wrong_segments(reading, image, _pixels(kind, image)))


def _wrong_boxes(reading: Reading, images: Sequence[Expected]) -> Iterator[str]:
    """A report's boxes are those of the findings; a box round a whole image says what the report says of the image."""
    boxes = list(reading["boxes"])
    for image in images:
        for finding in image.findings:
            own = [box for box in boxes if _is_of(box, image.uid, finding.uid, finding.box)]
            if len(own) != 1:
                yield f"{len(own)} boxes {finding.box} with the tracking UID of the finding"
            boxes = [box for box in boxes if box not in own]
    wholes = {image.uid: (0, 0, image.columns, image.rows) for image in images}
    yield from (
        f"a box that is none: {_edges(box)}"
        for box in boxes
        if not _is_of(box, box["image"], box["uid"], wholes.get(box["image"], ()))
    )


def _edges(box: Reading) -> list[float]:
    x, y = zip(*box["points"], strict=True)
    return [min(x), min(y), max(x), max(y)]


def _is_of(box: Reading, image: str, uid: str, edges: Sequence[int]) -> bool:
    near = len(edges) == 4 and np.abs(np.subtract(_edges(box), edges)).max() <= WITHIN
    return bool(near) and (box["image"], box["uid"]) == (image, uid)


def _wrong_groups(reading: Reading, images: Sequence[Expected]) -> Iterator[str]:
    """A report's groups hold the probability of each image, and peak and area of each finding."""
    for image in images:
        if image.probability is not None and not any(_holds(group, image.probability) for group in reading["groups"]):
            yield f"no group with the probability {image.probability}"
        for finding in image.findings:
            own = [group for group in reading["groups"] if group["uid"] == finding.uid]
            if not any(_holds(group, finding.score) for group in own):
                yield f"no group of the finding with its peak {finding.score}"
            if not any(_holds(group, area) for group in own for area in finding.areas):
                yield f"no group of the finding with its area {finding.areas}"


def _holds(group: Reading, value: float) -> bool:
    """Whether a value is measured, to the three digits that a report gives."""
    return any(np.isclose(value, measured, rtol=5e-3, atol=5e-4) for measured in group["values"])


def _pixels(kind: str, image: Expected) -> list[NDArray[Any]]:
    """Return those of each segment of a kind of object."""
    if kind == "heatmap":
        return [] if image.heatmap is None else [image.heatmap]
    masks = [finding.mask for finding in image.findings]
    if kind == "labelmap":  # a pixel has one label: the first outline keeps what it shares
        return [mask & ~np.any([np.zeros_like(mask), *masks[:index]], axis=0) for index, mask in enumerate(masks)]
    return list(masks)


def _wrong_segments(reading: Reading, image: Expected, pixels: Sequence[NDArray[Any]]) -> Iterator[str]:
    segments = {int(number): segment for number, segment in reading["segments"].items()}
    if set(segments) != set(range(1, len(pixels) + 1)):
        yield f"segments {sorted(segments)} instead of {len(pixels)}"
        return
    for number, right in enumerate(pixels, start=1):
        segment = segments[number]
        if segment["image"] not in (None, image.uid):
            yield f"segment {number} lies on another image"
        if (segment["rows"], segment["columns"], segment["sha256"]) != (*right.shape, digest(right)):
            yield f"segment {number} has other pixels"
