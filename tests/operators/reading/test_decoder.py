"""The guard: whatever a file does to the child, the client answers with a coded reason and goes on."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError
from operators.records.errors import InvalidDicomError, UnsupportedImageError
from tests.phantoms import radiograph, save


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=20, memory_mib=4096) as client:
        yield client


def test_header_and_picture_come_back(decoder, tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    reply = decoder.header(path)
    assert (reply.header.BodyPartExamined, reply.has_pixel_data, reply.problem) == ("WRIST", True, None)
    picture = decoder.pixels(path).picture
    assert (picture.shape, picture.dtype) == ((160, 128), np.float32)
    assert 0 <= picture.min() < picture.max() <= 1


def test_refusals_keep_their_reason(decoder, tmp_path):
    (tmp_path / "text").write_text("no")
    with pytest.raises(NotDicomError):
        decoder.header(tmp_path / "text")
    with pytest.raises(InvalidDicomError) as missing:
        decoder.header(tmp_path / "absent")
    assert missing.value.reason == "unreadable_file"
    blank = save(radiograph(stored=np.zeros((80, 80), np.uint16)), tmp_path / "blank.dcm")
    with pytest.raises(UnsupportedImageError) as declined:
        decoder.pixels(blank)
    assert declined.value.reason == "image_quality"
    anonymous = save(radiograph(StudyInstanceUID=None), tmp_path / "anonymous.dcm")
    assert decoder.header(anonymous).problem.reason == "header_invalid"


def test_a_crash_costs_one_file(decoder, tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    decoder.header(path)
    os.kill(decoder._child.pid, signal.SIGSTOP)
    os.kill(decoder._child.pid, signal.SIGKILL)
    try:
        decoder.pixels(path)
    except InvalidDicomError as error:
        assert error.reason == "pixel_data_corrupt"
    assert decoder.pixels(path).picture.shape == (160, 128)


def test_a_file_that_takes_too_long_costs_only_itself(tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    with Decoder(timeout_s=2, memory_mib=4096) as client:
        client.header(path)
        os.kill(client._child.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(InvalidDicomError) as caught:
            client.pixels(path)
        assert caught.value.reason == "decoder_timeout"
        assert time.monotonic() - started < 5
        assert client.pixels(path).picture.shape == (160, 128)


def test_a_file_that_wants_too_much_memory_fails(tmp_path):
    huge = radiograph(Rows=60000, Columns=60000)
    path = save(huge, tmp_path / "huge.dcm")
    with Decoder(timeout_s=20, memory_mib=1024) as client, pytest.raises(InvalidDicomError) as caught:
        client.pixels(path)
    assert caught.value.reason == "pixel_data_corrupt"


def test_no_value_of_a_header_is_quoted(decoder, tmp_path):
    path = save(radiograph(PatientName="CANARY^NAME", WindowWidth=-5), tmp_path / "a.dcm")
    with pytest.raises(InvalidDicomError) as caught:
        decoder.pixels(path)
    assert "CANARY" not in caught.value.detail
