"""Folder -> studies: every file is accounted for once, in a stable order."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.decoding import Decoder
from operators.dicom_file import NotDicomError
from operators.records import ExcludedImage
from operators.studies import index_files, list_files, read_studies
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


def test_the_output_folder_is_not_read(tmp_path, read_header):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("b"), tmp_path / "out" / "sr.dcm")
    files = [file.name for file in list_files(tmp_path, left_out=tmp_path / "out")]
    assert files == ["1.dcm"]


def test_one_file_is_an_input_too(tmp_path):
    path = save(radiograph(), tmp_path / "1.dcm")
    assert [file.name for file in list_files(path)] == ["1.dcm"]
    assert list(list_files(tmp_path / "empty")) == []
