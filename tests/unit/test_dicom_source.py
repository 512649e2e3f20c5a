"""Every header defect of real life gives a copy that the writers can rely on (a row each)."""

from __future__ import annotations

import pytest
from pydicom import config
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from operators.codes import normalise_body_part
from operators.dicom_source import is_referable, normalise
from operators.radiographs import body_part
from tests.phantoms import radiograph

TYPE_2 = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
]


@pytest.fixture(autouse=True)
def _read_anything(monkeypatch):
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "_writing_validation_mode", config.IGNORE)


@pytest.mark.parametrize("keyword", TYPE_2)
def test_a_missing_type_2_attribute_becomes_empty_and_is_not_invented(keyword):
    copy, _ = normalise(radiograph(**{keyword: None}))
    assert keyword in copy
    assert not copy.get(keyword)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "20261301"),
        ("StudyDate", "2026.01.01"),
        ("StudyTime", "256000"),
        ("PatientBirthDate", "unknown"),
        ("PatientSex", "female"),
        ("ImageLaterality", "RIGHT"),
    ],
)
def test_an_invalid_value_is_emptied_and_told_by_tag(keyword, value):
    copy, emptied = normalise(radiograph(**{keyword: value}))
    assert not copy.get(keyword)
    (told,) = emptied
    assert told.endswith(f") {keyword}")
    assert value not in told


@pytest.mark.parametrize("value", ["nan", "inf", ["0.1", "nan"]])
def test_a_spacing_that_is_no_number_is_emptied(value):
    ds = radiograph(ImagerPixelSpacing=None)
    ds.add(DataElement("ImagerPixelSpacing", "DS", value, validation_mode=IGNORE))
    copy, emptied = normalise(ds)
    assert not copy.ImagerPixelSpacing
    assert len(emptied) == 1


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Chest", "CHEST"),
        ("chest pa", "CHEST PA"),
        ("C-SPINE", "CSPINE"),
        ("LUMBAR SPINE LATERAL", "LUMBARSPINELATER"),
        ("left wrist, two views", "WRIST"),
    ],
)
def test_a_body_part_in_free_text_still_names_one(text, term):
    ds = radiograph(BodyPartExamined=None, AnatomicRegionSequence=None)
    ds.add(DataElement("BodyPartExamined", "CS", text, validation_mode=IGNORE))
    copy, emptied = normalise(ds)
    assert (copy.BodyPartExamined, emptied) == (term, [])
    assert body_part(copy) == normalise_body_part(text)[:16]


@pytest.mark.parametrize("value", ["120000", "1200", "12", "120000.123456", "235960"])
def test_a_valid_time_is_kept(value):
    assert normalise(radiograph(StudyTime=value))[0].StudyTime == value


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("GB18030", "王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 192", "Ærø^Åse"),
    ],
)
def test_names_of_every_character_set_are_written_in_unicode(charset, name):
    ds = radiograph(PatientName=name)
    ds.SpecificCharacterSet = charset
    copy, _ = normalise(ds)
    assert copy.SpecificCharacterSet == "ISO_IR 192"
    assert str(copy.PatientName) == name


def test_what_is_valid_is_kept_as_it_is():
    source = radiograph(InstanceNumber=7, PatientAge="042Y", ImagerPixelSpacing=["0.1201199999999", "0.12"])
    copy, emptied = normalise(source)
    for keyword in (
        "InstanceNumber",
        "PatientAge",
        "ImagerPixelSpacing",
        "Rows",
        "ViewPosition",
        "StudyDate",
        "Laterality",
    ):
        assert copy.get(keyword) == source.get(keyword)
    assert emptied == []


def test_a_long_patient_id_is_kept_whole():
    assert normalise(radiograph(PatientID="X" * 70))[0].PatientID == "X" * 70


def test_the_source_is_not_changed_and_private_data_stay_out():
    ds = radiograph(FrameOfReferenceUID="1.2.3")
    ds.add_new(0x00091001, "LO", "private")
    before = ds.to_json()
    copy, _ = normalise(ds)
    assert ds.to_json() == before
    assert "FrameOfReferenceUID" not in copy
    assert not [element for element in copy if element.tag.is_private]
    assert "PixelData" not in copy


def test_the_region_is_kept_only_if_it_is_coded():
    assert normalise(radiograph())[0].AnatomicRegionSequence[0].CodeValue == "74670003"
    assert "AnatomicRegionSequence" not in normalise(radiograph(AnatomicRegionSequence=[Dataset()]))[0]
    assert "AnatomicRegionSequence" not in normalise(radiograph(AnatomicRegionSequence=[]))[0]


@pytest.mark.parametrize(
    ("uid", "valid"),
    [("1.2.3", True), ("2.25.1", True), ("999.1", False), ("1.2.03", False), ("1", False), ("1." + "2" * 70, False)],
)
def test_an_image_with_an_invalid_uid_cannot_be_referred_to(uid, valid):
    assert is_referable(radiograph(SOPInstanceUID=uid)) is valid
