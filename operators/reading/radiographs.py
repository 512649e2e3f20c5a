"""Source image -> radiograph: is it in scope, and if so, its pixels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.reading.decoder import Decoder, PixelReply
from operators.reading.dicom_file import NotDicomError
from operators.reading.plausibility.exposed_field import exposed_field, field_doubts
from operators.reading.plausibility.header import header_doubts
from operators.reading.plausibility.orientation import upright_turns
from operators.reading.scope import check_scope
from operators.records.errors import InvalidDicomError, UnsupportedImageError
from operators.records.geometry import ImageField
from operators.records.images import Radiograph
from operators.records.reasons import DeclinedReason, DoubtReason, FailedReason
from operators.records.rules import Scope
from operators.records.sources import SourceImage

logger = logging.getLogger(__name__)


def read_radiograph(source: SourceImage, scope: Scope, decoder: Decoder) -> Radiograph:
    """Return the picture of an image in scope, with every reason to doubt what will be said of it.

    Raises
    ------
    ImageError
        If the image is declined, if its pixels cannot be decoded, or if the file is not the one whose header was read;
        the reason is coded.
    """
    unknown_part = source.was_emptied("BodyPartExamined") or source.was_emptied("AnatomicRegionSequence")
    check_scope(source.header, scope, unknown_part=unknown_part, picture=source.file.picture)
    if not source.has_pixel_data:
        raise UnsupportedImageError(DeclinedReason.NO_PIXEL_DATA, "no pixel data; send the whole image")
    reply = _pixels_of(source, decoder)
    found = header_doubts(source) + (DoubtReason.PIXEL_DATA_DOUBTFUL,) * reply.doubtful
    return dataclasses.replace(radiograph_of(source, reply.picture, scope, found), sha256=reply.sha256)


def radiograph_of(
    source: SourceImage, pixels: NDArray[np.float32], scope: Scope, found: Sequence[DoubtReason] = ()
) -> Radiograph:
    """Return a picture, the part of it that is analysed, and every reason for doubt, those ``found`` before first."""
    window = exposed_field(pixels, source.header)
    found = (*found, *field_doubts(pixels, window))
    if found:
        logger.info("%s: reasons for doubt: %s", source, ", ".join(found))
    doubts = tuple(reason for reason in found if reason not in scope.accepted_doubts)
    relaxed = tuple(reason for reason in found if reason in scope.accepted_doubts)
    field = ImageField(window, upright_turns(source.header, source.body_part))
    return Radiograph(source, pixels, doubts, relaxed, field=field)


def _pixels_of(source: SourceImage, decoder: Decoder) -> PixelReply:
    """Return the pixels of the very file whose header was read; under another header they were another patient's."""
    changed = "the file was replaced or changed while the run was reading; analyse it again"
    try:
        reply = decoder.pixels(source.file.data)
    except NotDicomError as error:
        raise InvalidDicomError(FailedReason.UNREADABLE_FILE, changed) from error
    if reply.header_sha256 != source.header_sha256:
        raise InvalidDicomError(FailedReason.UNREADABLE_FILE, changed)
    return reply
