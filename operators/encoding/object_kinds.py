"""The table of the DICOM objects that OsteoMAP writes. A new object is a row here, a module that builds it, and a test.

The objects of an image are built in this order, then those of its study; the structured report comes last, as it refers
to all others. ``SOURCE`` is no result: it is what results refer to where the input was a picture and no DICOM image.
"""

from __future__ import annotations

from operators.encoding.encapsulated_pdf import encode_pdf
from operators.encoding.gsps.presentation_state import encode_presentation_state
from operators.encoding.heatmap import encode_heatmap
from operators.encoding.requests import ObjectKind
from operators.encoding.secondary_capture import encode_secondary_capture, encode_wrapped_picture
from operators.encoding.seg import encode_labelmap, encode_seg
from operators.encoding.sr.report import encode_report
from operators.encoding.summary_sheet import encode_summary_sheet

OBJECT_KINDS = (
    ObjectKind("seg", 9001, "segmentation", "Outlines (SEG)", of_image=encode_seg, required=True, segmentation=True),
    ObjectKind("heatmap", 9002, "heat map", "Heat map (fractional SEG)", of_image=encode_heatmap, segmentation=True),
    ObjectKind(
        *("sc", 9003, "picture", "Picture with boxes and outlines burned in (Secondary Capture)"),
        of_image=encode_secondary_capture,
    ),
    ObjectKind(
        *("gsps", 9004, "graphics", "Boxes and outlines to switch on and off (presentation state)"),
        of_image=encode_presentation_state,
    ),
    ObjectKind("labelmap", 9005, "label map", "Outlines (label map SEG)", of_image=encode_labelmap, segmentation=True),
    ObjectKind("pdf", 9006, "document", "This report as PDF", of_study=encode_pdf),
    ObjectKind(
        *("summary", 9007, "summary sheet", "All images of the study on one picture (Secondary Capture)"),
        of_study=encode_summary_sheet,
    ),
    ObjectKind(
        *("sr", 9000, "report", "Structured report (SR): all findings and measurements"),
        of_study=encode_report,
        required=True,
    ),
)
SOURCE = ObjectKind(
    *("image", 1, "wrapped picture", "The picture as a DICOM image (Secondary Capture)"),
    of_image=encode_wrapped_picture,
    required=True,
)
KIND_OF_NAME = {kind.name: kind for kind in (*OBJECT_KINDS, SOURCE)}
OPTIONAL_KINDS = tuple(kind.name for kind in OBJECT_KINDS if not kind.required)
