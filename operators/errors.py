"""The error taxonomy: what went wrong, where, and which state the image ends in."""

from __future__ import annotations

from enum import StrEnum


class DeclinedReason(StrEnum):
    """Why an image was not analysed although its file is sound."""

    NOT_A_RADIOGRAPH = "not_a_radiograph"
    FOR_PROCESSING = "for_processing"
    BODY_PART_OUT_OF_SCOPE = "body_part_out_of_scope"
    MULTI_FRAME = "multi_frame"
    COLOUR = "colour"
    NO_PIXEL_DATA = "no_pixel_data"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    IMAGE_QUALITY = "image_quality"
    DUPLICATE_INSTANCE = "duplicate_instance"


class FailedReason(StrEnum):
    """Why an image could not be analysed."""

    UNREADABLE_FILE = "unreadable_file"
    HEADER_INVALID = "header_invalid"
    PIXEL_DATA_CORRUPT = "pixel_data_corrupt"
    DECODER_TIMEOUT = "decoder_timeout"
    ENCODING_ERROR = "encoding_error"
    INTERNAL_ERROR = "internal_error"


class OsteoMapError(Exception):
    """Base of all errors of this application.

    Parameters
    ----------
    detail
        What happened and what to do, in one line; never a value of a DICOM header.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ImageError(OsteoMapError):
    """One image cannot be analysed; the run goes on.

    Attributes
    ----------
    state
        The state that the image ends in: ``declined`` or ``failed``.
    reason
        The coded reason.
    """

    state: str

    def __init__(self, reason: DeclinedReason | FailedReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class UnsupportedImageError(ImageError):
    """Not a radiograph that OsteoMAP reads."""

    state = "declined"

    def __init__(self, reason: DeclinedReason, detail: str) -> None:
        super().__init__(reason, detail)


class InvalidDicomError(ImageError):
    """An attribute or the pixel data that we need is impossible."""

    state = "failed"

    def __init__(self, reason: FailedReason, detail: str) -> None:
        super().__init__(reason, detail)


class EncodingError(ImageError):
    """A result could not be written as a valid DICOM object."""

    state = "failed"

    def __init__(self, detail: str) -> None:
        super().__init__(FailedReason.ENCODING_ERROR, detail)


class BundleError(OsteoMapError):
    """A bundle is incomplete, altered or not usable; raised before any data is read."""
