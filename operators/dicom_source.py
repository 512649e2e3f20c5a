"""Source header -> the normalised copy that the writers may rely on.

Real headers lack attributes that highdicom and the Standard demand, hold impossible dates or character sets that
cannot be written again. The copy holds only what the results need: present, decoded, valid or empty. Nothing is
invented.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from operators.codes import normalise_body_part
from operators.errors import FailedReason, InvalidDicomError

# Attributes that every result object copies; absent ones become empty (type 2: PS3.3 C.7.1.1, C.7.2.1).
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Manufacturer",
)
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_IF_PRESENT = (
    *_IDENTITY,
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "IssuerOfPatientID",
    "PatientAge",
    "StudyDescription",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
    "BodyPartExamined",
    "ViewPosition",
    "ImagerPixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "PresentationIntentType",
)
_DATE_LIKE = {"DA": "%Y%m%d", "TM": "%H%M%S"}
_ENUMERATED = {"PatientSex": "MFO", "Laterality": "LR", "ImageLaterality": "LRUB"}  # PS3.3 C.2.3, C.7.3.1, C.8.11.7
_CODE_STRING = re.compile("[A-Z0-9 _]{1,16}")  # PS3.5 6.2, CS


def normalise(header: Dataset) -> tuple[Dataset, list[str]]:
    """Return the normalised copy of a source image's header, and what was emptied in it because it is invalid.

    Parameters
    ----------
    header
        As read; it is not changed.

    Returns
    -------
    The copy, in Unicode (ISO_IR 192), without pixels and private data; and tags with keywords, never values.

    Notes
    -----
    A Frame of Reference is left out: without a plane position it only makes a projection image look like a slice.
    """
    copy, emptied = Dataset(), []
    copy.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_TYPE_2, *_IF_PRESENT):
        try:
            values = _readable_values(header, keyword)
        except Exception:  # noqa: BLE001 - a damaged value raises a dozen kinds
            emptied.append(f"{Tag(keyword)} {keyword}")
            values = []
        if values is None and keyword in _TYPE_2:
            values = []
        if values is not None:
            setattr(copy, keyword, values[0] if len(values) == 1 else values or None)
    try:
        region = _first_item(header, "AnatomicRegionSequence")
    except Exception:  # noqa: BLE001 - as above
        emptied.append(f"{Tag('AnatomicRegionSequence')} AnatomicRegionSequence")
        region = None
    if region is not None:
        copy.AnatomicRegionSequence = [region]
    return copy, emptied


def check_identity(header: Dataset) -> None:
    """Raise InvalidDicomError unless a normalised header identifies its instance, series and study."""
    missing = [keyword for keyword in _IDENTITY if not header.get(keyword)]
    if missing:
        raise InvalidDicomError(
            FailedReason.HEADER_INVALID, f"no valid {', '.join(missing)}; the image cannot be referred to"
        )


def is_referable(header: Dataset) -> bool:
    """Say whether the UIDs of an image are valid (PS3.5 9.1), so that a valid object can refer to it."""
    uids = [UID(header.get(keyword, "")) for keyword in _IDENTITY]
    return all(uid.is_valid and uid[0] in "012" and "." in uid for uid in uids)


def _readable_values(header: Dataset, keyword: str) -> Sequence[object] | None:
    """Return the values of an attribute as a list, [] if it is empty, None if it is absent; raise if it is invalid.

    What the Standard says of the attribute counts, not the VR that the file claims for it (PS3.6).
    """
    if keyword not in header:
        return None
    element, vr = header[keyword], dictionary_VR(keyword)
    value = element.value
    values = list(value) if element.VM > 1 else [] if value is None or str(value) == "" else [value]
    if element.VR == "SQ" or (len(values) > 1 and dictionary_VM(keyword) == "1"):
        raise ValueError("not one value")
    values = [_valid(value, vr, keyword) for value in values]
    probe = Dataset()
    setattr(probe, keyword, values)
    probe.to_json()
    return values


def _valid(value: object, vr: str, keyword: str) -> object:
    """Return a value as it can be written; raise if it is invalid."""
    text = str(value)  # names are decoded here, so that they are written again in Unicode
    if "\\" in text or any(ord(character) < ord(" ") for character in text):
        raise ValueError("a control character")
    if vr in _DATE_LIKE:
        _check_date_or_time(vr, text)
    elif vr == "CS":  # in capitals, whatever the equipment wrote
        return _code_string(text.strip().upper(), keyword)
    elif vr == "UI":
        if not re.fullmatch("[0-9.]+", text):
            raise ValueError("not a UID")
    elif vr == "AS":
        validate_value("AS", text, config.RAISE)
    elif vr in ("DS", "IS"):
        if not math.isfinite(float(text)):
            raise ValueError("not a number")
    elif vr == "US":
        return int(text)
    return text if vr == "PN" else value


def _code_string(text: str, keyword: str) -> str:
    """Return a code string that can be written; a body part in free text keeps its meaning, for the scope."""
    if keyword in _ENUMERATED and text not in ("", *_ENUMERATED[keyword]):
        raise ValueError("not one of the enumerated values")
    if not text or _CODE_STRING.fullmatch(text):
        return text
    if keyword == "BodyPartExamined":
        term = re.sub("[^A-Z0-9]", "", normalise_body_part(text) or "")[:16]
        if term:
            return term
    raise ValueError("not a code string")


def _check_date_or_time(vr: str, text: str) -> None:
    """Raise ValueError unless the text is a date (DA) or a time (TM) of the Standard (PS3.5 6.2)."""
    text = text.strip()
    if vr == "TM":
        text, _, fraction = text.partition(".")
        if fraction and not (fraction.isdigit() and len(fraction) <= 6):
            raise ValueError("a fraction of a second")
        text = text.ljust(6, "0") if len(text) in (2, 4) else text
        text = text[:4] + "59" if text[4:] == "60" else text  # a leap second is allowed
    datetime.strptime(text, _DATE_LIKE[vr])  # noqa: DTZ007 - DICOM times carry no zone


def _first_item(header: Dataset, keyword: str) -> Dataset | None:
    """Return the code of a code sequence's first item, if it has one."""
    items = header.get(keyword)
    if not items or not items[0].get("CodeValue") or not items[0].get("CodingSchemeDesignator"):
        return None
    item = Dataset()
    for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
        setattr(item, part, str(items[0].get(part, "")))
    return item
