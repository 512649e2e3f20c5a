"""Folder -> studies: every file is accounted for once, in a stable order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement

from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError
from operators.reading.folder import index_files, list_files, read_studies
from operators.records.sources import ExcludedImage, SourceImage
from tests.phantoms import radiograph, save


@pytest.fixture(scope="module")
def read_header():
    with Decoder(20, 4096) as decoder:

        def read(path: Path):
            try:
                return decoder.header(path)
            except NotDicomError:
                return None

        yield read


def test_files_are_sorted_into_studies(tmp_path, read_header):
    save(radiograph("b", study="two", InstanceNumber=2), tmp_path / "1.dcm")
    save(radiograph("a", study="one"), tmp_path / "sub" / "2.dcm")
    save(radiograph("c", study="two", InstanceNumber=1), tmp_path / "sub" / "3.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    index = index_files(list_files(tmp_path), read_header)
    assert index.ignored_files == 1
    studies = list(read_studies(index, read_header))
    assert [[image.file.name for image in study.images] for study in studies] == [["sub/3.dcm", "1.dcm"], ["sub/2.dcm"]]


def test_the_second_file_of_an_instance_is_a_duplicate(tmp_path, read_header):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("a"), tmp_path / "2.dcm")
    index = index_files(list_files(tmp_path), read_header)
    (study,) = read_studies(index, read_header)
    (excluded,) = study.excluded
    assert (excluded.state, excluded.reason, excluded.source.file.name) == ("declined", "duplicate_instance", "2.dcm")
    assert len(study.included) == 1


def test_files_without_identity_are_kept_with_their_reason(tmp_path, read_header):
    save(radiograph("a", StudyInstanceUID=None), tmp_path / "1.dcm")
    save(radiograph("b", SOPInstanceUID=None, study="s"), tmp_path / "2.dcm")
    (tmp_path / "3.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00XX\xff\xff")
    index = index_files(list_files(tmp_path), read_header)
    studies = {study.study_instance_uid: study for study in read_studies(index, read_header)}
    assert None in studies
    excluded = [image for study in studies.values() for image in study.images]
    assert all(isinstance(image, ExcludedImage) and image.state == "failed" for image in excluded)
    assert len(excluded) == 3


def with_several(path, **values):
    """Save a file whose attributes have several values where the Standard allows one."""
    ds = radiograph(path.stem)
    for keyword, value in values.items():
        ds[keyword] = DataElement(keyword, ds[keyword].VR, value, validation_mode=IGNORE)
    return save(ds, path)


def test_several_values_of_an_identifier_are_a_mistake_of_the_file(tmp_path, read_header):
    for number, keyword in enumerate(("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")):
        with_several(tmp_path / f"{number}.dcm", **{keyword: ["1.2.3", "1.2.4"]})
    index = index_files(list_files(tmp_path), read_header)
    excluded = [image for study in read_studies(index, read_header) for image in study.excluded]
    assert [image.reason for image in excluded] == ["header_invalid"] * 4


def test_several_values_of_a_number_cost_nothing(tmp_path, read_header):
    with_several(tmp_path / "1.dcm", SeriesNumber=["1", "2"], InstanceNumber=["3", "4"], ImagerPixelSpacing="0.1")
    (study,) = read_studies(index_files(list_files(tmp_path), read_header), read_header)
    (image,) = study.included
    assert image.imager_pixel_spacing_mm is None


def test_what_is_emptied_is_logged_by_tag(tmp_path, read_header, caplog):
    save(radiograph(PatientBirthDate="19991399"), tmp_path / "1.dcm")
    caplog.clear()
    index_files(list_files(tmp_path), read_header)
    assert "(0010,0030) PatientBirthDate" in caplog.text
    assert "1999" not in caplog.text


def test_a_folder_above_the_input_leaves_nothing_out(tmp_path):
    save(radiograph("a"), tmp_path / "in" / "1.dcm")
    assert [file.name for file in list_files(tmp_path / "in", left_out=tmp_path)] == ["1.dcm"]


def test_the_output_folder_is_not_read(tmp_path, read_header):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("b"), tmp_path / "out" / "sr.dcm")
    files = [file.name for file in list_files(tmp_path, left_out=tmp_path / "out")]
    assert files == ["1.dcm"]


def test_one_file_is_an_input_too(tmp_path):
    path = save(radiograph(), tmp_path / "1.dcm")
    assert [file.name for file in list_files(path)] == ["1.dcm"]
    assert list(list_files(tmp_path / "empty")) == []


def test_a_study_that_names_different_patients_is_not_analysed(tmp_path, read_header, caplog):
    for number, patient in enumerate(("ID-7", "ID-8"), start=1):
        save(radiograph(str(number), study="a", PatientID=patient), tmp_path / f"{number}.dcm")
    (study,) = read_studies(index_files(list_files(tmp_path), read_header), read_header)
    assert [(image.state, image.reason) for image in study.images] == [("failed", "header_invalid")] * 2
    assert not any(isinstance(image.source, SourceImage) for image in study.images)  # nothing refers to them
    assert "different patients" in caplog.text
    assert "ID-7" not in caplog.text


def test_a_missing_patient_id_contradicts_none(tmp_path, read_header):
    for number, patient in enumerate(("ID-7", "", None), start=1):
        save(radiograph(str(number), study="a", PatientID=patient), tmp_path / f"{number}.dcm")
    (study,) = read_studies(index_files(list_files(tmp_path), read_header), read_header)
    assert len(study.included) == 3
