"""The picture of a codestream is the one that the header describes, or the image fails with both told."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from operators.reading.dicom_file import read_stored_values
from operators.records.errors import InvalidDicomError
from tests.coded_images import COMPRESSED, EIGHT_BITS, SYNTAXES, coded, content, frame_of, with_frame
from tests.phantoms import stored_phantom

STORED = stored_phantom()
LOSSY = {**dict.fromkeys(EIGHT_BITS, 12), "1.2.840.10008.1.2.4.81": 2}
CODESTREAMS = [syntax for syntax in COMPRESSED if syntax != RLELossless]


def names(syntax):
    return syntax.keyword


def refusal(ds) -> InvalidDicomError:
    with pytest.raises(InvalidDicomError) as caught:
        read_stored_values(content(ds))
    return caught.value


@pytest.mark.parametrize("syntax", SYNTAXES, ids=names)
def test_sound_images_are_read_in_every_transfer_syntax(syntax):
    expected = STORED >> 4 if syntax in EIGHT_BITS else STORED
    read = read_stored_values(content(coded(STORED, syntax)))
    values = read.values
    assert not read.doubtful
    assert np.abs(values.astype(int) - expected).max() <= LOSSY.get(syntax, 0)


@pytest.mark.parametrize("size", [(128, 160), (80, 64), (161, 128), (160, 127), (320, 256)])
@pytest.mark.parametrize("syntax", CODESTREAMS, ids=names)
def test_another_size_than_the_header_says_is_told_with_both(syntax, size):
    ds = coded(STORED, syntax)
    ds.Rows, ds.Columns = size
    error = refusal(ds)
    assert error.reason == "header_invalid"
    assert f"{size[1]} x {size[0]}" in error.detail
    assert "128 x 160" in error.detail


@pytest.mark.parametrize("size", [(161, 128), (159, 128), (160, 100)])
def test_rle_segments_give_exactly_the_pixels(size):
    ds = coded(STORED, RLELossless)
    ds.Rows, ds.Columns = size
    assert refusal(ds).reason == "pixel_data_corrupt"


def test_more_native_bytes_than_the_size_needs_are_told():
    ds = coded(STORED, ExplicitVRLittleEndian, Columns=100)
    error = refusal(ds)
    assert error.reason == "header_invalid"
    assert "40960 bytes" in error.detail
    assert "32000" in error.detail
    fewer = coded(STORED, ExplicitVRLittleEndian, Columns=129)
    assert refusal(fewer).reason == "pixel_data_corrupt"


@pytest.mark.parametrize(("stored", "allocated"), [(16, 16), (8, 8)])
def test_other_bits_than_the_codestream_has_are_told(stored, allocated):
    ds = coded(STORED, JPEGLSLossless)
    ds.BitsStored, ds.HighBit, ds.BitsAllocated = stored, stored - 1, allocated
    error = refusal(ds)
    assert error.reason == "header_invalid"
    assert "of 12 bits" in error.detail


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless], ids=names)
def test_spare_bits_of_a_codestream_are_none(syntax):
    """GDCM writes 16 bits of precision whatever Bits Stored is."""
    assert np.array_equal(read_stored_values(content(coded(STORED, syntax))).values, STORED)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=names)
def test_a_cut_stream_is_damage(syntax):
    ds = coded(STORED, syntax)
    frame = frame_of(ds)
    for length in (2, 20, 64, len(frame) // 2, len(frame) - 4):
        assert refusal(with_frame(ds, frame[:length])).reason == "pixel_data_corrupt"


@pytest.mark.parametrize("syntax", COMPRESSED, ids=names)
def test_data_after_the_end_are_damage(syntax):
    ds = coded(STORED, syntax)
    frame = frame_of(ds)
    assert refusal(with_frame(ds, frame + b"\x11\x22\x33\x44")).reason == "pixel_data_corrupt"
    read_stored_values(content(with_frame(ds, frame + b"\0" * (2 - len(frame) % 2))))  # padding is none


@pytest.mark.parametrize("syntax", COMPRESSED, ids=names)
def test_a_stream_of_several_fragments_is_one_frame(syntax):
    ds = coded(STORED, syntax)
    frame = frame_of(ds)
    whole = read_stored_values(content(ds)).values
    ds.PixelData = encapsulate([frame], fragments_per_frame=3)
    assert np.array_equal(read_stored_values(content(ds)).values, whole)


def test_a_file_that_ends_before_the_closing_delimiter_is_damaged():
    whole = content(coded(STORED, JPEGBaseline8Bit))
    with pytest.raises(InvalidDicomError) as caught:
        read_stored_values(whole[:-8])
    assert caught.value.reason == "pixel_data_corrupt"
