"""Reading untrusted files: what is DICOM, what is damaged, and which values the pixels may have."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from operators.reading.codestreams.decoding_plugins import sample_precision
from operators.reading.dicom_file import NotDicomError, read_header, read_stored_values
from operators.reading.normalised_header import check_identity
from operators.records.errors import InvalidDicomError
from tests.phantoms import radiograph, save, stored_phantom


def test_a_header_is_read_without_its_pixels(tmp_path):
    header, has_pixels = read_header(save(radiograph(), tmp_path / "a.dcm"))
    assert has_pixels
    assert "PixelData" not in header
    assert header.BodyPartExamined == "WRIST"


def test_an_object_without_pixel_data_says_so(tmp_path):
    _, has_pixels = read_header(save(radiograph(PixelData=None), tmp_path / "a.dcm"))
    assert not has_pixels


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"%PDF-1.7 a text", b"\x08\x00", b"PNG" * 100])
def test_what_is_not_dicom_is_told_apart(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(NotDicomError):
        read_header(tmp_path / "a")


def test_a_file_without_preamble_and_meta_is_dicom(tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    ds = dcmread(path)
    expected = ds.pixel_array
    bare = tmp_path / "bare"
    del ds.file_meta
    ds.save_as(bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    bare.write_bytes(_without_meta(bare.read_bytes()))
    header, has_pixels = read_header(bare)
    assert header.SOPInstanceUID == ds.SOPInstanceUID
    assert has_pixels
    assert np.array_equal(read_stored_values(bare).values, expected)


def _without_meta(content: bytes) -> bytes:
    start = content.find(b"\x08\x00\x05\x00")  # Specific Character Set, the first element of the data set
    return content[start:]


def test_a_damaged_header_is_unreadable(tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(content[:200])
    with pytest.raises(InvalidDicomError) as caught:
        header, _ = read_header(path)
        check_identity(header)
    assert caught.value.reason in ("unreadable_file", "header_invalid")


def test_a_dicomdir_is_not_an_image(tmp_path):
    file_set = FileSet()
    file_set.add(save(radiograph(), tmp_path / "a.dcm"))
    file_set.write(tmp_path / "set")
    with pytest.raises(NotDicomError):
        read_header(tmp_path / "set" / "DICOMDIR")


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_image_without_a_uid_cannot_be_referred_to(keyword):
    with pytest.raises(InvalidDicomError, match=keyword) as caught:
        check_identity(radiograph(**{keyword: None}))
    assert caught.value.reason == "header_invalid"


def test_short_pixel_data_are_corrupt(tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InvalidDicomError) as caught:
        read_stored_values(path)
    assert caught.value.reason == "pixel_data_corrupt"


def test_values_beyond_bits_stored_are_corrupt_and_not_wrapped(tmp_path):
    stored = stored_phantom(bits=16)
    path = save(radiograph(stored=stored, BitsStored=10, HighBit=9), tmp_path / "a.dcm")
    with pytest.raises(InvalidDicomError, match="10 bits"):
        read_stored_values(path)


def test_high_bit_and_old_overlays_are_masked(tmp_path):
    stored = stored_phantom(bits=12)
    shifted = save(radiograph(stored=stored << 4, BitsStored=12, HighBit=15), tmp_path / "a.dcm")
    assert np.array_equal(read_stored_values(shifted).values, stored)
    overlaid = radiograph(stored=stored | 0x8000, BitsStored=12, HighBit=11)
    overlaid.add_new(0x60000102, "US", 15)
    assert np.array_equal(read_stored_values(save(overlaid, tmp_path / "b.dcm")).values, stored)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_signed_pixels_keep_their_sign(tmp_path, bits):
    signed = stored_phantom(bits=bits).astype(np.int32) - 2 ** (bits - 1)
    ds = radiograph(stored=stored_phantom(), BitsStored=bits, HighBit=bits - 1, PixelRepresentation=1)
    ds.PixelData = signed.astype("<i2").tobytes()
    assert np.array_equal(read_stored_values(save(ds, tmp_path / "a.dcm")).values, signed)
    ds.PixelData = (signed & (2**bits - 1)).astype("<u2").tobytes()  # some equipment does not extend the sign
    assert np.array_equal(read_stored_values(save(ds, tmp_path / "b.dcm")).values, signed)


def test_compressed_files_give_the_same_values(tmp_path):
    ds = radiograph()
    expected = ds.pixel_array.copy()
    ds.compress(RLELossless)
    assert np.array_equal(read_stored_values(save(ds, tmp_path / "rle.dcm")).values, expected)
    deflated = radiograph()
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert np.array_equal(read_stored_values(save(deflated, tmp_path / "deflated.dcm")).values, expected)
    near = radiograph()
    near.compress(JPEGLSNearLossless, jls_error=2)
    assert np.abs(read_stored_values(save(near, tmp_path / "near.dcm")).values.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("syntax", "options", "worst"),
    [
        (JPEGBaseline8Bit, {"format": "JPEG", "quality": 95}, 12),
        (JPEG2000Lossless, {"format": "JPEG2000", "no_jp2": True, "irreversible": False}, 0),
    ],
)
def test_codestreams_of_another_encoder(tmp_path, syntax, options, worst):
    stored = stored_phantom(bits=8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, **options)
    ds = radiograph(stored=stored)
    ds.PixelData = encapsulate([buffer.getvalue()])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    values = read_stored_values(save(ds, tmp_path / "a.dcm")).values
    assert values.shape == stored.shape
    assert np.abs(values.astype(int) - stored).max() <= worst


def test_the_precision_of_a_jpeg_stream_is_its_own():
    buffer = io.BytesIO()
    Image.fromarray(stored_phantom(bits=8).astype(np.uint8)).save(buffer, "JPEG")
    assert sample_precision(buffer.getvalue()) == 8
    with pytest.raises(ValueError, match="start of frame"):
        sample_precision(b"\xff\xd8\xff\xd9")
    with pytest.raises(ValueError, match="16 bits per sample"):  # which would decode to white
        sample_precision(b"\xff\xd8\xff\xc1\x00\x0b\x10\x00\x01")


def test_a_damaged_codestream_is_corrupt(tmp_path):
    ds = radiograph()
    ds.compress(RLELossless)
    ds.PixelData = encapsulate([b"\x01\0\0\0" + b"\xff" * 300])
    with pytest.raises(InvalidDicomError) as caught:
        read_stored_values(save(ds, tmp_path / "a.dcm"))
    assert caught.value.reason == "pixel_data_corrupt"
