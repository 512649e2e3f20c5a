"""Header -> pixels: they are taken from the file whose header was read, and from no other."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from operators.reading.decoder import Decoder, FileReader
from operators.reading.folder import list_files
from operators.reading.radiographs import read_radiograph
from operators.reading.study_index import index_files
from operators.records.codes import BODY_PARTS
from operators.records.errors import ImageError
from operators.records.rules import Scope
from tests.phantoms import radiograph, save

SCOPE = Scope(tuple(BODY_PARTS), False, 64, 10**8)
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def decoder():
    with Decoder(20, 4096) as client:
        yield client


def indexed(folder, decoder):
    with index_files(list_files(folder), FileReader(decoder)) as index:
        (study,) = index.studies(lambda: NOW)
    return study


REPLACED = {
    "other_instance": {"SOPInstanceUID": "1.2.3"},
    "other_study": {"StudyInstanceUID": "1.2.3"},
    "other_patient": {"PatientID": "another"},
    "no_instance": {"SOPInstanceUID": None},
    "no_study": {"StudyInstanceUID": None},
    "other_side": {"ImageLaterality": "R"},
}


@pytest.mark.parametrize("change", REPLACED.values(), ids=REPLACED)
def test_a_file_that_is_replaced_after_its_header_was_read_fails_alone(decoder, tmp_path, change):
    for name in ("a", "b"):
        save(radiograph(name, study="one"), tmp_path / f"{name}.dcm")
    study = indexed(tmp_path, decoder)
    save(radiograph("a", **{"study": "one"} | change), tmp_path / "a.dcm")
    read = study.map(lambda source: read_radiograph(source, SCOPE, decoder))
    (failed,) = read.excluded
    assert (failed.source.file.name, failed.state, failed.reason) == ("a.dcm", "failed", "unreadable_file")
    assert "was replaced or changed" in failed.detail
    assert len(read.included) == 1


@pytest.mark.parametrize("content", [None, b"", b"no DICOM any more"])
def test_a_file_that_is_lost_after_its_header_was_read_fails_alone(decoder, tmp_path, content):
    for name in ("a", "b"):
        save(radiograph(name, study="one"), tmp_path / f"{name}.dcm")
    study = indexed(tmp_path, decoder)
    (tmp_path / "a.dcm").unlink()
    if content is not None:
        (tmp_path / "a.dcm").write_bytes(content)
    read = study.map(lambda source: read_radiograph(source, SCOPE, decoder))
    (failed,) = read.excluded
    assert (failed.source.file.name, failed.state, failed.reason) == ("a.dcm", "failed", "unreadable_file")
    assert len(read.included) == 1


def test_the_same_image_written_again_is_still_the_same(decoder, tmp_path):
    save(radiograph("a"), tmp_path / "a.dcm")
    (source,) = indexed(tmp_path, decoder).included
    first = read_radiograph(source, SCOPE, decoder)
    save(radiograph("a"), tmp_path / "a.dcm")
    again = read_radiograph(source, SCOPE, decoder)
    assert first.sha256 == again.sha256 != ""
    with pytest.raises(ImageError):
        read_radiograph(dataclasses.replace(source, header_sha256="0" * 64), SCOPE, decoder)
