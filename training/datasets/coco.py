"""Boxes and polygons of a COCO JSON file, and polygons drawn as masks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from training.datasets.manifest import ManifestError


@dataclass(frozen=True, slots=True)
class Annotation:
    """The fractures of one image of (columns, rows) ``size``: polygons (x, y, x, y, ...) and boxes, in its pixels."""

    size: tuple[int, int]
    polygons: tuple[tuple[float, ...], ...]
    boxes: tuple[tuple[float, float, float, float], ...]


def read_annotations(folder: Path) -> dict[str, Annotation]:
    """Return file name -> annotation of the COCO files below a folder, as far as there are any.

    Raises
    ------
    ManifestError
        If a file is broken.
    """
    found: dict[str, Annotation] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
            if not {"images", "annotations"} <= set(content):
                continue  # the same polygons in VGG's form
            of_image: dict[int, list[Mapping[str, Any]]] = {}
            for entry in content["annotations"]:
                of_image.setdefault(entry["image_id"], []).append(entry)
            for image in content["images"]:
                size = (int(image["width"]), int(image["height"]))
                found[image["file_name"]] = _annotation(size, of_image.get(image["id"], []))
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(f"{path}: not a COCO file ({error!r}); restore it from the archive") from error
    return found


def _annotation(size: tuple[int, int], entries: Sequence[Mapping[str, Any]]) -> Annotation:
    boxes = []
    for entry in entries:
        left, top, width, height = map(float, entry["bbox"])
        boxes.append((left, top, left + width, top + height))
    polygons = tuple(tuple(map(float, polygon)) for entry in entries for polygon in entry["segmentation"])
    return Annotation(size, polygons, tuple(boxes))


def draw_mask(annotation: Annotation, stem: Path) -> Path:
    """Draw the polygons as a 1-bit PNG, unless that was done before, and return its path.

    The name is ``stem`` and a hash of what is drawn, so a folder of masks never goes stale.
    """
    digest = hashlib.sha256(repr((annotation.size, annotation.polygons)).encode()).hexdigest()[:8]
    path = stem.with_name(f"{stem.name}-{digest}.png")
    if path.is_file():
        return path
    mask = Image.new("1", annotation.size)
    for polygon in annotation.polygons:
        ImageDraw.Draw(mask).polygon(polygon, fill=1, outline=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")  # several processes may draw the same mask
    mask.save(unfinished, "PNG")
    unfinished.replace(path)
    return path
