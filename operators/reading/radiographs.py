"""Source image -> radiograph: is it in scope, and if so, its pixels."""

from __future__ import annotations

from operators.reading.decoder import Decoder
from operators.reading.scope import check_scope
from operators.records.errors import UnsupportedImageError
from operators.records.images import Radiograph
from operators.records.reasons import DeclinedReason
from operators.records.rules import Scope
from operators.records.sources import SourceImage


def read_radiograph(source: SourceImage, scope: Scope, decoder: Decoder) -> Radiograph:
    """Return the picture of an image in scope.

    Raises
    ------
    ImageError
        If the image is declined, or its pixels cannot be decoded; the reason is coded.
    """
    check_scope(source.header, scope)
    if not source.has_pixel_data:
        raise UnsupportedImageError(DeclinedReason.NO_PIXEL_DATA, "no pixel data; send the whole image")
    return Radiograph(source, decoder.pixels(source.file.data))
