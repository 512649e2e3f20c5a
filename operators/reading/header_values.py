"""Whether a value of a source header can be written again (PS3.5 6.2), and its valid form where the two say the same.

A value is kept, written differently without loss, or refused; it is never shortened, but for body part and view, of
which only defined terms are kept.
Undeclared bytes beyond ASCII are read as viewers of the source read them.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.valuerep import format_number_as_ds

from operators.records.codes import normalise_body_part, normalise_view_position

_ENUMERATED: Mapping[str, Sequence[str]] = {
    "PatientSex": ("M", "F", "O"),  # PS3.3 C.7.1.1
    "PatientIdentityRemoved": ("YES", "NO"),
    "Laterality": ("L", "R"),  # PS3.3 C.7.3.1
    "ImageLaterality": ("L", "R", "U", "B"),  # PS3.3 C.8.11.7
    "FrameLaterality": ("L", "R", "U", "B"),
    "FieldOfViewHorizontalFlip": ("YES", "NO"),  # PS3.3 C.8.11.4
    "TypeOfPatientID": ("TEXT", "RFID", "BARCODE"),  # PS3.3 C.7.1.1
    "PixelSpacingCalibrationType": ("GEOMETRY", "FIDUCIAL"),  # PS3.3 10.7.1
    "PresentationLUTShape": ("IDENTITY", "INVERSE"),
    "BurnedInAnnotation": ("YES", "NO"),  # PS3.3 C.7.6.1
    "LossyImageCompression": ("00", "01"),  # PS3.3 C.7.6.1.1.5
    "VOILUTFunction": ("LINEAR", "LINEAR_EXACT", "SIGMOID"),  # PS3.3 C.11.2
}
# Defined terms: the Standard would allow others, which could be any text, and no result needs them.
MODALITY_UNITS = ("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")  # PS3.3 C.11.1.1.2
_TERMS: Mapping[str, Sequence[str]] = {
    "RescaleType": MODALITY_UNITS,
    "LossyImageCompressionMethod": (  # PS3.3 C.7.6.1.1.5.1
        *("ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_13818_2", "ISO_14496_10", "ISO_23008_2"),
        *("ISO_18181_1", "ISO_21122_1"),
    ),
}
_SPACINGS = ("ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacing")
# No detector, plate or film has pixels below 0.015 mm (intra-oral sensors), and beyond 5 mm an image of a whole trunk
# would have fewer pixels than the smallest that is read. What is outside is a mistake of unit or of the header.
_PLAUSIBLE_SPACING_MM = (0.01, 5.0)
_LENGTHS = {"LO": 64, "SH": 16}  # characters
_LARGEST_INTEGER = 2**31 - 1
_OFFSET = "-(0[0-9]|1[01])[0-5][0-9]|-1200|[+](0[0-9]|1[0-3])[0-5][0-9]|[+]1400"  # PS3.3 C.12.1.1.8
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def valid_values(values: Sequence[object], keyword: str, declared: bool) -> list[object]:
    """Return the values of an attribute in their valid form, [] if all are empty.

    Parameters
    ----------
    values
        As pydicom reads them, of whatever VR the file claims: what the Standard says of the attribute counts (PS3.6).
    keyword
        The attribute.
    declared
        Whether the header names a character set beyond ASCII.

    Raises
    ------
    ValueError
        If a value cannot be written again, or if there are too many or too few.
    """
    vr, multiplicity = dictionary_VR(keyword), dictionary_VM(keyword)
    texts = [_readable(str(value), declared) for value in values]
    if multiplicity in ("1", "2") and len(texts) != int(multiplicity) and any(texts):
        raise ValueError("not the number of values of the Standard")
    if not any(texts):
        return []
    if keyword == "PatientOrientation":
        return [_direction(text) for text in texts]
    if keyword == "TimezoneOffsetFromUTC" and not re.fullmatch(_OFFSET, texts[0]):
        raise ValueError("not an offset")
    if keyword in _SPACINGS and not all(is_plausible_spacing(float(text)) for text in texts):
        raise ValueError("not the distance of two pixels")
    if keyword == "PixelAspectRatio" and (
        int(texts[1]) <= 0 or not is_plausible_spacing(int(texts[0]) / int(texts[1]))
    ):
        raise ValueError("not the shape of a pixel")
    valid = [_valid(text, vr, keyword) for text in texts]
    return valid if any(value != "" for value in valid) else []


def is_plausible_spacing(spacing_mm: float) -> bool:
    """Say whether a distance of two pixels can be that of a radiograph; another one counts as absent."""
    least, most = _PLAUSIBLE_SPACING_MM
    return least <= spacing_mm <= most


def _readable(text: str, declared: bool) -> str:
    """Return a text without its padding; raise if it was not readable, or cannot stand in a value (PS3.5 6.1.3).

    Bytes beyond ASCII without a character set are UTF-8 if they can be, as it is hardly met by chance, else Latin-1,
    as pydicom reads them.
    """
    text = text.strip(" \0")
    if not declared and not text.isascii():
        with contextlib.suppress(UnicodeError):
            text = text.encode("latin-1").decode("utf-8")
    text.encode("utf-8")
    if any(character in "\\\ufffd" or ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("an unreadable or a control character")
    return text


def _valid(text: str, vr: str, keyword: str) -> object:
    """Return one value in its valid form; raise ValueError if it has none."""
    if text not in ("", *_TERMS.get(keyword, (text,))):
        raise ValueError("not one of the defined terms")
    form = _FORMS.get(vr)
    if form is not None:
        return form(text) if text else text
    if vr == "CS":  # in capitals, whatever the equipment wrote
        return _code_string(text.upper(), keyword)
    if len(text) > _LENGTHS.get(vr, 0):
        raise ValueError("longer than its VR allows")
    return text


def _code_string(text: str, keyword: str) -> str:
    """Return a code string that can be written; of a body part and a view only the defined term is kept."""
    if text not in ("", *_ENUMERATED.get(keyword, (text,))):
        raise ValueError("not one of the enumerated values")
    if text and keyword in _VOCABULARIES:
        text = _VOCABULARIES[keyword](text) or "-"
    if re.fullmatch("[A-Z0-9 _]{0,16}", text):
        return text
    raise ValueError("not a code string")


_VOCABULARIES: Mapping[str, Callable[[str], str | None]] = {
    "BodyPartExamined": normalise_body_part,
    "ViewPosition": normalise_view_position,
}


def _direction(text: str) -> str:
    """Return one direction of Patient Orientation (PS3.3 C.7.6.1.1.1)."""
    if not re.fullmatch("[LRAPHF]{1,3}", text.upper()):
        raise ValueError("not a direction")
    return text.upper()


def _person_name(text: str) -> str:
    """Return a name of at most three groups of five components; empty components too many at the end are dropped."""
    groups = [group if group.count("^") < 5 else group.rstrip("^ ") for group in text.split("=")]
    if len(groups) > 3 or any(group.count("^") > 4 or len(group) > 64 for group in groups):
        raise ValueError("not a person name")
    return "=".join(groups) if any(group.strip("^ ") for group in groups) else ""


def _date(text: str) -> str:
    """Return a date; the form of ACR-NEMA is understood (PS3.5 6.2, DA)."""
    if re.fullmatch(r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}", text):
        text = text.replace(".", "")
    if not re.fullmatch("[0-9]{8}", text):
        raise ValueError("not a date")
    datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - DICOM dates carry no zone
    return text


def _time(text: str) -> str:
    """Return a time; the form of ACR-NEMA is understood (PS3.5 6.2, TM)."""
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?", text):
        text = text.replace(":", "")
    match = re.fullmatch(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?|60)?)?", text)
    if match is None:
        raise ValueError("not a time")
    return text


def _age(text: str) -> str:
    """Return an age of three digits and its unit (PS3.5 6.2, AS)."""
    match = re.fullmatch("([0-9]{1,3})([DWMY])", text.upper())
    if match is None:
        raise ValueError("not an age")
    return match[1].zfill(3) + match[2]


def _uid(text: str) -> str:
    """Return a UID; whether its components are valid is asked by ``dicom_source.is_referable``."""
    if not re.fullmatch("[0-9.]+", text):
        raise ValueError("not a UID")
    return text


def _decimal(text: str) -> float:
    """Return a number that a decimal string of 16 characters can hold, rounded to one where it must be."""
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    number = float(format_number_as_ds(number)) if len(repr(number)) > 16 else number
    if not math.isfinite(number) or len(repr(number)) > 16:
        raise ValueError("not a number")
    return number


def _integer(text: str) -> int:
    """Return a number that an integer string can hold."""
    if not re.fullmatch("[+-]?[0-9]{1,12}", text) or abs(int(text)) > _LARGEST_INTEGER:
        raise ValueError("not an integer")
    return int(text)


def _unsigned(text: str) -> int:
    """Return a number of 16 bits."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError("not a number of 16 bits")
    return int(text)


_FORMS: Mapping[str, Callable[[str], object]] = {
    "PN": _person_name,
    "DA": _date,
    "TM": _time,
    "AS": _age,
    "UI": _uid,
    "DS": _decimal,
    "IS": _integer,
    "US": _unsigned,
}
