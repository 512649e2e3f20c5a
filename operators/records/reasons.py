"""Why an image was not analysed."""

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
