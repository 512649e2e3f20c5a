"""How well heat map, boxes and outlines meet the expert's masks.

``python -m training.localization_benchmark data/fracatlas --split val`` runs the application's own code on the abnormal
images of a manifest with boxes and masks, and on the normal ones for false boxes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from operators.bundle import load_bundle
from operators.classification import classify
from operators.geometry import PixelBox
from operators.localization import BoxRule, localize
from operators.records import Bundle, Classification, Localization
from operators.segmentation import PromptRule, segment
from training.data import read_pixels
from training.fit import radiograph_of
from training.manifest import ImageRecord, read_manifest
from training.metrics import bootstrap_interval, dice, match_boxes
from training.prompts import pixel_box

RESAMPLES = 2000
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of finding and outlining: the bundles and their rules."""

    classifier: Bundle
    segmenter: Bundle
    boxes: BoxRule
    prompt: PromptRule


@dataclass(frozen=True, slots=True)
class Row:
    """What one abnormal image gave; Dice is of the union of all outlines against the expert's mask."""

    group: str
    hit: bool
    true_boxes: int
    found_at_30: int
    false_boxes: int
    dice_filled_box: float
    dice_ellipse: float
    dice_given_boxes: float
    dice_own_boxes: float
    state: str
    seconds: float


def ellipse(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Return the ellipse inscribed in a box, (rows, columns) bool."""
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    cx, cy = (box.left + box.right - 1) / 2, (box.top + box.bottom - 1) / 2
    return np.asarray(((x - cx) / (box.width / 2)) ** 2 + ((y - cy) / (box.height / 2)) ** 2 <= 1)


def filled(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Return a box as a mask, (rows, columns) bool."""
    mask = np.zeros(shape, bool)
    mask[box.slices()] = True
    return mask


def union(masks: Iterable[Mask], shape: tuple[int, ...]) -> Mask:
    """Return the union of masks, empty if there is none."""
    total = np.zeros(shape, bool)
    for mask in masks:
        total |= mask
    return total


def measure(record: ImageRecord, arm: Arm) -> Row:
    """Run the chain on one abnormal image, with the expert's boxes and with its own; the gate is open."""
    started = time.perf_counter()
    classification = classify(radiograph_of(record), arm.classifier)
    own = localize(_opened(classification), arm.boxes)
    outlined = segment(own, arm.segmenter, arm.prompt)
    seconds = time.perf_counter() - started
    expert = read_pixels(str(record.mask)) > 0
    given = tuple(pixel_box(box) for box in record.boxes)
    shape = expert.shape
    prompted = segment(Localization(classification, own.heatmap, given, (1.0,) * len(given)), arm.segmenter, arm.prompt)
    brightest = np.unravel_index(int(own.heatmap.argmax()), shape)
    found = match_boxes(own.boxes, given, 0.3)
    return Row(
        group=record.group,
        hit=bool(expert[brightest]),
        true_boxes=len(given),
        found_at_30=found,
        false_boxes=len(own.boxes) - found,
        dice_filled_box=dice(union((filled(box, shape) for box in given), shape), expert),
        dice_ellipse=dice(union((ellipse(box, shape) for box in given), shape), expert),
        dice_given_boxes=dice(union(prompted.masks, shape), expert),
        dice_own_boxes=dice(union(outlined.masks, shape), expert),
        state=classification.state,
        seconds=seconds,
    )


def _opened(classification: Classification) -> Classification:
    """Return the classification as if it had called the image abnormal, so that boxes are measured without the gate."""
    fields = {name: getattr(classification, name) for name in Classification.__slots__}
    return Classification(**{**fields, "state": "abnormal"})


def summarise(rows: list[Row], false_boxes_normal: list[int]) -> dict[str, Any]:
    """Return {measure: [value, lower, upper]} over abnormal images, and the false boxes per image."""
    groups = [row.group for row in rows]
    column = {
        name: np.array([getattr(row, name) for row in rows], float)
        for name in Row.__slots__
        if name not in ("group", "state")
    }
    measures = {
        "pointing_game": lambda i: column["hit"][i].mean(),
        "box_recall_iou_30": lambda i: column["found_at_30"][i].sum() / column["true_boxes"][i].sum(),
    } | {name: (lambda i, name=name: column[name][i].mean()) for name in column if name.startswith("dice_")}
    everyone = np.arange(len(rows))
    summary: dict[str, Any] = {
        name: [round(float(value), 4) for value in (measure(everyone), *bootstrap_interval(measure, groups, RESAMPLES))]
        for name, measure in measures.items()
    }
    gated = np.array([row.state != "normal" for row in rows])
    summary["dice_own_boxes_gated"] = round(float((column["dice_own_boxes"] * gated).mean()), 4)
    summary["false_boxes_per_abnormal_image"] = round(float(column["false_boxes"].mean()), 3)
    summary["boxes_per_normal_image"] = round(float(np.mean(false_boxes_normal)), 3) if false_boxes_normal else None
    summary["seconds_per_image"] = round(float(np.median(column["seconds"])), 3)
    summary["images"] = {"abnormal": len(rows), "normal": len(false_boxes_normal)}
    return summary


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m training.localization_benchmark", description=__doc__)
    parser.add_argument("dataset_dir", type=Path)
    parser.add_argument("--split", choices=["train", "val", "test"], default="val")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"))
    parser.add_argument("--zoom", type=float, default=2.5)
    parser.add_argument("--most", type=int, default=3, help="boxes per image")
    parser.add_argument("--output", type=Path, help="write the rows and the summary here, as JSON")
    options = parser.parse_args(arguments)
    classifier = load_bundle(options.bundles / "msk_resnet50")
    fitted = classifier.metadata["localization"]
    rule = BoxRule("components", fitted["threshold"], fitted["expansion"], options.most, 50)
    arm = Arm(classifier, load_bundle(options.bundles / "msk_sam"), rule, PromptRule(options.zoom))
    rows, false_boxes = [], []
    for record in tqdm(
        read_manifest(options.dataset_dir, options.split), unit="image", disable=not sys.stderr.isatty()
    ):
        if record.mask is not None:
            rows.append(measure(record, arm))
        elif record.label == 0:
            false_boxes.append(len(localize(classify(radiograph_of(record), classifier), rule).boxes))
    summary = summarise(rows, false_boxes)
    text = json.dumps(summary, indent=1)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(
            json.dumps({"summary": summary, "rows": [asdict(row) for row in rows]}, indent=1), "utf-8"
        )
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
