"""Source image -> radiograph: is it in scope, and if so, its pixels."""

from __future__ import annotations

import logging

from operators.reading.decoder import Decoder
from operators.reading.scope import check_scope
from operators.records.errors import UnsupportedImageError
from operators.records.images import Radiograph
from operators.records.reasons import DeclinedReason, DoubtReason
from operators.records.rules import Scope
from operators.records.sources import SourceImage

logger = logging.getLogger(__name__)


def read_radiograph(source: SourceImage, scope: Scope, decoder: Decoder) -> Radiograph:
    """Return the picture of an image in scope, with every reason to doubt what will be said of it.

    Raises
    ------
    ImageError
        If the image is declined, or its pixels cannot be decoded; the reason is coded.
    """
    check_scope(source.header, scope)
    if not source.has_pixel_data:
        raise UnsupportedImageError(DeclinedReason.NO_PIXEL_DATA, "no pixel data; send the whole image")
    pixels = decoder.pixels(source.file.data)
    found = header_doubts(source)
    if found:
        logger.info("%s: reasons for doubt: %s", source.sop_instance_uid, ", ".join(found))
    doubts = tuple(reason for reason in found if reason not in scope.accepted_doubts)
    return Radiograph(source, pixels, doubts, tuple(reason for reason in found if reason not in doubts))


def header_doubts(source: SourceImage) -> tuple[DoubtReason, ...]:
    """Return what a header gives reason to doubt."""
    found = {DoubtReason.BODY_PART_ABSENT: source.body_part is None}
    return tuple(reason for reason, holds in found.items() if holds)
