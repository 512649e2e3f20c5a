"""What a reader of the result has to know of an image that was analysed; one home for the report and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from operators.reading.normalised_header import is_referable
from operators.records.images import Classification


class Remark(StrEnum):
    """A remark, in words."""

    DISPUTED = "the classifiers disagree"
    NO_BODY_PART = "the header names no body part; it may be out of scope"
    BURNED_IN = "patient data are part of the picture, says its header; shown only where app.yaml allows them"
    NO_SPACING = "Imager Pixel Spacing in the header is not plausible and not used, so no size in mm is given"
    NOT_REFERABLE = "a UID of the header is invalid, so no DICOM object can refer to the image; see the report"


def remarks(classification: Classification) -> Iterator[Remark]:
    """Yield what holds for an image."""
    source = classification.source
    if classification.disputed:
        yield Remark.DISPUTED
    if source.body_part is None:
        yield Remark.NO_BODY_PART
    if source.header.get("BurnedInAnnotation") == "YES":
        yield Remark.BURNED_IN
    if source.was_emptied("ImagerPixelSpacing"):
        yield Remark.NO_SPACING
    if not is_referable(source.header):
        yield Remark.NOT_REFERABLE


def in_words(remark: Remark, classification: Classification) -> str:
    """Return a remark with what is known of this image."""
    if remark is Remark.DISPUTED:
        opinions = ", ".join(f"{opinion.bundle} {opinion.state}" for opinion in classification.opinions)
        return f"{remark} ({opinions})"
    return str(remark)
