"""What a reader of the result has to know of an image that was analysed; one home for the report and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from operators.reading.normalised_header import is_referable
from operators.records.images import Localization
from operators.records.reasons import REASONS, DoubtReason


class Remark(StrEnum):
    """A remark, in words."""

    DISPUTED = "the classifiers disagree"
    BURNED_IN = "patient data are part of the picture, says its header; shown only where app.yaml allows them"
    NO_SPACING = "Imager Pixel Spacing in the header is not plausible and not used, so no size in mm is given"
    NO_TERM_OF_PART = "Body Part Examined in the header is no defined term and not used; the coded region is"
    NO_TERM_OF_VIEW = "View Position in the header is no defined term and not used"
    PICTURE = "a picture without a DICOM header; boxes lie on image_<n>.dcm, turned as the EXIF data of the picture say"
    UNMARKED = "no place is marked"
    NOT_REFERABLE = "a UID of the header is invalid, so no DICOM object can refer to the image"


def remarks(localization: Localization) -> Iterator[Remark | DoubtReason]:
    """Yield what holds for an image, the reasons for doubt first."""
    classification, source = localization.classification, localization.source
    yield from (*classification.doubts, *classification.radiograph.relaxed)
    if classification.disputed:
        yield Remark.DISPUTED
    if localization.unmarked:
        yield Remark.UNMARKED
    if source.header.get("BurnedInAnnotation") == "YES":
        yield Remark.BURNED_IN
    if source.was_emptied("ImagerPixelSpacing"):
        yield Remark.NO_SPACING
    if source.was_emptied("BodyPartExamined"):
        yield Remark.NO_TERM_OF_PART
    if source.was_emptied("ViewPosition"):
        yield Remark.NO_TERM_OF_VIEW
    if source.file.picture:
        yield Remark.PICTURE
    if not is_referable(source.header):
        yield Remark.NOT_REFERABLE


def in_words(remark: Remark | DoubtReason, localization: Localization) -> str:
    """Return a remark with what is known of this image."""
    classification = localization.classification
    if isinstance(remark, DoubtReason):
        relaxed = remark in classification.radiograph.relaxed
        return f"{phrase(remark)} ({'accepted by app.yaml' if relaxed else 'so never called normal'})"
    if remark is Remark.DISPUTED:
        opinions = ", ".join(f"{opinion.bundle} {opinion.state}" for opinion in classification.opinions)
        return f"{remark} ({opinions})"
    if remark is Remark.UNMARKED:
        return unmarked_in_words(localization)
    return str(remark)


def unmarked_in_words(localization: Localization) -> str:
    """Return why an image with a finding has no box, as it stands within a sentence."""
    if localization.minimum_score > 0:
        return f"{Remark.UNMARKED}, as the heat map has no peak of {localization.minimum_score:.2f} or more"
    return f"{Remark.UNMARKED}, as the heat map has no peak"


def phrase(reason: DoubtReason) -> str:
    """Return a reason for doubt as it stands within a sentence."""
    meaning = REASONS[reason].meaning
    return f"{meaning[0].lower()}{meaning[1:]}"
