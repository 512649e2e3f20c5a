"""Header defects of real archives, one named variant each: what the file holds and what must become of it.

``VARIANTS[name].dataset(key, study)`` is a phantom with the defect, ``.write(path, key, study)`` its file,
``.file_bytes(key, study)`` the bytes. ``outcome`` says what the application makes of it: ``OBJECTS``: valid DICOM
objects; ``NO_OBJECTS``: analysed and reported, but no valid object can refer to it; else the coded reason for which it
is declined or fails. ``emptied`` and ``rewritten`` are the keywords that the normaliser logs as such.
``tolerated`` are the keywords whose value is copied although a validator finds fault with it, as in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import DigitalXRayImageStorageForProcessing, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.phantoms import radiograph

OBJECTS, NO_OBJECTS = "objects", "no_objects"
Change = Callable[[Dataset], None]


@dataclass(frozen=True)
class HeaderVariant:
    """A phantom's header after ``changes``, in order; see the module's docstring."""

    changes: tuple[Change, ...]
    outcome: str = OBJECTS
    emptied: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    tolerated: tuple[str, ...] = ()
    kind: str = "CR"
    syntax: str = ExplicitVRLittleEndian
    with_meta: bool = True

    def dataset(self, key: str = "a", study: str | None = None, stored: NDArray[Any] | None = None) -> Dataset:
        """Return the phantom with its defect; some values are raw bytes."""
        ds = radiograph(key, self.kind, stored, study=study or key)
        if stored is not None:  # phantoms of 12 bits
            ds.BitsStored, ds.HighBit = 12, 11
            ds.WindowCenter, ds.WindowWidth = 2048, 4096
        for change in self.changes:
            change(ds)
        return ds

    def file_bytes(self, key: str = "a", study: str | None = None, stored: NDArray[Any] | None = None) -> bytes:
        """Return the file, defects included, as equipment would have written it."""
        ds = self.dataset(key, study, stored)
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        if self.with_meta:
            ds.file_meta.TransferSyntaxUID = self.syntax
            buffer.write(b"\0" * 128 + b"DICM")
            write_file_meta_info(buffer, ds.file_meta, enforce_standard=True)
        buffer.is_implicit_VR = self.syntax == ImplicitVRLittleEndian
        for tag in sorted(ds.keys()):  # not write_dataset, which would decode raw bytes and encode them again
            write_data_element(buffer, ds.get_item(tag))
        return buffer.getvalue()

    def write(self, path: Path, key: str = "a", study: str | None = None, stored: NDArray[Any] | None = None) -> Path:
        """Write the file and return its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.file_bytes(key, study, stored))
        return path

    def reread(self, key: str = "a", study: str | None = None) -> Dataset:
        """Return the header as it is read from the file."""
        return dcmread(BytesIO(self.file_bytes(key, study)), force=True, stop_before_pixels=True)


def drop(*keywords: str) -> Change:
    def change(ds: Dataset) -> None:
        for keyword in keywords:
            ds.pop(keyword, None)

    return change


def put(keyword: str, value: object, vr: str | None = None) -> Change:
    """Give an attribute a value that pydicom would refuse, or another VR than the Standard's."""
    element = DataElement(Tag(keyword), vr or dictionary_VR(keyword), value, validation_mode=IGNORE)
    return lambda ds: ds.__setitem__(element.tag, element)


def raw(keyword: str | int, value: bytes | str, vr: str | None = None) -> Change:
    """Put the bytes of a value into the file as they are; the length is made even with a space or a NUL."""
    data = value.encode("ascii") if isinstance(value, str) else value
    tag = Tag(keyword)
    vr = vr or dictionary_VR(tag)
    data += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(data) % 2)
    element = RawDataElement(tag, vr, len(data), data, 0, False, True, True)
    return lambda ds: ds.__setitem__(tag, element)


def name(charset: str, encoded: bytes) -> tuple[Change, ...]:
    """Write the patient's name in a character set; all else in the header is ASCII."""
    return raw("SpecificCharacterSet", charset), raw("PatientName", encoded)


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def lut(keyword: str, descriptor: list[int], entries: int, **more: object) -> Change:
    """Add a look-up table sequence of one item, from dark to bright over the stored values."""

    def change(ds: Dataset) -> None:
        item = _item(**more)
        item.add(DataElement("LUTDescriptor", "US", descriptor, validation_mode=IGNORE))
        data = np.linspace(0, 2 ** descriptor[-1] - 1, entries).astype("<u2").tobytes()
        item.add(DataElement("LUTData", "OW", data))
        ds.add(DataElement(keyword, "SQ", [item]))

    return change


def private_everywhere(ds: Dataset) -> None:
    """Private blocks at the root and in nested items, one of unknown VR, one without its creator."""
    inner = _item()
    inner.private_block(0x0011, "VENDOR B", create=True).add_new(1, "LO", "secret")
    outer = _item(CodeValue="1")
    outer.private_block(0x0009, "VENDOR A", create=True).add_new(2, "SQ", [inner])
    block = ds.private_block(0x0009, "VENDOR A", create=True)
    block.add_new(1, "SQ", [outer])
    block.add_new(3, "UN", b"\x01\x02\x03\x04")
    ds.add_new(0x00191001, "UN", b"\0\1")
    if ds.get("AnatomicRegionSequence"):
        ds.AnatomicRegionSequence[0].private_block(0x0009, "VENDOR A", create=True).add_new(1, "LO", "secret")


def retired_attributes(ds: Dataset) -> None:
    """Group lengths and attributes of ACR-NEMA times."""
    for group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028):
        ds.add_new(Tag(group, 0), "UL", 4)
    ds.add_new(0x00080001, "UL", 1000)  # Length to End
    ds.add_new(0x00080010, "SH", "ACR-NEMA 2.0")  # Recognition Code
    ds.add_new(0x00280005, "US", 2)  # Image Dimensions
    ds.add_new(0x00280040, "CS", "RECT")  # Image Format
    ds.add_new(0x00101000, "LO", ["A1", "A2"])  # Other Patient IDs


def overlay(ds: Dataset) -> None:
    """A graphic overlay plane, and one in the unused bits of the pixels."""
    for group, position in ((0x6000, 0), (0x6002, 15)):
        ds.add_new(Tag(group, 0x0010), "US", ds.Rows)
        ds.add_new(Tag(group, 0x0011), "US", ds.Columns)
        ds.add_new(Tag(group, 0x0040), "CS", "G")
        ds.add_new(Tag(group, 0x0050), "SS", [1, 1])
        ds.add_new(Tag(group, 0x0100), "US", 16 if position else 1)
        ds.add_new(Tag(group, 0x0102), "US", position)
    ds.add_new(Tag(0x6000, 0x3000), "OW", b"\x55" * (ds.Rows * ds.Columns // 8))


PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")

# Every row of DICOM.md A.6: what highdicom refuses, or was seen to take.
_OF_HIGHDICOM: Mapping[str, HeaderVariant] = {
    **{f"no_{keyword}": HeaderVariant((drop(keyword),)) for keyword in (*PATIENT, *STUDY)},
    "no_patient_at_all": HeaderVariant((drop(*PATIENT),)),
    "no_study_attributes": HeaderVariant((drop(*STUDY, "StudyDescription", "Manufacturer"),)),
    "no_numbers": HeaderVariant((drop("SeriesNumber", "InstanceNumber"),)),
    "no_orientation": HeaderVariant((drop("PatientOrientation"),)),
    "empty_orientation": HeaderVariant((raw("PatientOrientation", ""),)),
    "no_spacing": HeaderVariant((drop("ImagerPixelSpacing"),)),
    "japanese": HeaderVariant(
        name(
            "\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
        ),
        rewritten=("SpecificCharacterSet",),
    ),
    "month_13": HeaderVariant((raw("StudyDate", "20261301"),), emptied=("StudyDate",)),
    "no_bits_stored": HeaderVariant((drop("BitsStored"),), "header_invalid"),
    "monochrome1": HeaderVariant((put("PhotometricInterpretation", "MONOCHROME1"),), kind="DX"),
    "several_windows": HeaderVariant((raw("WindowCenter", "2048\\1000"), raw("WindowWidth", "4096\\500"))),
    "no_window": HeaderVariant((drop("WindowCenter", "WindowWidth"),)),
    "gb18030": HeaderVariant(
        name("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")), rewritten=("SpecificCharacterSet",)
    ),
    "latin_1": HeaderVariant(name("ISO_IR 100", "Müller^Jörg".encode("latin-1")), rewritten=("SpecificCharacterSet",)),
    "uid_leading_zero": HeaderVariant((raw("SOPInstanceUID", "1.2.03.4"),), NO_OBJECTS),
    "long_patient_id": HeaderVariant((raw("PatientID", "X" * 70),), emptied=("PatientID",)),
}
_CHARACTER_SETS: Mapping[str, HeaderVariant] = {
    "japanese_katakana": HeaderVariant(
        name("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
        rewritten=("SpecificCharacterSet",),
    ),
    "korean": HeaderVariant(
        name(
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ),
        rewritten=("SpecificCharacterSet",),
    ),
    "gbk_with_backslash_bytes": HeaderVariant(
        name("GBK", "乗^俓僜".encode("gbk")), rewritten=("SpecificCharacterSet",)
    ),
    "greek": HeaderVariant(name("ISO_IR 126", "Διονυσιος".encode("iso8859-7")), rewritten=("SpecificCharacterSet",)),
    "cyrillic": HeaderVariant(
        name("ISO_IR 144", "Люкceмбypг".encode("iso8859-5")), rewritten=("SpecificCharacterSet",)
    ),
    "hebrew": HeaderVariant(name("ISO_IR 138", "שרון^דבורה".encode("iso8859-8")), rewritten=("SpecificCharacterSet",)),
    "thai": HeaderVariant(name("ISO_IR 166", "สมชาย^ใจดี".encode("tis-620")), rewritten=("SpecificCharacterSet",)),
    "utf_8": HeaderVariant(name("ISO_IR 192", "Ærø^Åse=王^小东".encode())),
    "charset_misspelt": HeaderVariant(
        name("ISO-IR 100", "Müller^Jörg".encode("latin-1")), rewritten=("SpecificCharacterSet",)
    ),
    "charset_unknown": HeaderVariant(
        name("WINDOWS", "Müller^Jörg".encode("latin-1")), rewritten=("SpecificCharacterSet",)
    ),
    "charset_missing_latin_1": HeaderVariant(
        (drop("SpecificCharacterSet"), raw("PatientName", "Müller^Jörg".encode("latin-1"))),
        rewritten=("SpecificCharacterSet",),
    ),
    "charset_missing_utf_8": HeaderVariant(
        (drop("SpecificCharacterSet"), raw("PatientName", "Müller^Jörg".encode())),
        rewritten=("PatientName", "SpecificCharacterSet"),
    ),
    "charset_missing_windows_1252": HeaderVariant(
        (drop("SpecificCharacterSet"), raw("PatientName", b"O\x92Neill^Pat")), emptied=("PatientName",)
    ),
    "charset_empty": HeaderVariant(
        (*name("", b"Smith^John"), raw("StudyDescription", "Höhle".encode("latin-1"))),
        rewritten=("SpecificCharacterSet",),
    ),
    "charset_wrong": HeaderVariant(name("ISO_IR 192", "Müller^Jörg".encode("latin-1")), emptied=("PatientName",)),
    "charset_wrong_japanese": HeaderVariant(name("\\ISO 2022 IR 87", b"\x1b$B;\x7f\x1b(B"), emptied=("PatientName",)),
}
_DATES_AND_NAMES: Mapping[str, HeaderVariant] = {
    "acr_nema_date": HeaderVariant((raw("StudyDate", "2026.01.31"),), rewritten=("StudyDate",)),
    "acr_nema_time": HeaderVariant((raw("StudyTime", "12:30:59.5"),), rewritten=("StudyTime",)),
    "date_range": HeaderVariant((raw("StudyDate", "20260101-20260131"),), emptied=("StudyDate",)),
    "date_of_zeros": HeaderVariant((raw("PatientBirthDate", "00000000"),), emptied=("PatientBirthDate",)),
    "date_in_words": HeaderVariant((raw("PatientBirthDate", "UNKNOWN"),), emptied=("PatientBirthDate",)),
    "date_of_year": HeaderVariant((raw("PatientBirthDate", "1961"),), emptied=("PatientBirthDate",)),
    "date_of_spaces": HeaderVariant((raw("StudyDate", " " * 8), raw("StudyTime", " " * 6))),
    "date_of_nuls": HeaderVariant((raw("StudyDate", b"\0" * 8),)),
    "hour_25": HeaderVariant((raw("StudyTime", "256100"),), emptied=("StudyTime",)),
    "time_with_zone": HeaderVariant((raw("StudyTime", "120000+0100"),), emptied=("StudyTime",)),
    "time_without_seconds": HeaderVariant((raw("StudyTime", "1230"),)),
    "age_without_zeros": HeaderVariant((raw("PatientAge", "42Y"),), rewritten=("PatientAge",)),
    "age_as_number": HeaderVariant((raw("PatientAge", "42"),), emptied=("PatientAge",)),
    "name_of_six_components": HeaderVariant((raw("PatientName", "A^B^C^D^E^F"),), emptied=("PatientName",)),
    "name_with_empty_components": HeaderVariant((raw("PatientName", "DOE^JOHN^^^^^^"),), rewritten=("PatientName",)),
    "name_of_four_groups": HeaderVariant((raw("PatientName", "A^B=C=D=E"),), emptied=("PatientName",)),
    "name_of_three_groups": HeaderVariant((raw("PatientName", "A^B=C^D=E^F"),)),
    "name_of_delimiters": HeaderVariant((raw("PatientName", "^^^^"),), emptied=("PatientName",)),
    "two_names": HeaderVariant((raw("PatientName", "A^B\\C^D"),), emptied=("PatientName",)),
    "name_with_line_feed": HeaderVariant((raw("PatientName", "A^B\r\nC"),), emptied=("PatientName",)),
    "name_with_markup": HeaderVariant((raw("PatientName", "<script>^&amp;'\""),)),
    "name_padded_with_nuls": HeaderVariant((raw("PatientName", b"DOE^JOHN\0\0\0\0"),)),
}
_LENGTHS: Mapping[str, HeaderVariant] = {
    "long_name": HeaderVariant((raw("PatientName", "SMITH^" + "J" * 100),), emptied=("PatientName",)),
    "long_accession_number": HeaderVariant((raw("AccessionNumber", "1" * 20),), emptied=("AccessionNumber",)),
    "long_study_id": HeaderVariant((raw("StudyID", "S" * 40),), emptied=("StudyID",)),
    "long_description": HeaderVariant((raw("StudyDescription", "wrist " * 200),), emptied=("StudyDescription",)),
    "long_manufacturer": HeaderVariant((raw("Manufacturer", "M" * 100),), emptied=("Manufacturer",)),
    "long_comments": HeaderVariant((raw("PatientComments", "x" * 60000), raw("AdditionalPatientHistory", "x" * 60000))),
    "long_code_string": HeaderVariant(
        (raw("ImageType", "ORIGINAL\\PRIMARY\\" + "POSTPROCESSED" * 3),), emptied=("ImageType",)
    ),
    "long_spacing": HeaderVariant(
        (raw("ImagerPixelSpacing", "0.1201199999999999\\0.1201199999999999"),), rewritten=("ImagerPixelSpacing",)
    ),
    "series_number_out_of_range": HeaderVariant((raw("SeriesNumber", "99999999999"),), emptied=("SeriesNumber",)),
    "series_number_in_words": HeaderVariant((raw("SeriesNumber", "first"),), emptied=("SeriesNumber",)),
    "instance_number_with_fraction": HeaderVariant((raw("InstanceNumber", "1.5"),), emptied=("InstanceNumber",)),
    "two_accession_numbers": HeaderVariant((raw("AccessionNumber", "A1\\A2"),), emptied=("AccessionNumber",)),
    "umlauts_of_more_than_64_bytes": HeaderVariant(  # the limit is of characters (PS3.5 6.2); dciodvfy counts bytes
        (raw("SpecificCharacterSet", "ISO_IR 192"), raw("StudyDescription", ("ü" * 60).encode())),
        tolerated=("StudyDescription",),
    ),
    "two_study_descriptions": HeaderVariant((raw("StudyDescription", "wrist\\hand"),), emptied=("StudyDescription",)),
}
_UIDS: Mapping[str, HeaderVariant] = {
    "uid_trailing_space": HeaderVariant((raw("SOPInstanceUID", "1.2.3.4 "), raw("StudyInstanceUID", "1.2.3.5 "))),
    "uid_trailing_nuls": HeaderVariant((raw("SeriesInstanceUID", b"1.2.3.6\0\0\0"),)),
    "uid_too_long": HeaderVariant((raw("SOPInstanceUID", "1.2." + "3" * 66),), NO_OBJECTS),
    "study_uid_leading_zero": HeaderVariant((raw("StudyInstanceUID", "1.2.03.4"),), NO_OBJECTS),
    "uid_of_letters": HeaderVariant((raw("SOPInstanceUID", "1.2.abc"),), "header_invalid", ("SOPInstanceUID",)),
    "two_uids": HeaderVariant((raw("SeriesInstanceUID", "1.2.3\\1.2.4"),), "header_invalid", ("SeriesInstanceUID",)),
    "no_study_uid": HeaderVariant((drop("StudyInstanceUID"),), "header_invalid"),
    "no_series_uid": HeaderVariant((drop("SeriesInstanceUID"),), "header_invalid"),
    "no_instance_uid": HeaderVariant((drop("SOPInstanceUID"),), "header_invalid"),
    "path_as_uid": HeaderVariant((raw("StudyInstanceUID", "../../../etc"),), "header_invalid", ("StudyInstanceUID",)),
}
_CODE_STRINGS: Mapping[str, HeaderVariant] = {
    "lower_case": HeaderVariant(
        (raw("PatientSex", "m"), raw("Modality", "dx"), raw("PhotometricInterpretation", "monochrome2")),
        rewritten=("PatientSex", "Modality", "PhotometricInterpretation"),
        kind="DX",
    ),
    "lower_case_part": HeaderVariant(
        (raw("BodyPartExamined", "wrist"), raw("ViewPosition", "ap"), raw("Laterality", "l")),
        rewritten=("BodyPartExamined", "ViewPosition", "Laterality"),
    ),
    "sex_in_words": HeaderVariant((raw("PatientSex", "female"),), emptied=("PatientSex",)),
    "sex_undefined": HeaderVariant((raw("PatientSex", "U"),), emptied=("PatientSex",)),
    "laterality_in_words": HeaderVariant((raw("ImageLaterality", "RIGHT"),), emptied=("ImageLaterality",), kind="DX"),
    "no_laterality": HeaderVariant((drop("ImageLaterality", "Laterality"),)),
    "right": HeaderVariant((raw("ImageLaterality", "R"),), kind="DX"),
    "both_sides": HeaderVariant((raw("ImageLaterality", "B"),), kind="DX"),
    "part_in_free_text": HeaderVariant(
        (raw("BodyPartExamined", "left wrist, 2 views"), drop("AnatomicRegionSequence")),
        rewritten=("BodyPartExamined",),
    ),
    "no_part": HeaderVariant((drop("BodyPartExamined", "AnatomicRegionSequence"),)),
    "orientation_of_one": HeaderVariant((raw("PatientOrientation", "L"),), emptied=("PatientOrientation",)),
    "orientation_of_three": HeaderVariant((raw("PatientOrientation", "L\\F\\H"),), emptied=("PatientOrientation",)),
    "orientation_lower_case": HeaderVariant((raw("PatientOrientation", "l\\f"),), rewritten=("PatientOrientation",)),
    "orientation_in_words": HeaderVariant((raw("PatientOrientation", "LEFT\\FOOT"),), emptied=("PatientOrientation",)),
    "orientation_half_empty": HeaderVariant((raw("PatientOrientation", "L\\"),), emptied=("PatientOrientation",)),
}
_NUMBERS: Mapping[str, HeaderVariant] = {
    "spacing_zero": HeaderVariant((raw("ImagerPixelSpacing", "0\\0"),), emptied=("ImagerPixelSpacing",)),
    "spacing_negative": HeaderVariant((raw("ImagerPixelSpacing", "-0.2\\0.2"),), emptied=("ImagerPixelSpacing",)),
    "spacing_tiny": HeaderVariant((raw("ImagerPixelSpacing", "1e-320\\1e-320"),), emptied=("ImagerPixelSpacing",)),
    "spacing_huge": HeaderVariant((raw("ImagerPixelSpacing", "1e200\\1e200"),), emptied=("ImagerPixelSpacing",)),
    "spacing_nan": HeaderVariant((raw("ImagerPixelSpacing", "NaN\\0.2"),), emptied=("ImagerPixelSpacing",)),
    "spacing_of_one": HeaderVariant((raw("ImagerPixelSpacing", "0.2"),), emptied=("ImagerPixelSpacing",)),
    "spacing_with_commas": HeaderVariant((raw("ImagerPixelSpacing", "0,2\\0,2"),), emptied=("ImagerPixelSpacing",)),
    "spacing_empty": HeaderVariant((raw("ImagerPixelSpacing", ""),)),
    "window_without_width": HeaderVariant((drop("WindowWidth"),), emptied=("WindowCenter",)),
    "windows_of_other_count": HeaderVariant(
        (raw("WindowCenter", "2048\\1000"),), rewritten=("WindowCenter", "WindowWidth")
    ),
    "window_width_zero": HeaderVariant((raw("WindowWidth", "0"),), "header_invalid", ("WindowCenter", "WindowWidth")),
    "window_of_sixteen_digits": HeaderVariant((raw("WindowCenter", "2048.0000000000000001"),)),
    "window_function": HeaderVariant((put("VOILUTFunction", "LINEAR_EXACT"),), kind="DX"),
    "rescale": HeaderVariant(
        (
            raw("RescaleSlope", "2"),
            raw("RescaleIntercept", "-1000"),
            raw("RescaleType", "US"),
            raw("WindowCenter", "3096"),
            raw("WindowWidth", "8192"),
        )
    ),
    "rescale_without_intercept": HeaderVariant(
        (raw("RescaleSlope", "2"), raw("WindowWidth", "8192")), emptied=("RescaleSlope", "WindowCenter", "WindowWidth")
    ),
    "voi_lut": HeaderVariant(
        (lut("VOILUTSequence", [4096, 0, 12], 4096, LUTExplanation="Müller's favourite"),), kind="DX"
    ),
    "voi_lut_of_full_range": HeaderVariant((lut("VOILUTSequence", [0, 0, 16], 65536),), kind="DX"),
    "modality_lut": HeaderVariant(
        (
            drop("RescaleSlope", "RescaleIntercept", "RescaleType"),
            lut("ModalityLUTSequence", [4096, 0, 12], 4096, ModalityLUTType="US"),
        )
    ),
    "modality_lut_beside_rescale": HeaderVariant(
        (lut("ModalityLUTSequence", [4096, 0, 12], 4096, ModalityLUTType="US"),),
        emptied=("RescaleSlope", "RescaleIntercept", "RescaleType"),
        kind="DX",
    ),
    "voi_lut_too_short": HeaderVariant(
        (lut("VOILUTSequence", [4096, 0, 12], 100),), "header_invalid", ("VOILUTSequence",), kind="DX"
    ),
    "voi_lut_descriptor_of_two": HeaderVariant(
        (lut("VOILUTSequence", [4096, 12], 4096),), "header_invalid", ("VOILUTSequence",), kind="DX"
    ),
    "two_values_of_rows": HeaderVariant((put("Rows", [160, 128]),), "header_invalid", ("Rows",)),
}
_STRUCTURE: Mapping[str, HeaderVariant] = {
    "dx": HeaderVariant((), kind="DX"),
    "cr": HeaderVariant(()),
    "private_everywhere": HeaderVariant((private_everywhere,), kind="DX"),
    "retired_attributes": HeaderVariant((retired_attributes,)),
    "overlay": HeaderVariant((overlay,), emptied=("OverlayData",), kind="DX"),
    "region_of_no_item": HeaderVariant((put("AnatomicRegionSequence", []),), kind="DX"),
    "region_of_empty_item": HeaderVariant((put("AnatomicRegionSequence", [Dataset()]),), kind="DX"),
    "empty_sequences": HeaderVariant(
        tuple(
            put(keyword, [])
            for keyword in (
                "ReferencedStudySequence",
                "ProcedureCodeSequence",
                "OtherPatientIDsSequence",
                "IssuerOfPatientIDQualifiersSequence",
                "ModalityLUTSequence",
                "VOILUTSequence",
                "ViewCodeSequence",
            )
        ),
        kind="DX",
    ),
    "items_without_content": HeaderVariant(
        tuple(
            put(keyword, [Dataset()])
            for keyword in (
                "ReferencedStudySequence",
                "ProcedureCodeSequence",
                "OtherPatientIDsSequence",
                "RequestAttributesSequence",
                "ViewCodeSequence",
            )
        ),
        kind="DX",
    ),
    "lossy": HeaderVariant(
        (
            put("LossyImageCompression", "01"),
            put("LossyImageCompressionRatio", 12.5),
            put("LossyImageCompressionMethod", "ISO_10918_1"),
        )
    ),
    "lossy_without_ratio": HeaderVariant((put("LossyImageCompression", "01"),)),
    "burned_in": HeaderVariant((put("BurnedInAnnotation", "YES"),)),
    "frame_of_reference": HeaderVariant((put("FrameOfReferenceUID", "1.2.3"),)),
    "de_identified": HeaderVariant(
        (put("PatientIdentityRemoved", "YES"), put("DeidentificationMethod", ["Basic Profile", "PS3.15"]))
    ),
    "de_identified_without_method": HeaderVariant(
        (put("PatientIdentityRemoved", "YES"),), emptied=("PatientIdentityRemoved",)
    ),
    "unknown_vr": HeaderVariant((raw("PatientID", "ID 7", "UN"), raw("StudyDescription", "wrist", "UN"))),
    "wrong_vr": HeaderVariant(
        (put("PatientID", "ID7", "SH"), put("AccessionNumber", "7", "LO"), put("StudyID", "1", "CS"))
    ),
    "sequence_instead_of_text": HeaderVariant(
        (put("StudyDescription", [Dataset()], "SQ"),), emptied=("StudyDescription",)
    ),
    "implicit_vr": HeaderVariant((private_everywhere,), syntax=ImplicitVRLittleEndian, kind="DX"),
    "no_file_meta": HeaderVariant((), syntax=ImplicitVRLittleEndian, with_meta=False),
    "one_frame": HeaderVariant((raw("NumberOfFrames", "1"),)),
    "several_frames": HeaderVariant((raw("NumberOfFrames", "2"),), "multi_frame"),
    "chest": HeaderVariant(
        (raw("BodyPartExamined", "CHEST"), drop("AnatomicRegionSequence")), "body_part_out_of_scope"
    ),
    "for_processing": HeaderVariant(
        (put("SOPClassUID", DigitalXRayImageStorageForProcessing), put("PresentationIntentType", "FOR PROCESSING")),
        "for_processing",
        kind="DX",
    ),
    "no_modality": HeaderVariant((drop("Modality"),)),
    "no_photometric_interpretation": HeaderVariant((drop("PhotometricInterpretation"),), "colour"),
}
_TABLES = (_STRUCTURE, _OF_HIGHDICOM, _CHARACTER_SETS, _DATES_AND_NAMES, _LENGTHS, _UIDS, _CODE_STRINGS, _NUMBERS)
VARIANTS: Mapping[str, HeaderVariant] = {key: variant for table in _TABLES for key, variant in table.items()}
