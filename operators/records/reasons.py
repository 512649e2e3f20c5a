"""Why an image was not analysed, or not vouched for: each reason with its code and what people are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


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
    STOPPED = "stopped"


class DoubtReason(StrEnum):
    """Why the application does not vouch for an image that it analysed: such an image is never called normal.

    A reason can be accepted in ``app.yaml`` (``classification: accepted_doubts``); results then tell it all the same.
    """

    BODY_PART_ABSENT = "body_part_absent"
    LATERALITY_CONFLICT = "laterality_conflict"
    MODALITY_CONFLICT = "modality_conflict"
    NOT_UPRIGHT = "not_upright"
    MOSTLY_MARGIN = "mostly_margin"
    EXTREME_ASPECT_RATIO = "extreme_aspect_ratio"
    ABNORMAL_WHEN_TURNED = "abnormal_when_turned"
    PIXEL_DATA_DOUBTFUL = "pixel_data_doubtful"


Reason: TypeAlias = DeclinedReason | FailedReason


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What stands for a reason in objects, reports and documents.

    Parameters
    ----------
    code, meaning
        Code value of the private coding scheme (``codes.PRIVATE_SCHEME``) and its code meaning.
    explanation, remedy
        What happened and what a reader can do about it, as sentences.
    condition
        When the reason is given, as the conformance statement says it.
    """

    code: str
    meaning: str
    explanation: str
    remedy: str
    condition: str


REASONS: Mapping[Reason | DoubtReason, ReasonText] = {
    DeclinedReason.NOT_A_RADIOGRAPH: ReasonText(
        "NOT-RADIOGRAPH",
        "Not a radiograph",
        "The object is not stored as a radiograph (CR or DX).",
        "Nothing, unless it is one: a Secondary Capture is taken only where app.yaml allows it.",
        "neither a CR nor a DX image, or a Secondary Capture that is not to be read",
    ),
    DeclinedReason.FOR_PROCESSING: ReasonText(
        "FOR-PROCESSING",
        "Image is for processing, not for presentation",
        "The image holds raw detector values (FOR PROCESSING), which do not look like the image that is read.",
        "Send the FOR PRESENTATION image.",
        "raw data that are not for presentation",
    ),
    DeclinedReason.BODY_PART_OUT_OF_SCOPE: ReasonText(
        "BODY-PART",
        "Body part out of scope",
        "The models were not made for this body part.",
        "Read it without OsteoMAP; check Body Part Examined if the part is wrong.",
        "the body part is not in `radiographs: body_parts`",
    ),
    DeclinedReason.MULTI_FRAME: ReasonText(
        "MULTI-FRAME",
        "Multi-frame image",
        "The file holds several frames, not one radiograph.",
        "Send single images.",
        "more than one frame",
    ),
    DeclinedReason.COLOUR: ReasonText(
        "COLOUR",
        "Colour image",
        "The picture is in colour; radiographs are grey.",
        "Send the original radiograph.",
        "not MONOCHROME1 or MONOCHROME2",
    ),
    DeclinedReason.NO_PIXEL_DATA: ReasonText(
        "NO-PIXEL-DATA",
        "No pixel data",
        "The object has no picture.",
        "Send the image itself.",
        "an object without pixels",
    ),
    DeclinedReason.TOO_LARGE: ReasonText(
        "TOO-LARGE",
        "Image too large",
        "The image has more pixels than the configured limit.",
        "Raise largest_megapixels in app.yaml if there is memory for it.",
        "more pixels than `radiographs: largest_megapixels`",
    ),
    DeclinedReason.TOO_SMALL: ReasonText(
        "TOO-SMALL",
        "Image too small",
        "The image has too few pixels to show a finding.",
        "Send the full image, not a thumbnail.",
        "a side below `radiographs: smallest_side`",
    ),
    DeclinedReason.IMAGE_QUALITY: ReasonText(
        "IMAGE-QUALITY",
        "Image quality not sufficient",
        "The picture is blank or nearly so: there is nothing to analyse.",
        "Look at the source image.",
        "a blank image",
    ),
    DeclinedReason.DUPLICATE_INSTANCE: ReasonText(
        "DUPLICATE",
        "Duplicate of another file",
        "Another file of this run has the same SOP Instance UID, patient, study, series and pixels.",
        "Nothing: the other one was taken.",
        "a copy: SOP Instance UID, patient, study, series and pixels are those of another file of this run",
    ),
    FailedReason.UNREADABLE_FILE: ReasonText(
        "UNREADABLE",
        "File not readable",
        "The file is damaged, not complete, or must not be read.",
        "Send it again, or correct its access rights; the note says more.",
        "a DICOM header that cannot be parsed, a file or folder that must not be read, a link that is not followed",
    ),
    FailedReason.HEADER_INVALID: ReasonText(
        "HEADER-INVALID",
        "Header not valid",
        "An attribute that the analysis needs is missing or impossible.",
        "Have the sending system corrected; the note names the attribute.",
        "an attribute that reading or referring needs is absent or impossible, or another file contradicts it: one SOP "
        "Instance UID with two patients, studies, series or pictures, one study with two patients",
    ),
    FailedReason.PIXEL_DATA_CORRUPT: ReasonText(
        "PIXELS-CORRUPT",
        "Pixel data corrupt",
        "The pixels cannot be decoded.",
        "Send it again, best uncompressed.",
        "pixel data that cannot be decoded or contradict the header",
    ),
    FailedReason.DECODER_TIMEOUT: ReasonText(
        "TIMEOUT",
        "Decoder took too long",
        "Decoding took longer, or more memory, than is allowed.",
        "Send it again uncompressed, or raise the decoder's limits in app.yaml.",
        "reading took longer than `radiographs: decoder_timeout_s`",
    ),
    FailedReason.ENCODING_ERROR: ReasonText(
        "ENCODING-ERROR",
        "Result not encodable",
        "No valid DICOM object could be made of the result, so none is given.",
        "Report it; the source image is to be read without OsteoMAP.",
        "a result could not be built as a valid object",
    ),
    FailedReason.INTERNAL_ERROR: ReasonText(
        "INTERNAL-ERROR",
        "Internal error",
        "A mistake of the software.",
        "Report it; the source image is to be read without OsteoMAP.",
        "a mistake of the application",
    ),
    FailedReason.STOPPED: ReasonText(
        "STOPPED",
        "Run stopped",
        "The run was told to stop before the study was finished.",
        "Run it again; osteomap --resume keeps what is finished.",
        "the run was told to stop (SIGTERM, Ctrl-C) before the study was finished",
    ),
    DoubtReason.BODY_PART_ABSENT: ReasonText(
        "NO-BODY-PART",
        "Body part not named",
        "The header names no body part; it may be out of scope.",
        "Look at the image; have the sending system write Body Part Examined.",
        "neither Body Part Examined nor Anatomic Region Sequence names a body part",
    ),
    DoubtReason.LATERALITY_CONFLICT: ReasonText(
        "SIDE-CONFLICT",
        "Laterality contradicts itself",
        "The header names different sides, so it may be that of another image.",
        "Look at the side marker; have the sending system corrected.",
        "Image Laterality, Laterality, Frame Laterality and the modifiers of the anatomic region name more than one of "
        "left, right and both",
    ),
    DoubtReason.MODALITY_CONFLICT: ReasonText(
        "MODALITY-MISFIT",
        "Modality contradicts the SOP class",
        "The object is stored as a radiograph (CR or DX) and its Modality says that it is something else.",
        "Look at the image; have the sending system corrected.",
        "a CR or DX object with a Modality other than CR, DX and RG",
    ),
    DoubtReason.NOT_UPRIGHT: ReasonText(
        "NOT-UPRIGHT",
        "Picture not stored upright",
        "The header says that the picture is turned; it was analysed upright as far as the header tells what that is.",
        "Look at the image; Patient Orientation is to be corrected if the picture stands upright.",
        "Patient Orientation asks for a turn by a quarter or a half, or names head or feet on both axes; or it is "
        "absent, and Field of View Rotation or Horizontal Flip says that the picture was turned",
    ),
    DoubtReason.MOSTLY_MARGIN: ReasonText(
        "MOSTLY-MARGIN",
        "Picture is mostly margin",
        "Most of the picture is frame or empty, so little of it shows anatomy.",
        "Look at the image; send it without its frame.",
        "more than half of the picture is shutter, collimator or a frame of uniform lines, or in more than nine tenths "
        "of what is left nothing changes from one block to the next",
    ),
    DoubtReason.EXTREME_ASPECT_RATIO: ReasonText(
        "ASPECT-RATIO",
        "Picture is a narrow strip",
        "The exposed part of the picture is much longer than wide, unlike the pictures that the models learned from.",
        "Look at the image; send the whole image.",
        "the exposed part is more than four times as long as wide",
    ),
    DoubtReason.ABNORMAL_WHEN_TURNED: ReasonText(
        "ABNORMAL-TURNED",
        "Abnormal when the picture is turned",
        "The picture seems normal as it stands, and abnormal when it is turned; it may be stored turned.",
        "Look at the image; the header may not say how it stands.",
        "the probability is below the rule-out point, and for the picture turned by one, two or three quarters at or "
        "above the rule-in point, or, where Patient Orientation says how the picture stands, half-way from there to 1 "
        "(`classification: check_turned`)",
    ),
    DoubtReason.PIXEL_DATA_DOUBTFUL: ReasonText(
        "PIXELS-DOUBTFUL",
        "Pixel data possibly damaged",
        "The compressed picture may be damaged: its stream, or a step in it, is unusual.",
        "Compare the picture with the original; send it again, best uncompressed.",
        "a JPEG stream whose later blocks are all shifted by one amount, or a JPEG 2000 stream of which one or two "
        "code-blocks end where they should not, or a span is zero",
    ),
}
