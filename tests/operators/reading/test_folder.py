"""Folder -> studies: every file is accounted for once, in a stable order."""

from __future__ import annotations

import copy
import dataclasses
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement

from operators.encoding.remarks import Remark, remarks
from operators.reading.decoder import Decoder
from operators.reading.folder import list_files
from operators.reading.study_index import StudyIndex, header_reader, index_files
from operators.records.sources import ExcludedImage, SourceFile, SourceImage
from operators.records.study import Study
from tests.header_variants import raw
from tests.phantoms import classification, radiograph, save

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def read_header():
    with Decoder(20, 4096) as decoder:
        yield header_reader(decoder)


def studies_of(index: StudyIndex) -> list[Study[SourceImage]]:
    with index:
        return list(index.studies(lambda: NOW))


def test_files_are_sorted_into_studies(tmp_path, read_header):
    save(radiograph("b", study="two", InstanceNumber=2), tmp_path / "1.dcm")
    save(radiograph("a", study="one"), tmp_path / "sub" / "2.dcm")
    save(radiograph("c", study="two", InstanceNumber=1), tmp_path / "sub" / "3.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    index = index_files(list_files(tmp_path), read_header)
    assert index.ignored_files == 1
    studies = studies_of(index)
    assert [[image.file.name for image in study.images] for study in studies] == [["sub/3.dcm", "1.dcm"], ["sub/2.dcm"]]


def test_the_second_file_of_an_instance_is_a_duplicate(tmp_path, read_header):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("a"), tmp_path / "2.dcm")
    index = index_files(list_files(tmp_path), read_header)
    (study,) = studies_of(index)
    (excluded,) = study.excluded
    assert (excluded.state, excluded.reason, excluded.source.file.name) == ("declined", "duplicate_instance", "2.dcm")
    assert len(study.included) == 1


def test_files_without_identity_are_kept_with_their_reason(tmp_path, read_header):
    save(radiograph("a", StudyInstanceUID=None), tmp_path / "1.dcm")
    save(radiograph("b", SOPInstanceUID=None, study="s"), tmp_path / "2.dcm")
    (tmp_path / "3.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00XX\xff\xff")
    index = index_files(list_files(tmp_path), read_header)
    studies = {study.study_instance_uid: study for study in studies_of(index)}
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
    excluded = [image for study in studies_of(index) for image in study.excluded]
    assert [image.reason for image in excluded] == ["header_invalid"] * 4


def test_several_values_of_a_number_cost_nothing(tmp_path, read_header):
    with_several(tmp_path / "1.dcm", SeriesNumber=["1", "2"], InstanceNumber=["3", "4"], ImagerPixelSpacing="0.1")
    (study,) = studies_of(index_files(list_files(tmp_path), read_header))
    (image,) = study.included
    assert image.imager_pixel_spacing_mm is None


def test_an_implausible_spacing_is_told_of_its_image(tmp_path, read_header):
    for number, value in enumerate(("1e-320", "1e200", "0.2"), start=1):
        put = raw("ImagerPixelSpacing", f"{value}\\{value}")
        ds = radiograph(str(number), study="a", InstanceNumber=number)
        put(ds)
        save(ds, tmp_path / f"{number}.dcm")
    (study,) = studies_of(index_files(list_files(tmp_path), read_header))
    assert [image.imager_pixel_spacing_mm for image in study.included] == [None, None, (0.2, 0.2)]
    told = [Remark.NO_SPACING in remarks(classification(source=image)) for image in study.included]
    assert told == [True, True, False]


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
    (study,) = studies_of(index_files(list_files(tmp_path), read_header))
    assert [(image.state, image.reason) for image in study.images] == [("failed", "header_invalid")] * 2
    assert not any(isinstance(image.source, SourceImage) for image in study.images)  # nothing refers to them
    assert "different patients" in caplog.text
    assert "ID-7" not in caplog.text


def test_a_missing_patient_id_contradicts_none(tmp_path, read_header):
    for number, patient in enumerate(("ID-7", "", None), start=1):
        save(radiograph(str(number), study="a", PatientID=patient), tmp_path / f"{number}.dcm")
    (study,) = studies_of(index_files(list_files(tmp_path), read_header))
    assert len(study.included) == 3


def test_every_header_is_read_once(tmp_path, read_header):
    for number in range(3):
        save(radiograph(str(number), study=str(number % 2)), tmp_path / f"{number}.dcm")
    asked = []

    def count(file):
        asked.append(file.name)
        return read_header(file)

    studies = studies_of(index_files(list_files(tmp_path), count))
    assert sorted(asked) == ["0.dcm", "1.dcm", "2.dcm"]
    assert [len(study.included) for study in studies] == [2, 1]


def test_a_header_comes_back_as_it_was_read(tmp_path, read_header):
    save(
        radiograph(PatientName="Müller^Änne", ImagerPixelSpacing=[0.1, 0.2], StudyDescription="a\\b"),
        tmp_path / "1.dcm",
    )
    (file,) = list_files(tmp_path)
    read = read_header(file)
    (study,) = studies_of(index_files([file], lambda _: read))
    assert study.included[0].header == read.header
    assert study.included[0].has_pixel_data is read.has_pixel_data
    assert study.analysed_at == NOW


def test_bytes_are_read_like_files(tmp_path, read_header):
    path = save(radiograph(), tmp_path / "1.dcm")
    (of_file,) = studies_of(index_files(list_files(path), read_header))
    (of_bytes,) = studies_of(index_files([SourceFile(Path("x"), "x", path.read_bytes())], read_header))
    assert of_bytes.included[0].header == of_file.included[0].header
    assert of_bytes.included[0].file.data == path.read_bytes()


def test_a_file_name_that_is_no_unicode_is_accounted_for(tmp_path, read_header):
    path = save(radiograph(), tmp_path / "1.dcm")
    name = os.fsdecode(b"\xff.dcm")
    path.rename(tmp_path / name)
    index = index_files(list_files(tmp_path), read_header)
    assert index.file_names(index.study_uids[0]) == [name]
    assert [image.file.name for image in studies_of(index)[0].included] == [name]


@pytest.mark.slow
@pytest.mark.slow
def test_the_headers_of_a_large_folder_are_not_held_in_memory(read_header, tmp_path):
    path = save(radiograph(), tmp_path / "1.dcm")
    reply = read_header(SourceFile(path, "1.dcm"))
    small = len(reply.header.to_json())

    def invent(file):
        header = copy.deepcopy(reply.header)
        header.SOPInstanceUID, header.StudyInstanceUID = f"1.2.{file.name}", f"1.3.{file.name}"
        return dataclasses.replace(reply, header=header)

    count = 3000
    tracemalloc.start()
    index = index_files((SourceFile(path, str(number)) for number in range(count)), invent)
    held = tracemalloc.get_traced_memory()[0]  # of Python's own; SQLite keeps a few MiB and puts the rest on disk
    tracemalloc.stop()
    assert index.files == count
    assert held < count * small / 10
    index.close()
