"""What coded results are called in front of people: one vocabulary for the page and the PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pydicom.dataset import Dataset

from operators.records.codes import BODY_PARTS, LATERALITIES
from operators.records.images import EncodedImage
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.study import Study

WORST_FIRST = ("abnormal", "doubt", "failed", "declined", "normal")
STATES: Mapping[str, str] = {
    "abnormal": "abnormal",
    "doubt": "doubt: neither ruled in nor ruled out",
    "normal": "normal",
    "declined": "declined: not analysed",
    "failed": "failed: not analysed",
}
# What a reason means, and what to do.
REASONS: Mapping[str, tuple[str, str]] = {
    DeclinedReason.NOT_A_RADIOGRAPH: (
        "The object is not stored as a radiograph (CR or DX).",
        "Nothing, unless it is one: a Secondary Capture is taken only where app.yaml allows it.",
    ),
    DeclinedReason.FOR_PROCESSING: (
        "The image holds raw detector values (FOR PROCESSING), which do not look like the image that is read.",
        "Send the FOR PRESENTATION image.",
    ),
    DeclinedReason.BODY_PART_OUT_OF_SCOPE: (
        "The models were not made for this body part.",
        "Read it without OsteoMAP; check Body Part Examined if the part is wrong.",
    ),
    DeclinedReason.MULTI_FRAME: ("The file holds several frames, not one radiograph.", "Send single images."),
    DeclinedReason.COLOUR: ("The picture is in colour; radiographs are grey.", "Send the original radiograph."),
    DeclinedReason.NO_PIXEL_DATA: ("The object has no picture.", "Send the image itself."),
    DeclinedReason.TOO_LARGE: (
        "The image has more pixels than the configured limit.",
        "Raise largest_megapixels in app.yaml if there is memory for it.",
    ),
    DeclinedReason.TOO_SMALL: (
        "The image has too few pixels to show a finding.",
        "Send the full image, not a thumbnail.",
    ),
    DeclinedReason.IMAGE_QUALITY: (
        "The picture is blank or nearly so: there is nothing to analyse.",
        "Look at the source image.",
    ),
    DeclinedReason.DUPLICATE_INSTANCE: (
        "Another file of this run has the same SOP Instance UID; that one was analysed.",
        "Nothing if they are copies; if not, one of them has a wrong identifier.",
    ),
    FailedReason.UNREADABLE_FILE: ("The file is damaged, or not complete.", "Send it again."),
    FailedReason.HEADER_INVALID: (
        "An attribute that the analysis needs is missing or impossible.",
        "Have the sending system corrected; the note names the attribute.",
    ),
    FailedReason.PIXEL_DATA_CORRUPT: ("The pixels cannot be decoded.", "Send it again, best uncompressed."),
    FailedReason.DECODER_TIMEOUT: (
        "Decoding took longer, or more memory, than is allowed.",
        "Send it again uncompressed, or raise the decoder's limits in app.yaml.",
    ),
    FailedReason.ENCODING_ERROR: (
        "No valid DICOM object could be made of the result, so none is given.",
        "Report it; the source image is to be read without OsteoMAP.",
    ),
    FailedReason.INTERNAL_ERROR: (
        "A mistake of the software.",
        "Report it; the source image is to be read without OsteoMAP.",
    ),
}
# An object's kind is the word that its file is named by.
KINDS: Mapping[str, str] = {
    "sr": "Structured report (SR): all findings and measurements",
    "pdf": "This report as PDF",
    "seg": "Outlines (SEG)",
    "sc": "Picture with boxes and outlines burned in (Secondary Capture)",
    "gsps": "Boxes and outlines to switch on and off (presentation state)",
    "heatmap": "Heat map (fractional SEG)",
    "labelmap": "Outlines (label map SEG)",
}
_SEXES = {"M": "male", "F": "female", "O": "other"}
_PATIENT: Mapping[str, str] = {
    "PatientName": "Name",
    "PatientID": "Patient ID",
    "PatientBirthDate": "Born",
    "PatientSex": "Sex",
    "StudyDate": "Study date",
    "AccessionNumber": "Accession number",
}


def burned_in(source: SourceImage) -> bool:
    """Say whether the header admits that patient data are part of the picture (Burned In Annotation)."""
    return bool(source.header.get("BurnedInAnnotation") == "YES")


def place(body_part: str | None, laterality: str | None = None, view_position: str | None = None) -> str:
    """Return which view of which body part an image shows, as far as its header says."""
    region, side = BODY_PARTS.get(body_part or ""), LATERALITIES.get(laterality or "")
    words = [
        region.meaning if region else (body_part or "Body part unknown").capitalize(),
        side.meaning.lower() if side else laterality,
        view_position,
    ]
    return ", ".join(word for word in words if word)


def files_by_kind(files: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of a study by what their objects are, in words; ``<folder>/<kind>[_<n>].dcm``."""
    found: dict[str, list[str]] = {}
    for file in files:
        name = file.rpartition("/")[2]
        kind = name.removesuffix(".dcm").partition("_")[0]
        found.setdefault(KINDS.get(kind, kind), []).append(name)
    return found


def patient_data(study: Study[EncodedImage]) -> dict[str, str]:
    """Return who the images of a study are of, as their headers say; images that differ are all quoted."""
    sources = [image.source for image in study.images if isinstance(image.source, SourceImage)]
    return {
        label: " / ".join(dict.fromkeys(_shown(source.header, keyword) for source in sources)) or "-"
        for keyword, label in _PATIENT.items()
    }


def _shown(header: Dataset, keyword: str) -> str:
    text = str(header.get(keyword) or "").strip()
    if keyword.endswith("Date") and len(text) == 8 and text.isdigit():
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    if keyword == "PatientName":
        return " = ".join(" ".join(group.replace("^", " ").split()) for group in text.split("=")) or "-"
    return _SEXES.get(text, text) or "-"


def opinions(image: EncodedImage | ExcludedImage) -> str:
    """Return what each of several classifiers says of an image, and why it is in doubt if they disagree."""
    if isinstance(image, ExcludedImage):
        return ""
    classification = image.segmentation.localization.classification
    if len(classification.opinions) < 2:
        return ""
    said = ", ".join(f"{said.bundle} {said.probability:.2f} ({said.state})" for said in classification.opinions)
    return ("The classifiers disagree, so the image is in doubt: " if classification.disputed else "Mean of: ") + said
