"""Run the benchmark's arms on images with the application's own code: one row per arm and image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from operators.localization.activation_maps import activation_map
from operators.localization.boxes import find_boxes, shown
from operators.localization.localize import localization_of
from operators.networks.bundle import Bundle
from operators.pipeline import classification, segmentation
from operators.records.geometry import PixelBox
from operators.records.images import Classification, Localization, Radiograph, Segmentation
from operators.records.rules import BoxRule, MapRule
from training.batches.findings import pixel_box
from training.batches.images import read_pixels
from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord
from training.evaluation.overlap import match_boxes
from training.fitting.predictions import record_as_radiograph
from training.localization.arms import FILLED, OUTLINES, Arm, joint_rules
from training.localization.froc import first_hits
from training.localization.masks import Mask, agreement, brightest, ellipse, filled, in_a_box, overlap, union
from training.localization.rows import RECALL_IOUS, BoxRow, Case, ImageRow, Measured, OutlineRow, Tools


def read_case(record: ImageRecord, name: str) -> Case:
    """Read an image, its mask and its boxes; a mask without boxes gives one per connected region.

    Raises
    ------
    InputError
        If the mask is not as large as the image.
    """
    radiograph = record_as_radiograph(record)
    expert = None if record.mask is None else read_pixels(str(record.mask)) > 0
    if expert is not None and expert.shape != radiograph.pixels.shape:
        raise InputError(f"{record.mask}: not as large as {record.path}; draw the mask on the image's own pixels")
    if expert is not None and not expert.any():
        expert = None
    boxes = tuple(pixel_box(box) for box in record.boxes)
    return Case(record, name, radiograph, expert, boxes if boxes or expert is None else regions(expert))


def regions(mask: Mask) -> tuple[PixelBox, ...]:
    """Return the boxes of a mask's connected regions."""
    found = ndimage.find_objects(ndimage.label(mask)[0])
    return tuple(PixelBox(x.start, y.start, x.stop, y.stop) for y, x in found)


def measure(case: Case, tools: Tools, arms: Sequence[Arm]) -> Measured:
    """Run all arms on one image; images without a finding are not outlined."""
    views = classify_once(case.radiograph, tools.classifier, [arm.maps for arm in arms])
    maps = {rule: _Mapped(seen, activation_map(seen, rule)) for rule, seen in views.items()}
    cut = {
        key: find(maps[key[0]], key[1], tools.maximum_boxes) for key in dict.fromkeys((a.maps, a.boxes) for a in arms)
    }
    boxes = [box_row(arm.name, case, maps[arm.maps], *cut[arm.maps, arm.boxes]) for arm in arms if arm.kind != OUTLINES]
    outlines = []
    if case.record.label == 1:
        for arm in (arm for arm in arms if arm.kind == OUTLINES):
            found, taken = cut[arm.maps, arm.boxes]
            outlines.append(outline_row(arm, case, tools, maps[arm.maps].localization(found[:taken], arm.maps)))
    state = next(iter(views.values())).state
    return Measured(image_row(case, tools.classifier.name, state), tuple(boxes), tuple(outlines))


def classify_once(
    radiograph: Radiograph, classifier: Bundle, rules: Iterable[MapRule]
) -> dict[MapRule, Classification]:
    """Return a classification for every map, of as few runs of the network as they allow."""
    rules = list(dict.fromkeys(rules))
    done = {
        rule.needs_gradients: classification((classifier,), rule, everything=True).step(radiograph)
        for rule in joint_rules(rules)
    }
    return {rule: done[rule.needs_gradients] for rule in rules}


class _Mapped:
    """A classification with its map; the map on the original pixels is made when it is first asked for."""

    def __init__(self, classification: Classification, cells: NDArray[np.float32]) -> None:
        self.classification = classification
        self.cells = cells
        self._heatmap: NDArray[np.float32] | None = None

    @property
    def heatmap(self) -> NDArray[np.float32]:
        """The map, (rows, columns) float32 [0, 1]."""
        if self._heatmap is None:
            geometry, stride = self.classification.geometry, self.classification.feature_stride
            self._heatmap = geometry.map_to_original(self.cells, stride)
        return self._heatmap

    def localization(self, found: Sequence[tuple[float, PixelBox]], rule: MapRule) -> Localization:
        """Return the record that the application would hand on."""
        return localization_of(self.classification, self.cells, list(found), rule)


def find(mapped: _Mapped, rule: BoxRule, maximum: int) -> tuple[list[tuple[float, PixelBox]], int]:
    """Return up to ``maximum`` boxes whatever their score, and how many of them, from the first, the rule takes."""
    wide = replace(rule, minimum_score=0.0, maximum_boxes=max(maximum, rule.maximum_boxes))
    found = find_boxes(mapped.classification, mapped.cells, wide)
    return found, min(len(shown(found, rule.minimum_score)), rule.maximum_boxes)


def box_row(arm: str, case: Case, mapped: _Mapped, found: list[tuple[float, PixelBox]], taken: int) -> BoxRow:
    """Measure the map and the boxes of an arm on one image."""
    boxes = [box for _, box in found]
    point = brightest(mapped.heatmap) if case.boxes else None
    expert = case.expert
    return BoxRow(
        arm=arm,
        image=case.name,
        in_mask=None if expert is None else point is not None and bool(expert[point]),
        in_box=None if not case.boxes else point is not None and in_a_box(point, case.boxes),
        boxes=tuple((box.left, box.top, box.right, box.bottom) for box in boxes),
        scores=tuple(round(score, 6) for score, _ in found),
        hits=first_hits(boxes, case.boxes),
        taken=taken,
        found=tuple(match_boxes(boxes[:taken], case.boxes, iou) for iou in RECALL_IOUS),
    )


def outline_row(arm: Arm, case: Case, tools: Tools, own: Localization) -> OutlineRow:
    """Measure the outlines of an arm on one image, in the expert's boxes and in the arm's."""
    given = case.boxes if case.expert is not None else ()
    masks = outlines(arm, replace(own, boxes=(*own.boxes, *given), scores=(*own.scores, *[1.0] * len(given))), tools)
    of_own, of_given = (union(part, case.shape) for part in (masks[: len(own.boxes)], masks[len(own.boxes) :]))
    if case.expert is None:
        return OutlineRow(arm.name, case.name, None, None, agreement(of_own, own.heatmap, arm.boxes.threshold))
    return OutlineRow(arm.name, case.name, overlap(of_given, case.expert), overlap(of_own, case.expert), None)


def outlines(arm: Arm, localization: Localization, tools: Tools) -> Sequence[Mask]:
    """Return an arm's mask of every box; an image that several boxes share is encoded once."""
    if arm.prompt is not None:
        outlined: Segmentation = segmentation(tools.segmenter, arm.prompt).step(localization)
        return outlined.masks
    draw = filled if arm.drawn == FILLED else ellipse
    return [draw(box, localization.heatmap.shape) for box in localization.boxes]


def image_row(case: Case, classifier: str, state: str) -> ImageRow:
    """Return what is known of an image whatever the arm."""
    record, expert = case.record, case.expert
    return ImageRow(
        classifier=classifier,
        image=case.name,
        group=record.group,
        body_part=record.body_part,
        label=record.label,
        state=state,
        findings=len(case.boxes),
        share=None if expert is None else round(float(expert.mean()), 8),
        diagonal=math.hypot(*case.shape),
    )
