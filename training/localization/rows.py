"""The rows of the benchmark: one per arm and image."""

from __future__ import annotations

from dataclasses import dataclass

from operators.networks.bundle import Bundle
from operators.records.geometry import PixelBox
from operators.records.images import Radiograph
from training.datasets.manifest import ImageRecord
from training.localization.masks import Mask, Overlap

RECALL_IOUS = (0.1, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class Tools:
    """The models that run on every image, and the number of boxes per image for the FROC curve."""

    classifier: Bundle
    segmenter: Bundle
    maximum_boxes: int


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An image with the expert's marks.

    ``expert`` is None where the finding's pixels are not known, ``boxes`` are empty where it has no box either.
    """

    record: ImageRecord
    name: str
    radiograph: Radiograph
    expert: Mask | None
    boxes: tuple[PixelBox, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the image."""
        return self.radiograph.pixels.shape


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image's label and marks, and the classifier's state; ``share`` of the image's pixels that the mask covers."""

    classifier: str
    image: str
    group: str
    body_part: str
    label: int
    state: str
    findings: int
    share: float | None
    diagonal: float


@dataclass(frozen=True, slots=True)
class BoxRow:
    """What one arm found in one image, the gate open.

    Parameters
    ----------
    in_mask, in_box
        Whether the brightest point lies in the expert's mask and in one of the expert's boxes; None without them.
    boxes, scores, hits
        The boxes for the FROC curve, the highest score first, and whether each finds a finding (IoU of at least .3).
    taken
        How many of them, from the first, the application takes.
    found
        Findings that those taken meet with an IoU of at least .1, .3 and .5.
    """

    arm: str
    image: str
    in_mask: bool | None
    in_box: bool | None
    boxes: tuple[tuple[int, int, int, int], ...]
    scores: tuple[float, ...]
    hits: tuple[bool, ...]
    taken: int
    found: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """How one arm outlined one abnormal image: in the expert's boxes, in its own boxes with the gate open.

    ``agreement`` of the own outlines with the thresholded map stands only where there is no expert's mask.
    """

    arm: str
    image: str
    given: Overlap | None
    own: Overlap | None
    agreement: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The rows of one image."""

    image: ImageRow
    boxes: tuple[BoxRow, ...]
    outlines: tuple[OutlineRow, ...]
