"""What coded results are called in front of people: one vocabulary for the page and the PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pydicom.dataset import Dataset

from operators.encoding.object_kinds import KIND_OF_NAME
from operators.encoding.remarks import phrase
from operators.records.images import EncodedImage
from operators.records.sources import ExcludedImage, Ignored, SourceImage
from operators.records.states import State
from operators.records.study import Study
from operators.reporting.summaries import StudySummary

STATES: Mapping[State, str] = {
    State.ABNORMAL: "abnormal",
    State.DOUBT: "doubt: neither ruled in nor ruled out",
    State.NORMAL: "normal",
    State.DECLINED: "declined: not analysed",
    State.FAILED: "failed: not analysed",
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


def state_of(image: EncodedImage | ExcludedImage) -> str:
    """Return the state of an image in words, with the reasons if they alone keep it from being called normal."""
    if isinstance(image, ExcludedImage):
        return STATES[image.state]
    classification = image.segmentation.localization.classification
    if classification.withheld:
        return f"doubt: {'; '.join(phrase(reason) for reason in classification.doubts)}"
    return STATES[classification.state]


def printable(file: str) -> str:
    """Return the name of a file with what no page can show, or what would reorder its text, as escape sequences."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in file)


def name_files(study: StudySummary) -> str:
    """Return the first file of a study and how many more there are."""
    first, more = printable(study.images[0].file), len(study.images) - 1
    return f"{first} and {more} more" if more else first


def ignored_files(counts: Mapping[str, int]) -> list[tuple[int, str]]:
    """Return how many files of the input were passed over, and what they are, by the counts of ``result.json``."""
    own, objects, pictures = (counts.get(f"ignored_{kind}", 0) for kind in Ignored)
    others = counts["ignored_files"] - own - objects - pictures
    named = [(others, "not DICOM"), (pictures, "PNG or JPEG beside DICOM"), (objects, "DICOM, but no image")]
    named.append((own, "made by OsteoMAP before"))
    return [(number, f"{'file' if number == 1 else 'files'} {what}") for number, what in named if number]


def burned_in(source: SourceImage) -> bool:
    """Say whether the header admits that patient data are part of the picture (Burned In Annotation)."""
    return bool(source.header.get("BurnedInAnnotation") == "YES")


def files_by_kind(files: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of a study by what their objects are, in words; ``<folder>/<kind>[_<n>].dcm``."""
    found: dict[str, list[str]] = {}
    for file in files:
        name = file.rpartition("/")[2]
        kind = KIND_OF_NAME[name.removesuffix(".dcm").partition("_")[0]]
        found.setdefault(kind.label, []).append(name)
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
    each = ", ".join(f"{one.bundle} {one.probability:.2f} ({one.state})" for one in classification.opinions)
    return ("The classifiers disagree, so the image is in doubt: " if classification.disputed else "Mean of: ") + each
