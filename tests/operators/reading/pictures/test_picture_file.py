"""PNG and JPEG files of every kind -> grey values, or a reason: none is misread, none ends the reader."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.ExifTags import Base

from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError, PictureError
from operators.reading.grey_scale import render
from operators.reading.normalised_header import is_referable
from operators.reading.pictures.capture import wrap_picture
from operators.reading.pictures.picture_file import is_picture, read_picture, read_picture_header
from operators.reading.radiographs import read_radiograph
from operators.reading.study_index import source_image
from operators.records.codes import BODY_PARTS
from operators.records.errors import ImageError
from operators.records.reasons import DoubtReason
from operators.records.rules import Scope
from operators.records.sources import SourceFile
from tests.phantoms import radiograph, stored_phantom

GREY = stored_phantom(900_001, "step", bits=8, rows=160, columns=128).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (*GREY.shape, 3)).astype(np.uint8)
MARKED = np.repeat(GREY[..., np.newaxis], 3, axis=2)
MARKED[:6, :6] = (255, 0, 0)
TRANSPARENT = np.dstack([GREY, np.full_like(GREY, 255)])
TRANSPARENT[0, 0, 1] = 0
SCOPE = Scope(frozenset(BODY_PARTS), secondary_capture=False, smallest_side=64, largest_area=1_000_000)


def encoded(picture, kind="PNG", **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[Base.Orientation] = orientation
    return tags


def bomb(columns, rows):
    """A PNG of a few hundred bytes that claims to be very large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def outcome(content):
    """Return what the reader makes of a picture: its grey values, or a state and a reason."""
    try:
        return read_picture(content).values
    except ImageError as error:
        assert "\n" not in error.detail
        return error.state, error.reason


SAME_VALUES = {
    "PNG": encoded(GREY),
    "RGB": encoded(np.repeat(GREY[..., np.newaxis], 3, axis=2)),
    "RGBA, opaque": encoded(np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])),
    "grey and alpha, opaque": encoded(np.dstack([GREY, np.full_like(GREY, 255)])),
    "palette of greys": encoded(Image.fromarray(GREY).convert("P")),
    "interlaced or not": encoded(GREY, optimize=True),
}


@pytest.mark.parametrize("content", SAME_VALUES.values(), ids=SAME_VALUES)
def test_grey_pictures_keep_their_values(content):
    assert is_picture(content)
    assert np.array_equal(outcome(content), GREY)


def test_sixteen_bits_are_kept():
    deep = stored_phantom(1, "none", bits=16, rows=80, columns=70)
    read = read_picture(encoded(deep))
    assert read.values.dtype == np.uint16 and np.array_equal(read.values, deep)
    assert render(read.values, read.header) == pytest.approx(deep / 65535, abs=1e-6)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_read_and_says_that_it_lost_something(mode, progressive):
    read = read_picture(encoded(Image.fromarray(GREY).convert(mode), "JPEG", quality=95, progressive=progressive))
    assert np.abs(read.values.astype(int) - GREY).mean() < 3
    assert read.header.LossyImageCompression == "01" and read.header.LossyImageCompressionRatio > 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_exif_orientation_says(orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that make the stored picture
    stored = Image.fromarray(GREY)
    stored = stored.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else stored
    content = encoded(stored, exif=exif(orientation))
    assert np.array_equal(outcome(content), GREY)
    header = read_picture_header(content)
    assert (header.Rows, header.Columns) == GREY.shape


REFUSED = {
    "colour PNG": (encoded(COLOURS), "declined", "colour"),
    "colour JPEG": (encoded(COLOURS, "JPEG"), "declined", "colour"),
    "colour palette": (encoded(Image.fromarray(COLOURS).quantize(64)), "declined", "colour"),
    "CMYK JPEG": (encoded(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"), "declined", "colour"),
    "transparent": (encoded(TRANSPARENT), "declined", "not_a_radiograph"),
    "one transparent grey": (encoded(GREY, transparency=int(GREY[0, 0])), "declined", "not_a_radiograph"),
    "animation": (
        encoded(GREY, save_all=True, append_images=[Image.fromarray(GREY // 2)]),
        "declined",
        "multi_frame",
    ),
    "bomb": (bomb(60_000, 60_000), "declined", "too_large"),
    "cut PNG": (encoded(GREY)[:2000], "failed", "pixel_data_corrupt"),
    "cut JPEG": (encoded(GREY, "JPEG")[:2000], "failed", "pixel_data_corrupt"),
    "cut colour JPEG": (encoded(MARKED, "JPEG")[:2000], "failed", "pixel_data_corrupt"),
    "no more than a signature": (b"\x89PNG\r\n\x1a\n", "failed", "unreadable_file"),
    "JPEG of noise": (b"\xff\xd8\xff" + bytes(range(256)) * 20, "failed", "unreadable_file"),
}


@pytest.mark.parametrize(("content", "state", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_analysed_ends_in_a_state_with_a_reason(content, state, reason):
    assert outcome(content) == (state, reason)


def test_a_small_coloured_mark_is_no_colour_picture():
    assert isinstance(outcome(encoded(MARKED)), np.ndarray)


def test_no_flipped_byte_of_a_png_goes_unnoticed():
    content = encoded(GREY)
    for position in range(8, len(content) - 12, 97):
        flipped = content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]
        found = outcome(flipped)
        assert isinstance(found, tuple), position


def test_identifiers_follow_the_bytes_and_nothing_is_invented():
    one, again, other = (read_picture_header(encoded(GREY, compress_level=level)) for level in (1, 1, 9))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        assert one[keyword].value == again[keyword].value != other[keyword].value
    assert is_referable(one)
    absent = ("PatientName", "BodyPartExamined", "Laterality", "ViewPosition", "ImagerPixelSpacing", "StudyDate")
    assert not any(one.get(keyword) for keyword in absent)


def test_a_preamble_that_looks_like_a_picture_is_dicom(tmp_path):
    ds = radiograph()
    ds.preamble = encoded(GREY)[:128]
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert not is_picture(tmp_path / "a.dcm")


@pytest.fixture(scope="module")
def decoder():
    with Decoder(20, 4096) as child:
        yield child


def test_the_child_answers_as_for_dicom(decoder, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(GREY))
    with pytest.raises(PictureError):
        decoder.header(path)
    file = SourceFile(path, "a.png", picture=True)
    reply = decoder.header(path, picture=True)
    assert reply.problem is None and not reply.changes and reply.has_pixel_data
    radiograph = read_radiograph(source_image(file, reply), SCOPE, decoder)
    assert np.array_equal(np.round(radiograph.pixels * 255), GREY)
    assert radiograph.doubts[:1] == (DoubtReason.BODY_PART_ABSENT,)
    with pytest.raises(NotDicomError):
        decoder.header(b"no picture", picture=True)
    wrapped = wrap_picture(reply.header, GREY)
    wrapped.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert decoder.header(tmp_path / "a.dcm").ignored == "own_objects"  # what comes back makes no new report
    assert decoder.pixel_digest(tmp_path / "a.dcm") == decoder.pixel_digest(path)


@pytest.mark.parametrize(("shape", "reason"), [((63, 200), "too_small"), ((1100, 1000), "too_large")])
def test_the_limits_of_size_hold_for_pictures(decoder, shape, reason):
    content = encoded(np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1)))
    source = source_image(SourceFile(None, "a.png", content, picture=True), decoder.header(content, picture=True))
    with pytest.raises(ImageError) as error:
        read_radiograph(source, SCOPE, decoder)
    assert error.value.reason == reason


def test_a_picture_that_is_replaced_while_the_run_reads_fails(decoder, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(GREY))
    source = source_image(SourceFile(path, "a.png", picture=True), decoder.header(path, picture=True))
    path.write_bytes(encoded(GREY[::-1]))
    with pytest.raises(ImageError, match="replaced or changed"):
        read_radiograph(source, SCOPE, decoder)


def test_text_in_a_png_costs_no_memory():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 50_000_000, zip=True)
    assert outcome(encoded(GREY, pnginfo=text))[0] in ("failed", "declined")
