"""The records of one image, from its pixels to its DICOM objects; each keeps the one before it.

Arrays are read-only from construction on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.records.geometry import ImageField, PixelBox, PixelGeometry, whole_image
from operators.records.reasons import DoubtReason
from operators.records.rules import PLAIN, MapRule
from operators.records.sources import SourceImage
from operators.records.states import State


def _freeze(*arrays: NDArray[Any]) -> None:
    for array in arrays:
        array.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """``pixels`` (rows, columns) float32 [0, 1], MONOCHROME2 sense: more attenuation is brighter.

    ``doubts`` keep the image from being called normal; ``relaxed`` are reasons for doubt that ``app.yaml`` accepts, so
    they are told and nothing more. ``sha256`` is of the stored values and of what the header says of them, lower-case
    hexadecimal; empty for a picture that is not from a DICOM file. ``field`` is the part that is analysed, and how it
    is turned upright; None: all of the image, as it is stored.
    """

    source: SourceImage
    pixels: NDArray[np.float32]
    doubts: tuple[DoubtReason, ...] = ()
    relaxed: tuple[DoubtReason, ...] = ()
    sha256: str = ""
    field: ImageField | None = None

    def __post_init__(self) -> None:
        _freeze(self.pixels)

    @property
    def analysed(self) -> ImageField:
        """The part that is analysed."""
        return self.field or ImageField(whole_image(*self.pixels.shape))

    def doubted(self, reason: DoubtReason, *, accepted: bool) -> Radiograph:
        """Return the radiograph with one more reason for doubt, or with one that ``app.yaml`` accepts."""
        if accepted:
            return dataclasses.replace(self, relaxed=(*self.relaxed, reason))
        return dataclasses.replace(self, doubts=(*self.doubts, reason))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one classifier says of one radiograph.

    ``logit`` is the network's own output; ``probability`` [0, 1] is calibrated; ``state`` is by the classifier's own
    operating points.
    """

    bundle: str
    logit: float
    probability: float
    state: State


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
    ``opinions`` holds each one's own result, in order. ``map_rule`` says which map the views were computed for.
    ``withheld``: by its probability the image is normal, and ``doubts`` keep it from being called so.
    """

    radiograph: Radiograph
    probability: float
    state: State
    views: tuple[FeatureView, ...]
    feature_weights: NDArray[np.float32]
    feature_bias: float | None
    opinions: tuple[Opinion, ...]
    map_rule: MapRule = PLAIN
    withheld: bool = False

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
    def doubts(self) -> tuple[DoubtReason, ...]:
        """Why the image is never called normal, whatever its probability."""
        return self.radiograph.doubts

    @property
    def has_finding(self) -> bool:
        """Whether there is something to show: not of a normal image, nor of one that only ``doubts`` put in doubt."""
        return self.state != State.NORMAL and not self.withheld

    @property
    def disputed(self) -> bool:
        """Whether one classifier calls the image normal and another abnormal."""
        return {State.NORMAL, State.ABNORMAL} <= {opinion.state for opinion in self.opinions}


@dataclass(frozen=True, slots=True, eq=False)
class Localization:
    """Where the classifier saw it: ``heatmap`` (rows, columns) float32 [0, 1]; ``boxes`` and their ``scores`` [0, 1].

    No box: nothing to outline. ``map_rule`` is the rule of the map that was made, which for a normal image may be less
    than what was asked for. The scores are peaks of the map: probabilities, unless ``relative`` says that the map has
    no absolute scale. No box scores less than ``minimum_score``.
    """

    classification: Classification
    heatmap: NDArray[np.float32]
    boxes: tuple[PixelBox, ...]
    scores: tuple[float, ...]
    map_rule: MapRule = PLAIN
    relative: bool = False
    minimum_score: float = 0.0

    def __post_init__(self) -> None:
        _freeze(self.heatmap)

    @property
    def unmarked(self) -> bool:
        """Whether the image has a finding, and nothing on its map is bright enough for a box."""
        return self.classification.has_finding and not self.boxes

    @property
    def map_name(self) -> str:
        """What to call the map within a sentence."""
        return self.map_rule.name

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.classification.source


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The outline of each box's finding: ``masks`` (rows, columns) bool, ``predicted_iou`` [0, 1], one per box."""

    localization: Localization
    masks: Sequence[NDArray[np.bool_]]
    predicted_iou: tuple[float, ...]

    def __post_init__(self) -> None:
        for mask in self.masks:
            _freeze(mask)

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.localization.source


@dataclass(frozen=True, slots=True)
class BoxMark:
    """A box in original pixels, and in the picture the tag of its number: ``left``, ``top``, ``width``, ``height``."""

    number: int
    box: PixelBox
    tag: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image and its layers; boxes and outlines are pixel edges of the original image.

    The picture is ``columns`` wide and ``height`` high: pixels are drawn in their true shape. ``radiograph`` is a JPEG,
    ``heat`` a WebP with an alpha channel, both stretched to that size; ``heat`` is None for an image without a finding.
    ``aspect`` is the height of a pixel over its width. ``outlines`` are closed polygons (n, 2) of (column, row), per
    box, none where nothing was outlined.
    """

    columns: int
    rows: int
    radiograph: bytes
    heat: bytes | None
    boxes: tuple[BoxMark, ...]
    outlines: tuple[tuple[NDArray[np.float64], ...], ...]
    map_name: str
    aspect: float = 1.0

    @property
    def height(self) -> float:
        """Of the picture, in columns of the image."""
        return self.rows * self.aspect


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """A segmentation and the image's DICOM objects.

    ``objects`` by kind, the word that its file is named by: ``seg`` (none without a finding to outline), ``heatmap``,
    ``labelmap``, ``sc``, ``gsps``. ``tracking_uids`` are shared by all objects, one per box; ``segment_numbers`` is
    None for a box whose mask is empty. ``picture`` is what page and document show.
    """

    segmentation: Segmentation
    objects: Mapping[str, Dataset]
    tracking_uids: tuple[str, ...]
    segment_numbers: tuple[int | None, ...]
    picture: Picture

    @property
    def seg(self) -> Dataset | None:
        """The SEG object, None without a finding to outline."""
        return self.objects.get("seg")

    @property
    def source(self) -> SourceImage:
        """The image that it is about."""
        return self.segmentation.source
