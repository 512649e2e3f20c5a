"""A folder of pictures is analysed; pictures beside DICOM files are ignored and counted, so no preview is a study."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from operators.reading.decoder import Decoder, FileReader
from operators.reading.folder import list_files
from operators.reading.pictures.capture import SERIES_DESCRIPTION
from operators.reading.study_index import index_files
from operators.records.sources import ExcludedImage, Ignored, SourceFile
from tests.phantoms import radiograph, save, stored_phantom


@pytest.fixture(scope="module")
def reader():
    with Decoder(20, 4096) as decoder:
        yield FileReader(decoder)


def picture(path, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored_phantom(seed, bits=8).astype(np.uint8)).save(path)
    return path


def indexed(files, reader):
    """Return the images, by name, and what was ignored."""
    with index_files(files, reader) as index:
        images = [image for study in index.studies(lambda: datetime.now(UTC)) for image in study.images]
        return {getattr(image.source, "file", image.source).name: image for image in images}, index.ignored


def test_each_picture_of_a_folder_is_a_study_of_a_patient_of_its_own(tmp_path, reader, caplog):
    caplog.set_level(logging.INFO)
    picture(tmp_path / "a.png")
    picture(tmp_path / "sub" / "b.jpg", seed=2)
    (tmp_path / "readme.txt").write_text("no picture")
    images, ignored = indexed(list_files(tmp_path), reader)
    assert list(images) == ["a.png", "sub/b.jpg"] and ignored == {None: 1}
    headers = [image.header for image in images.values()]
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({header[keyword].value for header in headers}) == 2
    assert all(image.file.picture and image.body_part is None for image in images.values())
    assert caplog.text.count("the pictures (PNG, JPEG) are analysed: 2") == 1


def test_pictures_beside_dicom_are_ignored_and_counted(tmp_path, reader, caplog):
    caplog.set_level(logging.INFO)
    picture(tmp_path / "a_preview.png")
    (tmp_path / "b_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    save(radiograph(), tmp_path / "image.dcm")
    picture(tmp_path / "z.jpg")
    images, ignored = indexed(list_files(tmp_path), reader)
    assert list(images) == ["image.dcm"] and ignored == {Ignored.PICTURE: 3}
    assert caplog.text.count("pictures (PNG, JPEG) beside DICOM files are ignored: 3") == 1


@pytest.mark.parametrize("beside", ["damaged", "no image"])
def test_any_dicom_file_makes_it_a_folder_of_dicom(tmp_path, reader, beside):
    picture(tmp_path / "a.png")
    if beside == "damaged":
        (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 100)
    else:
        save(radiograph(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR"), tmp_path / "b.dcm")
    images, ignored = indexed(list_files(tmp_path), reader)
    assert "a.png" not in images and ignored[Ignored.PICTURE] == 1


def test_neither_results_of_an_earlier_run_nor_a_dead_link_hide_the_pictures(tmp_path, reader):
    picture(tmp_path / "a.png")
    save(radiograph(SeriesDescription=SERIES_DESCRIPTION), tmp_path / "results" / "image_1.dcm")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    images, ignored = indexed(list_files(tmp_path), reader)
    assert set(images) == {"a.png", "link.png"} and ignored == {Ignored.OWN_OBJECT: 1}
    assert not isinstance(images["a.png"], ExcludedImage) and images["link.png"].state == "failed"


def test_a_copy_of_a_picture_is_a_duplicate(tmp_path, reader):
    content = picture(tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content)
    images, _ = indexed(list_files(tmp_path), reader)
    assert not isinstance(images["a.png"], ExcludedImage)
    assert (images["b.png"].state, images["b.png"].reason) == ("declined", "duplicate_instance")


def test_pictures_in_memory_are_known_by_their_bytes(tmp_path, reader):
    contents = [picture(tmp_path / f"{seed}.png", seed).read_bytes() for seed in (1, 2)]
    on_disk, _ = indexed(list_files(tmp_path), reader)
    files = [SourceFile(tmp_path, f"in_memory_{number}", content) for number, content in enumerate(contents)]
    in_memory, _ = indexed(files, reader)
    assert len(in_memory) == 2
    assert {image.sop_instance_uid for image in in_memory.values()} == {
        image.sop_instance_uid for image in on_disk.values()
    }
