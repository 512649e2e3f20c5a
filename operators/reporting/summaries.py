"""What ``result.json`` says of studies and images."""

from __future__ import annotations

from dataclasses import dataclass

from operators.encoding.remarks import in_words, remarks
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage
from operators.records.reasons import DoubtReason, Reason
from operators.records.sources import ExcludedImage, SourceFile
from operators.records.states import State


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """A DICOM object in the output folder; ``file`` is relative to it."""

    file: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """What ``result.json`` says of an image; areas are None where nothing was outlined or no spacing is known."""

    file: str
    sop_instance_uid: str | None
    state: State
    reason: Reason | None
    detail: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    probability: float | None
    boxes: tuple[tuple[PixelBox, float], ...] = ()
    masks: tuple[tuple[int, float | None, float], ...] = ()
    outputs: tuple[str, ...] = ()
    doubts: tuple[DoubtReason, ...] = ()


@dataclass(frozen=True, slots=True)
class StudySummary:
    """What ``result.json`` says of a study."""

    study_instance_uid: str | None
    folder: str | None
    state: State
    probability: float | None
    outputs: tuple[WrittenObject, ...]
    images: tuple[ImageSummary, ...]


def summarise(image: EncodedImage | ExcludedImage, outputs: tuple[str, ...] = ()) -> ImageSummary:
    """Return what ``result.json`` says of an image."""
    source = image.source
    if isinstance(source, SourceFile):
        return _summary_of_file(source, image)  # type: ignore[arg-type]
    about = (source.body_part, source.view_position, source.laterality)
    if isinstance(image, ExcludedImage):
        return ImageSummary(
            source.file.name, source.sop_instance_uid, image.state, image.reason, image.detail, *about, None
        )
    localization = image.segmentation.localization
    classification = localization.classification
    spacing = source.imager_pixel_spacing_mm
    areas = [int(mask.sum()) for mask in image.segmentation.masks]
    return ImageSummary(
        source.file.name,
        source.sop_instance_uid,
        classification.state,
        None,
        "; ".join(in_words(remark, localization) for remark in remarks(localization)) or None,
        *about,
        classification.probability,
        boxes=tuple(zip(localization.boxes, localization.scores, strict=True)),
        masks=tuple(
            (area, None if spacing is None else area * spacing[0] * spacing[1], iou)
            for area, iou in zip(areas, image.segmentation.predicted_iou, strict=True)
        ),
        outputs=outputs,
        doubts=classification.doubts,
    )


def _summary_of_file(file: SourceFile, image: ExcludedImage) -> ImageSummary:
    return ImageSummary(file.name, None, image.state, image.reason, image.detail, None, None, None, None)
