"""Source header -> the normalised copy that the writers may rely on.

Real headers lack attributes that highdicom and the Standard demand, hold impossible dates or character sets that
cannot be written again. The copy holds only what the results need: present, decoded, valid or empty. Nothing is
invented.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

logger = logging.getLogger(__name__)

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
_IF_PRESENT = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
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
_CHECKED = ("AS", "CS")


def normalise(header: Dataset) -> Dataset:
    """Return the normalised copy of a source image's header, in Unicode (ISO_IR 192), without pixels and private data.

    Parameters
    ----------
    header
        As read; it is not changed.

    Notes
    -----
    What was emptied is logged by tag, never by value. A Frame of Reference is left out: without a plane position it
    only makes a projection image look like a slice.
    """
    copy = Dataset()
    copy.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_TYPE_2, *_IF_PRESENT):
        values = _readable_values(header, keyword)
        if values is None and keyword in _TYPE_2:
            values = []
        if values is not None:
            setattr(copy, keyword, values[0] if len(values) == 1 else values or None)
    region = _first_item(header, "AnatomicRegionSequence")
    if region is not None:
        copy.AnatomicRegionSequence = [region]
    return copy


def is_referable(header: Dataset) -> bool:
    """Say whether the UIDs of an image are valid (PS3.5 9.1), so that a valid object can refer to it."""
    uids = [
        UID(header.get(keyword, ""))
        for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    ]
    return all(uid.is_valid and uid[0] in "012" and "." in uid for uid in uids)


def _readable_values(header: Dataset, keyword: str) -> Sequence[object] | None:
    """Return the values of an attribute as a list, [] if it is empty or invalid, None if it is absent."""
    if keyword not in header:
        return None
    try:
        element = header[keyword]
        value = element.value
        values = list(value) if element.VM > 1 else [] if value is None or str(value) == "" else [value]
        for text in values if element.VR in _DATE_LIKE else ():
            _check_date_or_time(element.VR, str(text))
        for text in values if element.VR in _CHECKED else ():
            validate_value(element.VR, str(text), config.RAISE)
        for number in values if element.VR in ("DS", "IS") else ():
            float(number)
        if element.VR == "PN":  # decoded here, so that it is written again in Unicode
            values = [str(name) for name in values]
        probe = Dataset()
        setattr(probe, keyword, values)
        probe.to_json()
    except Exception as error:  # noqa: BLE001 - a damaged value raises a dozen kinds
        logger.warning(
            "source header: %s %s is invalid (%s) and left empty", Tag(keyword), keyword, type(error).__name__
        )
        return []
    return values


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
    try:
        items = header.get(keyword)
        if not items or not items[0].get("CodeValue") or not items[0].get("CodingSchemeDesignator"):
            return None
        item = Dataset()
        for part in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"):
            setattr(item, part, str(items[0].get(part, "")))
    except Exception as error:  # noqa: BLE001 - as above
        logger.warning("source header: %s %s is invalid (%s) and left out", Tag(keyword), keyword, type(error).__name__)
        return None
    return item
