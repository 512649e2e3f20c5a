"""The bundles as MONAI Label asks them: an image and what a person marked -> pixels and facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.image_files import (
    BODY_PARTS,
    AddHeatMap,
    ClassificationInferer,
    Decoder,
    Scope,
    open_classifier,
    open_segmenter,
)
from operators.image_files.image_file import ImageFile, read_image
from operators.networks.bundle import Bundle
from operators.networks.configuration import read_config
from operators.records.errors import ImageError
from operators.records.images import Localization
from operators.records.rules import PromptRule
from operators.records.sources import ExcludedImage, SourceFile
from operators.segmentation.outline import Outline, outline_each, outline_with_points, window_of
from operators.segmentation.prompts import Points
from operators.segmentation.sam import encode, sam_of
from training.datasets.errors import InputError
from training.monai_label.prompts import read_prompt

FINDING = "finding"  # the one label of the app
SCOPE = Scope(frozenset(BODY_PARTS), secondary_capture=False, smallest_side=64, largest_area=64_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """``values`` of the image's pixels, (rows, columns), uint8 labels or float32 [0, 1], and ``facts`` for JSON."""

    image: ImageFile
    values: NDArray[Any]
    facts: Mapping[str, Any]


class Model(Protocol):
    """What a bundle answers about an image; ``bundle`` is the one that the answer is by."""

    bundle: Bundle

    def answer(self, image: ImageFile, request: Mapping[str, Any]) -> Answer:
        """Return the answer to a request; ``InputError`` if it cannot be answered."""


def open_image(path: Path, decoder: Decoder) -> ImageFile:
    """Read a PNG, JPEG, NIfTI or DICOM file as the bundles' inference does.

    Raises
    ------
    InputError
        If the application would decline the image or it cannot be read.
    """
    try:
        return read_image(SourceFile(path, path.name), SCOPE, decoder)
    except ImageError as error:
        raise InputError(f"{error.state}, {error.reason}: {error.detail}") from error


class HeatMap:
    """The classifier: its heat map as pixels, its probability and state as facts."""

    def __init__(self, bundle_root: Path) -> None:
        self.bundle = open_classifier(str(bundle_root))
        self._classify = ClassificationInferer(self.bundle)
        self._localize = AddHeatMap(self.bundle)

    def localize(self, image: ImageFile) -> Localization:
        """Return what the application would say of the image.

        Raises
        ------
        InputError
            If it would decline the image or fail.
        """
        classified = self._classify(image, self.bundle.network)
        found: Localization | ExcludedImage = self._localize({"pred": classified})["pred"]
        if isinstance(found, ExcludedImage):
            raise InputError(f"{found.state}, {found.reason}: {found.detail}")
        return found

    def answer(self, image: ImageFile, request: Mapping[str, Any]) -> Answer:
        """Return the heat map, float32 [0, 1]; a request has nothing to say."""
        localization = self.localize(image)
        return Answer(image, np.asarray(localization.heatmap), facts_of(localization))


class Segmenter:
    """The segmenter: outlines what a person marks with a box, points, or both."""

    def __init__(self, bundle_root: Path) -> None:
        self.bundle = open_segmenter(str(bundle_root))
        self.rule = PromptRule(read_config(bundle_root).get("zoom"))

    def answer(self, image: ImageFile, request: Mapping[str, Any]) -> Answer:
        """Return labels, 1 on the finding. Of several possible boxes that of the highest predicted IoU is taken.

        Raises
        ------
        PromptError
            If nothing is marked, or something outside the image.
        """
        pixels = image.radiograph.pixels
        prompt = read_prompt(request, *pixels.shape)
        outlines = [(self._outline(pixels, box, prompt.points), box) for box in prompt.boxes]
        (mask, predicted_iou), box = max(outlines, key=lambda outlined: outlined[0][1])
        facts = {
            "label_names": {FINDING: 1},
            "box": dataclasses.asdict(box),
            "area_px": int(mask.sum()),
            "predicted_iou": predicted_iou,
        }
        return Answer(image, mask.astype(np.uint8), facts)

    def _outline(self, pixels: NDArray[np.float32], box: Any, points: Points) -> Outline:
        window = window_of(box, pixels.shape, self.rule)
        seen = np.all((points.positions >= (window.left, window.top)), axis=1)
        seen &= np.all((points.positions <= (window.right, window.bottom)), axis=1)
        visible = Points(points.positions[seen], points.labels[seen])  # SAM sees nothing of the others
        return outline_with_points(box, visible, encode(pixels, window, self.bundle), sam_of(self.bundle), self.rule)


class Findings:
    """Both: the classifier's boxes, outlined by the segmenter, as a first proposal to correct."""

    def __init__(self, heat_map: HeatMap, segmenter: Segmenter) -> None:
        self.bundle = segmenter.bundle
        self._heat_map = heat_map
        self._rule = segmenter.rule

    def answer(self, image: ImageFile, request: Mapping[str, Any]) -> Answer:
        """Return labels, 1 on every finding; without a box all are 0."""
        localization = self._heat_map.localize(image)
        pixels = image.radiograph.pixels
        outlines = outline_each(pixels, localization.boxes, self.bundle, self._rule)
        mask = np.any([mask for mask, _ in outlines], axis=0) if outlines else np.zeros(pixels.shape, bool)
        return Answer(image, mask.astype(np.uint8), {"label_names": {FINDING: 1}, **facts_of(localization)})


def facts_of(localization: Localization) -> dict[str, Any]:
    """Return what the classifier says of an image, for JSON."""
    classification = localization.classification
    boxes = zip(localization.boxes, localization.scores, strict=True)
    return {
        "probability": classification.probability,
        "state": str(classification.state),
        "boxes": [{**dataclasses.asdict(box), "score": score} for box, score in boxes],
    }
