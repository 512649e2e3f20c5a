"""Source header -> the normalised copy that the writers may rely on.

Real headers lack attributes that highdicom and the Standard demand, hold impossible dates or character sets that
cannot be written again. The copy holds only what the results need: present, decoded, valid or empty. Nothing is
invented.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import UID

from operators.reading.display.overlays import copy_overlays
from operators.reading.display.shutters import COLLIMATOR, SHUTTER, SHUTTER_VALUE, drop_incomplete_shutters
from operators.reading.header_values import valid_values
from operators.reading.lookup_tables import SEQUENCES as LUT_SEQUENCES
from operators.reading.lookup_tables import drop_what_does_not_fit, well_formed_items
from operators.reading.orders.orders import TRIAL, copy_orders
from operators.records.codes import BODY_PARTS, body_part_of_region
from operators.records.errors import InvalidDicomError
from operators.records.reasons import FailedReason

UNICODE = "ISO_IR 192"
EMPTIED, REWRITTEN = "emptied", "rewritten"

# Attributes that every result object copies; absent ones become empty (type 2: PS3.3 C.7.1.1, C.7.2.1).
TYPE_2 = (
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
IF_PRESENT = (
    *_IDENTITY,
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "IssuerOfPatientID",
    *TRIAL,
    "TimezoneOffsetFromUTC",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "PatientOrientation",
    "FieldOfViewRotation",
    "FieldOfViewHorizontalFlip",
    *COLLIMATOR,
    "Laterality",
    "ImageLaterality",
    "FrameLaterality",
    "BodyPartExamined",
    "ViewPosition",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "PixelAspectRatio",
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
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    *SHUTTER,
    SHUTTER_VALUE,
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
# What describes the picture: acquisition, image pixel, presentation; see ``picture_description``.
_PICTURE_GROUPS = (0x0018, 0x0028, 0x2050)
_OVERLAYS = 0x6000  # and the even groups behind it
_STORAGE = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_ORIENTATION = ("AnatomicRegionSequence", "ImageLaterality", "Laterality", "PatientOrientation")
# What ``app.yaml`` decides about (``outputs: copy_descriptions``): type 3, and a method that may be told by code.
DESCRIPTIONS = ("StudyDescription", "DeidentificationMethod")
# Text of the source that is in every object: it files the results with the images.
IDENTITY_TEXTS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    *TRIAL,
)
_METHODS = {code.value: code.meaning for code in (getattr(codes.cid7050, name) for name in codes.cid7050.dir())}
_CODES = ("AnatomicRegionSequence", "DeidentificationMethodCodeSequence")
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_MODIFIERS = "AnatomicRegionModifierSequence"


def normalise(header: Dataset) -> tuple[Dataset, list[str]]:
    """Return the normalised copy of a source image's header, and what is not in it as the source has it.

    Parameters
    ----------
    header
        As read; it is not changed.

    Returns
    -------
    The copy, in Unicode (ISO_IR 192), without pixels and private data; and a line per attribute that was emptied (or
    left out) because it is invalid, or rewritten in its valid form: tag, keyword and which of both, never a value.

    Notes
    -----
    A Frame of Reference is left out: without a plane position it only makes a projection image look like a slice.
    """
    copy = Dataset()
    copy.SpecificCharacterSet = UNICODE
    changes = _copy_values(header, copy)
    for keyword in (*_CODES, *LUT_SEQUENCES):
        try:
            items = _code_items(header, keyword) if keyword in _CODES else well_formed_items(header, keyword)
        except Exception:  # noqa: BLE001 - a damaged value raises a dozen kinds
            items = []
            changes[keyword] = EMPTIED
        if items:
            setattr(copy, keyword, items)
    changes |= dict.fromkeys(copy_orders(header, copy), EMPTIED)
    gone = (*drop_what_does_not_fit(copy, header), *drop_incomplete_shutters(copy), *_drop_unproven_removal(copy))
    for keyword in gone:
        changes[keyword] = REWRITTEN if keyword in copy else EMPTIED
    lost = [f"{Tag(group, 0x3000)} OverlayData {EMPTIED}" for group in copy_overlays(header, copy)]
    return copy, [f"{Tag(keyword)} {keyword} {change}" for keyword, change in changes.items()] + lost


def header_digest(copy: Dataset) -> str:
    """Return the SHA-256 of a normalised copy, as hexadecimal."""
    return hashlib.sha256(json.dumps(copy.to_json_dict(), sort_keys=True).encode()).hexdigest()


def picture_description(copy: Dataset) -> str:
    """Return what a normalised copy says of the picture, as JSON; not how its pixels are stored, nor of whom it is.

    It is all that makes the same pixels another picture, or a picture of something else.
    """
    described = Dataset()
    for element in copy:
        of_picture = element.tag.group in _PICTURE_GROUPS and element.keyword not in _STORAGE
        of_picture = of_picture or element.tag.group & 0xFF00 == _OVERLAYS
        if of_picture or element.keyword in _ORIENTATION:
            described.add(element)
    return json.dumps(described.to_json_dict(), sort_keys=True)


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


def _copy_values(header: Dataset, copy: Dataset) -> dict[str, str]:
    """Copy the attributes that are no sequences; return what was emptied or rewritten, by keyword."""
    changes: dict[str, str] = {}
    declared = header.original_character_set not in ("iso8859", ["iso8859"])
    in_ascii = True
    for keyword in (*TYPE_2, *IF_PRESENT):
        try:
            found = _values(header, keyword)
            values = valid_values(found, keyword, declared)
        except Exception:  # noqa: BLE001 - a damaged value raises a dozen kinds
            found = values = []
            changes[keyword] = EMPTIED
        if _differ(found, values):
            changes[keyword] = REWRITTEN if values else EMPTIED
        in_ascii = in_ascii and all(str(value).isascii() for value in values)
        if values or keyword in TYPE_2:
            setattr(copy, keyword, values[0] if len(values) == 1 else values or None)
    if not in_ascii and header.get("SpecificCharacterSet") != UNICODE:
        changes["SpecificCharacterSet"] = REWRITTEN
    return changes


def _values(header: Dataset, keyword: str) -> Sequence[object]:
    """Return the values of an attribute as a list; raise ValueError if it is a sequence."""
    if keyword not in header:
        return []
    element = header[keyword]
    if element.VR == "SQ":
        raise ValueError("a sequence")
    value = element.value
    return list(value) if element.VM > 1 else [] if value is None else [value]


def _differ(found: Sequence[object], values: Sequence[object]) -> bool:
    """Say whether values say something else, or otherwise, than those that were found; padding aside."""
    texts = [str(value).strip(" \0") for value in found]
    if not values:
        return any(texts)
    return any(
        text != value if isinstance(value, str) else float(text) != value
        for text, value in zip(texts, values, strict=True)
    )


def _code_items(header: Dataset, keyword: str) -> list[Dataset]:
    """Return the codes of a code sequence; an item without a code is passed over (PS3.3 8.8)."""
    copies = []
    for item in header.get(keyword) or []:
        parts = {part: valid_values(_values(item, part), part, declared=True) for part in _CODE}
        if parts["CodeValue"] and parts["CodingSchemeDesignator"]:
            copy = Dataset()
            for part, values in parts.items():
                setattr(copy, part, values[0] if values else "")
            modifiers = _code_items(item, _MODIFIERS)
            if modifiers:
                setattr(copy, _MODIFIERS, modifiers)
            copies.append(copy)
    return [_known_region(copy) for copy in copies[:1]] if keyword == "AnatomicRegionSequence" else copies


def _known_region(item: Dataset) -> Dataset:
    """Return the code of an anatomic region with the meaning that it has; raise ValueError if it is not known."""
    term = body_part_of_region(item)
    if term is None:
        raise ValueError("not a region of the table")
    item.CodeMeaning = BODY_PARTS[term].meaning
    return item


def without_descriptions(header: Dataset) -> Dataset:
    """Return a normalised header without what people describe in their own words, which no result needs.

    A claim that the identity was removed stays if a code of CID 7050 says how. The texts that say who and which study
    it is stay: they file the results with the images.
    """
    copy = Dataset()  # a copy by pydicom shares its elements
    for element in header:
        if element.keyword not in DESCRIPTIONS:
            copy.add(element)
    methods = [_method(item) for item in copy.get("DeidentificationMethodCodeSequence") or []]
    if any(methods):
        copy.DeidentificationMethodCodeSequence = [item for item in methods if item is not None]
    elif "DeidentificationMethodCodeSequence" in copy:
        del copy.DeidentificationMethodCodeSequence
    _drop_unproven_removal(copy)
    return copy


def _method(item: Dataset) -> Dataset | None:
    """Return a code of CID 7050 with the meaning that it has, or None if it is none."""
    meaning = _METHODS.get(str(item.CodeValue)) if item.CodingSchemeDesignator == "DCM" else None
    if meaning is None:
        return None
    copy = Dataset()
    copy.CodeValue, copy.CodingSchemeDesignator, copy.CodeMeaning = item.CodeValue, "DCM", meaning
    return copy


def _drop_unproven_removal(copy: Dataset) -> list[str]:
    """Remove the claim that the identity was removed where the header does not tell how (1C, PS3.3 C.7.1.1)."""
    method_is_known = "DeidentificationMethod" in copy or "DeidentificationMethodCodeSequence" in copy
    if method_is_known or copy.get("PatientIdentityRemoved") != "YES":
        return []
    del copy.PatientIdentityRemoved
    return ["PatientIdentityRemoved"]
