"""The frozen records that travel on the wires; each keeps the one before it.

A wire carries one ``study.Study``; its images are records of the wire's stage, or ``ExcludedImage`` once an image is
declined or has failed. Arrays are read-only from construction on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.errors import ImageError
from operators.geometry import PixelBox, PixelGeometry

if TYPE_CHECKING:  # the decoder's child process reads headers and has no use for torch
    from torch import nn


def _freeze(*arrays: NDArray[Any]) -> None:
    for array in arrays:
        array.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A file of the input folder. ``name`` is its path relative to that folder, for ``result.json`` only."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class HeaderReply:
    """What reading a header gives.

    ``header`` is the normalised copy (``dicom_source``), ``problem`` what is wrong with its identity,
    ``changes`` what was changed in the copy, by tag.
    """

    header: Dataset
    has_pixel_data: bool
    problem: ImageError | None
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """A DICOM image whose header is read and whose pixels are not.

    ``header`` is the normalised copy (``dicom_source``); ``body_part`` is a defined term of PS3.16 Annex L, or None
    if the header names none; ``imager_pixel_spacing_mm`` is (row, column) at the detector plane, or None.
    """

    file: SourceFile
    header: Dataset
    sop_instance_uid: str
    body_part: str | None
    view_position: str | None
    laterality: str | None
    imager_pixel_spacing_mm: tuple[float, float] | None
    has_pixel_data: bool

    @property
    def source(self) -> SourceImage:
        """Return itself: every record on a wire knows its source image."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class ExcludedImage:
    """An image that will not be analysed: ``state`` is declined or failed, ``reason`` one of ``errors``' codes."""

    source: SourceImage | SourceFile
    state: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """``pixels`` (rows, columns) float32 [0, 1], MONOCHROME2 sense: more attenuation is brighter."""

    source: SourceImage
    pixels: NDArray[np.float32]

    def __post_init__(self) -> None:
        _freeze(self.pixels)


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Probabilities fitted on validation data: below ``rule_out`` normal, at or above ``rule_in`` abnormal."""

    rule_out: float
    rule_in: float

    def state(self, probability: float) -> str:
        """Return normal, doubt or abnormal."""
        if probability < self.rule_out:
            return "normal"
        return "abnormal" if probability >= self.rule_in else "doubt"


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified MONAI bundle: its network in evaluation mode, its pre-processing and its metadata.

    ``preprocess`` takes (rows, columns) float32 [0, 1] and returns (channels, height, width), scaled and then padded
    at the right and the bottom only. ``sha256`` is that of the weights file.
    """

    name: str
    version: str
    sha256: str
    network: nn.Module
    preprocess: Callable[[NDArray[np.float32]], Any]  # a MONAI MetaTensor: a tensor with its affine
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one classifier says of one radiograph.

    ``logit`` is the network's own output; ``probability`` [0, 1] is calibrated; ``state`` is by the classifier's own
    operating points.
    """

    bundle: str
    logit: float
    probability: float
    state: str


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStage:
    """What a stage of the network says of a view, mirrored back where the view is: every stage lies as the image.

    ``features`` (channels, h, w) float32; ``gradients`` of the network's own logit with respect to them, the same
    shape, or None where no map needs them; ``stride``: pixels of the view's input per cell.
    """

    features: NDArray[np.float32]
    gradients: NDArray[np.float32] | None
    stride: float

    def __post_init__(self) -> None:
        _freeze(self.features)
        if self.gradients is not None:
            _freeze(self.gradients)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureView:
    """One look of the network at a radiograph: its stages, the one that the head pools last; ``flipped``: mirrored."""

    stages: tuple[FeatureStage, ...]
    geometry: PixelGeometry
    flipped: bool


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """What the classifier says of one radiograph, or several classifiers together.

    ``probability`` [0, 1] of "abnormal"; ``views``: the plain one first, from which probability and state come, then
    those that only the map is made of; ``feature_weights`` (channels,) and ``feature_bias``: weights x features + bias
    is the class activation map in logits. ``feature_bias`` is None where the map has no absolute scale
    (gradient-weighted maps). Of several classifiers, the first gives the views and all that belongs to them;
    ``opinions`` holds each one's own result, in order.
    """

    radiograph: Radiograph
    probability: float
    state: str
    views: tuple[FeatureView, ...]
    feature_weights: NDArray[np.float32]
    feature_bias: float | None
    opinions: tuple[Opinion, ...]

    def __post_init__(self) -> None:
        _freeze(self.feature_weights)

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.radiograph.source

    @property
    def features(self) -> NDArray[np.float32]:
        """What the head pools of the plain view, (channels, h, w) float32."""
        return self.views[0].stages[-1].features

    @property
    def feature_stride(self) -> float:
        """Input pixels per cell of ``features``."""
        return self.views[0].stages[-1].stride

    @property
    def geometry(self) -> PixelGeometry:
        """Where the image lies in the input of the plain view."""
        return self.views[0].geometry

    @property
    def logit(self) -> float:
        """The uncalibrated logit of the classifier whose features these are."""
        return self.opinions[0].logit

    @property
    def disputed(self) -> bool:
        """Whether one classifier calls the image normal and another abnormal."""
        return {"normal", "abnormal"} <= {opinion.state for opinion in self.opinions}


@dataclass(frozen=True, slots=True, eq=False)
class Localization:
    """Where the classifier saw it: ``heatmap`` (rows, columns) float32 [0, 1]; ``boxes`` and their ``scores`` [0, 1].

    No box: nothing to outline. ``map_name`` says which map it is, as a fragment of a sentence. The scores are peaks of
    the map: probabilities, unless ``relative`` says that the map has no absolute scale.
    """

    classification: Classification
    heatmap: NDArray[np.float32]
    boxes: tuple[PixelBox, ...]
    scores: tuple[float, ...]
    map_name: str = ""
    relative: bool = False

    def __post_init__(self) -> None:
        _freeze(self.heatmap)

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.classification.source


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The outline of each box's finding: ``masks`` (rows, columns) bool, ``predicted_iou`` [0, 1], one per box."""

    localization: Localization
    masks: tuple[NDArray[np.bool_], ...]
    predicted_iou: tuple[float, ...]

    def __post_init__(self) -> None:
        _freeze(*self.masks)

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.localization.source


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """A segmentation and the image's DICOM objects in memory.

    ``objects`` by kind, the word that its file is named by: ``seg`` (none without a finding to outline), ``heatmap``,
    ``labelmap``, ``sc``, ``gsps``. ``tracking_uids`` are shared by all objects, one per box; ``segment_numbers`` is
    None for a box whose mask is empty.
    """

    segmentation: Segmentation
    objects: Mapping[str, Dataset]
    tracking_uids: tuple[str, ...]
    segment_numbers: tuple[int | None, ...]

    @property
    def seg(self) -> Dataset | None:
        """The SEG object, None without a finding to outline."""
        return self.objects.get("seg")

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.segmentation.source
