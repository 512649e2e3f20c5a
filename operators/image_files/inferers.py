"""What the evaluator of a bundle's ``inference.json`` computes of each image file: by the application's own functions.

So probability, state, heat map and mask are the application's. An image that is declined or fails becomes an
``ExcludedImage``, which ``prediction_writer`` lists; the run goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers.inferer import Inferer
from numpy.typing import NDArray
from torch import nn

from operators.image_files.errors import ImageFilesError
from operators.image_files.image_file import ImageFile
from operators.networks.bundle import Bundle
from operators.networks.loading import load_classifier, load_segmenter
from operators.pipeline import classification, localization
from operators.records.errors import InvalidDicomError
from operators.records.geometry import PixelBox
from operators.records.images import Classification
from operators.records.reasons import FailedReason
from operators.records.rules import PromptRule
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.study import Study
from operators.segmentation.outline import outline_each


def open_classifier(bundle_root: str) -> Bundle:
    """Load a bundle that classifies.

    Raises
    ------
    BundleError
        If it cannot be used.
    """
    return load_classifier(Path(bundle_root))


def open_segmenter(bundle_root: str, checkpoint: str | None = None) -> Bundle:
    """Load a bundle that outlines, or a published checkpoint in its place.

    Raises
    ------
    BundleError
        If it cannot be used.
    """
    return load_segmenter(Path(bundle_root), checkpoint)


def load_weights(network: nn.Module, bundle: Bundle) -> nn.Module:
    """Give a network the weights of a verified bundle, and return it as the application uses it.

    ``network_def`` of a bundle describes a network; this makes it the bundle's model, whoever built it.

    Raises
    ------
    ImageFilesError
        If it is not the network that the bundle's weights belong to.
    """
    try:
        network.load_state_dict(bundle.network.state_dict())
    except RuntimeError as error:
        detail = f"network_def is not the network that the weights of bundle {bundle.name} belong to; do not change it"
        raise ImageFilesError(detail) from error
    return network.eval().to(memory_format=torch.channels_last)


class ClassificationInferer(Inferer):
    """Classify an image that was read, as the application's chain does."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __call__(
        self, inputs: ImageFile | ExcludedImage, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Classification | ExcludedImage:
        """Return the classification by ``network``, with what the bundle's own map is made of."""
        bundle = dataclasses.replace(self.bundle, network=network)
        stage = classification((bundle,), bundle.fitted.maps)
        image = inputs if isinstance(inputs, ExcludedImage) else inputs.radiograph
        classified: Study[Classification] = stage(Study(None, (image,)))
        return classified.images[0]


class AddHeatMap:
    """Postprocessing: make of ``pred``, a classification, a localization, as the application's chain does."""

    def __init__(self, bundle: Bundle) -> None:
        self.stage = localization(bundle.fitted.boxes)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return new data."""
        return {**data, "pred": self.stage(Study(None, (data["pred"],))).images[0]}


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """What SAM outlined in an image: ``masks`` (rows, columns) bool, ``predicted_iou`` [0, 1], one per box."""

    image: ImageFile
    boxes: tuple[PixelBox, ...]
    masks: tuple[NDArray[np.bool_], ...]
    predicted_iou: tuple[float, ...]

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.image.source


def prompt_rule(zoom: float | None, prompt: str, votes: int, masks: str) -> PromptRule:
    """Return how SAM is prompted.

    Raises
    ------
    ImageFilesError
        If a value is impossible.
    """
    try:
        return PromptRule(zoom, prompt=prompt, votes=votes, masks=masks)
    except ValueError as error:
        raise ImageFilesError(str(error)) from error


class PromptedInferer(Inferer):
    """Outline what the boxes of an image that was read hold."""

    def __init__(self, bundle: Bundle, rule: PromptRule) -> None:
        self.bundle = bundle
        self.rule = rule

    def __call__(
        self, inputs: ImageFile | ExcludedImage, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Outlines | ExcludedImage:
        """Return the outlines by ``network`` of ``args[0]``, the boxes."""
        bundle = dataclasses.replace(self.bundle, network=network)
        return Study(None, (inputs,)).map(lambda image: outline_boxes(image, args[0], bundle, self.rule)).images[0]


def outline_boxes(image: ImageFile, boxes: Sequence[PixelBox], bundle: Bundle, rule: PromptRule) -> Outlines:
    """Outline the finding of every box, as ``segmentation.segment`` does; what of a box lies outside is cut off.

    There is no heat map: ``box_points`` is ``box_centre``, ``best_of_three`` goes by the predicted IoU alone.

    Raises
    ------
    InvalidDicomError
        If a box lies wholly outside the image.
    """
    pixels = image.radiograph.pixels
    rows, columns = pixels.shape
    inside = []
    for number, box in enumerate(boxes, start=1):
        if box.left >= columns or box.top >= rows or min(box.right, box.bottom) <= 0:
            detail = f"box {number} lies outside the {columns} x {rows} pixels; correct boxes_xyxy"
            raise InvalidDicomError(FailedReason.HEADER_INVALID, detail)
        inside.append(PixelBox(max(box.left, 0), max(box.top, 0), min(box.right, columns), min(box.bottom, rows)))
    outlines = outline_each(pixels, inside, bundle, rule)
    return Outlines(image, tuple(inside), tuple(mask for mask, _ in outlines), tuple(score for _, score in outlines))


class AddLabels:
    """Postprocessing: add ``labels`` to ``pred``, the outlines: n where the n-th box's mask lies, 0 elsewhere."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return new data."""
        return {**data, "labels": None if isinstance(data["pred"], ExcludedImage) else label_map(data["pred"])}


def label_map(outlines: Outlines) -> NDArray[np.uint8]:
    """Return (rows, columns) uint8 labels 1 to n; a pixel of several masks keeps the label of the first."""
    labels = np.zeros(outlines.image.radiograph.pixels.shape, np.uint8)
    for number, mask in enumerate(outlines.masks, start=1):
        labels[mask & (labels == 0)] = number
    return labels
