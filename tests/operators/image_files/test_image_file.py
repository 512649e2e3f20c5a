"""Image files: the same pixels as the training and the application see, refused for the same reasons, in place."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import gdcm
import nibabel
import numpy as np
import pytest
from PIL import Image

from operators.image_files.grid import PNG, jpeg_spacing
from operators.image_files.image_file import ImageFile, ImageReader, read_image
from operators.reading.decoder import Decoder
from operators.records.codes import BODY_PARTS
from operators.records.errors import ImageError
from operators.records.rules import Scope
from operators.records.sources import ExcludedImage, SourceFile
from tests.phantoms import radiograph, save, stored_phantom
from training.batches.images import read_pixels

SCOPE = Scope(frozenset(BODY_PARTS), secondary_capture=False, smallest_side=64, largest_area=1_000_000)
ROWS, COLUMNS = 160, 128


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=20, memory_mib=4096) as client:
        yield client


@pytest.fixture
def read(decoder):
    return lambda path: read_image(SourceFile(path, path.name), SCOPE, decoder)


def picture(path: Path, bits: int = 8, **options) -> Path:
    Image.fromarray(stored_phantom(bits=bits).astype(np.uint8 if bits == 8 else np.uint16)).save(path, **options)
    return path


def colour_picture(path: Path, mode: str) -> Path:
    Image.fromarray(stored_phantom(bits=8).astype(np.uint8)).convert(mode).save(path)
    return path


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-0.3, -0.4, 1, 1]) if affine is None else affine), path)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def world(image: ImageFile, column: int, row: int) -> np.ndarray:
    """Where the heat map that lies on an image has the voxel of a pixel, RAS mm, found by the voxel's value."""
    marked = np.zeros(image.radiograph.pixels.shape, np.float32)
    marked[row, column] = 1
    written = nibabel.Nifti1Image.from_bytes(image.to_nifti(marked, "").to_bytes())
    voxel = np.argwhere(np.asanyarray(written.dataobj) == 1)
    assert len(voxel) == 1
    return (written.affine @ [*voxel[0], *[0] * (3 - voxel.shape[1]), 1])[:3]


def itk_world(path: Path, column: int, row: int) -> np.ndarray:
    """Where GDCM, with which ITK reads DICOM, has a pixel: LPS mm, turned into RAS."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    image = reader.GetImage()
    origin = np.array([image.GetOrigin(axis) for axis in range(3)])
    cosines = np.array([image.GetDirectionCosines(index) for index in range(6)]).reshape(2, 3)
    lps = origin + column * image.GetSpacing(0) * cosines[0] + row * image.GetSpacing(1) * cosines[1]
    return lps * [-1, -1, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: picture(folder / "a.png"),
        lambda folder: picture(folder / "a.png", bits=16),
        lambda folder: picture(folder / "named.dcm", format="PNG"),
        lambda folder: picture(folder / "a.jpeg", quality=80),
        lambda folder: colour_picture(folder / "a.png", "RGB"),
        lambda folder: colour_picture(folder / "a.png", "P"),
        lambda folder: colour_picture(folder / "a.png", "LA"),
        lambda folder: colour_picture(folder / "a.jpg", "CMYK"),
    ],
)
def test_pictures_are_what_the_training_sees(make, read, tmp_path):
    path = make(tmp_path)
    image = read(path)
    assert np.array_equal(image.radiograph.pixels, read_pixels(str(path)))
    assert image.radiograph.pixels.dtype == np.float32
    assert image.radiograph.source.header.to_json_dict() == {}


@pytest.mark.parametrize("inverse", [False, True])
def test_dicom_is_what_the_application_sees(inverse, read, decoder, tmp_path):
    stored = stored_phantom()
    plain = save(radiograph(), tmp_path / "a.dcm")
    if inverse:
        turned = radiograph(stored=4095 - stored, PhotometricInterpretation="MONOCHROME1")
        turned.BitsStored, turned.HighBit, turned.WindowCenter, turned.WindowWidth = 12, 11, 2048, 4096
        plain = save(turned, tmp_path / "b.dcm")
    image = read(plain)
    assert np.array_equal(image.radiograph.pixels, decoder.pixels(plain).picture)
    assert image.radiograph.pixels == pytest.approx(stored / 4095, abs=1e-3)
    assert (image.source.body_part, image.source.laterality, image.source.view_position) == ("WRIST", "L", "AP")


@pytest.mark.parametrize("shape", [(COLUMNS, ROWS), (COLUMNS, ROWS, 1), (1, COLUMNS, ROWS), (COLUMNS, ROWS, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_nifti_image_keeps_its_grid(shape, dtype, read, tmp_path):
    stored = stored_phantom(bits=7).astype(dtype)
    affine = np.array([[0, 0.2, 0.1, 5], [-0.3, 0, 0, -7], [0, 0.02, 1, 9], [0, 0, 0, 1.0]])
    path = nifti(tmp_path / "a.nii.gz", stored.T.reshape(shape), affine)
    image = read(path)
    span = float(stored.max()) - float(stored.min())
    assert image.radiograph.pixels == pytest.approx((stored.astype(float) - float(stored.min())) / span, abs=1e-6)
    before, after = nibabel.load(path), image.to_nifti(image.radiograph.pixels, "x")
    assert after.shape == shape
    assert np.array_equal(before.affine, after.affine)
    for field in ("qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_z"):
        assert np.array_equal(before.header[field], after.header[field]), field


def test_a_nifti_image_without_a_place_keeps_none(read, tmp_path):
    image = nibabel.Nifti1Image(stored_phantom().T.astype(np.int16), None)
    image.header.set_zooms((0.25, 0.5))
    nibabel.save(image, tmp_path / "a.nii")
    after = read(tmp_path / "a.nii").to_nifti(np.zeros((ROWS, COLUMNS), np.uint8), "x")
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == (0, 0)
    assert after.header.get_zooms() == (0.25, 0.5)
    assert np.array_equal(nibabel.load(tmp_path / "a.nii").affine, after.affine)


def test_what_a_nifti_header_tells_of_a_patient_stays_behind(read, tmp_path):
    image = nibabel.Nifti1Image(stored_phantom().T.astype(np.int16), np.eye(4))
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = b"DOE^JANE"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    nibabel.save(image, tmp_path / "a.nii")
    assert b"DOE" in (tmp_path / "a.nii").read_bytes()
    written = read(tmp_path / "a.nii").to_nifti(np.zeros((ROWS, COLUMNS), np.float32), "research use only " * 9)
    assert b"DOE" not in written.to_bytes()
    assert len(bytes(written.header["descrip"].item())) == 79


@pytest.mark.parametrize(("column", "row"), [(0, 0), (127, 159), (100, 30)])
def test_a_png_lies_where_itk_puts_it(column, row, read, tmp_path):
    image = read(picture(tmp_path / "a.png", dpi=(300, 300)))  # pHYs: ITK ignores it
    assert world(image, column, row) == pytest.approx([-column, -row, 0])


@pytest.mark.parametrize(
    ("chunk", "spacing"),
    [(b"\x01.2\x000.30", (0.2, 0.3)), (b"\x012e-1\x003E-1", (0.2, 0.3))]
    + [(bad, (1, 1)) for bad in (b"", b"\x01", b"\x01a\x00b", b"\x010\x001", b"\x011\x002\x003", b"\x01nan\x001")],
)
def test_a_png_of_itk_brings_its_spacing(chunk, spacing, read, tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()
    after_header = content.index(b"IDAT") - 4
    inserted = png_chunk(b"tEXt", b"Comment\0before") + png_chunk(b"sCAL", chunk)
    (tmp_path / "a.png").write_bytes(content[:after_header] + inserted + content[after_header:])
    image = read(tmp_path / "a.png")
    assert world(image, 10, 20) == pytest.approx([-10 * spacing[0], -20 * spacing[1], 0])


def test_a_jpeg_lies_where_itk_puts_it(read, tmp_path):
    image = read(picture(tmp_path / "a.jpg", dpi=(254, 127)))
    assert world(image, 100, 30) == pytest.approx([-10, -6, 0])
    assert world(read(picture(tmp_path / "b.jpg")), 100, 30) == pytest.approx([-100, -30, 0])
    assert jpeg_spacing({"jfif_unit": 2, "jfif_density": (20, 40)}) == (0.5, 0.25)
    assert jpeg_spacing({"jfif_unit": 1, "jfif_density": (0, 0)}) == jpeg_spacing({"dpi": (9, 9)}) == (1, 1)


def test_an_orientation_in_exif_turns_nothing(read, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read(picture(tmp_path / "a.jpg", exif=exif, quality=95))
    assert image.radiograph.pixels.shape == (ROWS, COLUMNS)


@pytest.mark.parametrize("kind", ["CR", "DX"])
@pytest.mark.parametrize(
    "header",
    [
        {"ImagerPixelSpacing": [0.2, 0.3]},
        {"ImagerPixelSpacing": None},
        {"ImagerPixelSpacing": None, "PixelSpacing": [0.15, 0.16]},
        {"ImagerPixelSpacing": [0.2, 0.3], "PixelSpacing": [0.15, 0.16]},
    ],
)
def test_dicom_lies_where_itk_puts_it(kind, header, read, tmp_path):
    path = save(radiograph(kind=kind, **header), tmp_path / "a.dcm")
    image = read(path)
    for column, row in ((0, 0), (127, 0), (0, 159), (100, 30)):
        assert world(image, column, row) == pytest.approx(itk_world(path, column, row), abs=1e-4)


def refuse(read, path: Path) -> tuple[str, str]:
    with pytest.raises(ImageError) as refused:
        read(path)
    assert "\n" not in refused.value.detail
    assert path.stem not in refused.value.detail
    return refused.value.state, str(refused.value.reason)


def test_what_the_application_declines_is_declined(read, tmp_path):
    dicom = {
        "body_part_out_of_scope": {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": None},
        "multi_frame": {"NumberOfFrames": 2},
        "colour": {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3},
        "no_pixel_data": {"PixelData": None},
        "not_a_radiograph": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
        "image_quality": {"stored": np.zeros((80, 80), np.uint16)},
        "too_small": {"stored": stored_phantom(rows=60)},
        "too_large": {"stored": np.zeros((1001, 1000), np.uint16)},
    }
    for reason, header in dicom.items():
        assert refuse(read, save(radiograph(**header), tmp_path / "a_name.dcm")) == ("declined", reason)
    pixels = {
        "image_quality": np.full((80, 80), 7, np.uint8),
        "too_small": np.arange(63 * 70, dtype=np.uint8).reshape(63, 70),
        "too_large": np.zeros((1001, 1000), np.uint8),
    }
    for reason, values in pixels.items():
        Image.fromarray(values).save(tmp_path / "a_name.png")
        assert refuse(read, tmp_path / "a_name.png") == ("declined", reason)
        assert refuse(read, nifti(tmp_path / "a_name.nii", values)) == ("declined", reason)
    assert refuse(read, nifti(tmp_path / "a_name.nii", np.ones((70, 70, 2)))) == ("declined", "multi_frame")
    colour = np.zeros((70, 70, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert refuse(read, nifti(tmp_path / "a_name.nii", colour)) == ("declined", "colour")


def test_a_picture_that_would_fill_the_memory_is_declined_unread(read, tmp_path):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = PNG + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    (tmp_path / "a_name.png").write_bytes(content)
    assert refuse(read, tmp_path / "a_name.png") == ("declined", "too_large")


def test_what_cannot_be_read_fails(read, tmp_path):
    (tmp_path / "a_name.txt").write_text("no image")
    (tmp_path / "a_name.nii.gz").write_bytes(gzip.compress(b"no image"))
    (tmp_path / "a_name.nii").write_bytes(b"")
    save(radiograph(StudyInstanceUID=None), tmp_path / "a_name.dcm")
    assert refuse(read, tmp_path / "a_name.txt") == ("failed", "unreadable_file")
    assert refuse(read, tmp_path / "absent.png") == ("failed", "unreadable_file")
    assert refuse(read, tmp_path) == ("failed", "unreadable_file")
    assert refuse(read, tmp_path / "a_name.nii.gz") == ("failed", "pixel_data_corrupt")
    assert refuse(read, tmp_path / "a_name.nii") == ("failed", "pixel_data_corrupt")
    assert refuse(read, tmp_path / "a_name.dcm") == ("failed", "header_invalid")
    for bad in (np.nan, np.inf):
        values = np.ones((70, 70), np.float32)
        values[3, 4] = bad
        assert refuse(read, nifti(tmp_path / "a_name.nii", values)) == ("failed", "pixel_data_corrupt")


@pytest.mark.parametrize("name", ["a_name.png", "a_name.jpg", "a_name.nii", "a_name.nii.gz"])
def test_a_file_that_was_cut_fails_wherever_it_was_cut(name, read, tmp_path):
    path = tmp_path / name
    whole = nifti(path, stored_phantom().T.astype(np.int16)) if ".nii" in name else picture(path)
    content = whole.read_bytes()
    for share in (0.001, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        assert refuse(read, path)[0] == "failed"


def test_damaged_bytes_never_raise_anything_else(read, tmp_path):
    generator = np.random.default_rng(5)
    for name in ("a.png", "a.jpg", "a.nii"):
        path = tmp_path / name
        whole = nifti(path, stored_phantom().T.astype(np.int16)) if ".nii" in name else picture(path)
        content = bytearray(whole.read_bytes())
        for _ in range(30):
            damaged = content.copy()
            for place in generator.integers(0, 400, 4):
                damaged[place] = generator.integers(256)
            path.write_bytes(damaged)
            try:
                pixels = read(path).radiograph.pixels
            except ImageError:
                continue
            assert np.isfinite(pixels).all()
            assert 0 <= pixels.min() < pixels.max() <= 1


def test_the_reader_lists_what_it_cannot_read(decoder, tmp_path):
    reader = ImageReader(SCOPE, decoder)
    files = [save(radiograph(), tmp_path / name) for name in ("a.dcm", "b.dcm")] + [picture(tmp_path / "c.png")]
    images = [reader({"file": SourceFile(path, path.name)})["image"] for path in [*files, *files]]
    assert [isinstance(image, ImageFile) for image in images] == [True, False, True] * 2
    duplicate = images[1]
    assert isinstance(duplicate, ExcludedImage)
    assert (duplicate.state, duplicate.reason) == ("declined", "duplicate_instance")


def test_labels_come_back_as_they_were_written(read, tmp_path):
    image = read(picture(tmp_path / "a.png"))
    labels = np.random.default_rng(0).integers(0, 255, (ROWS, COLUMNS)).astype(np.uint8)
    stream = io.BytesIO(image.to_nifti(labels, "research use only").to_bytes())
    written = nibabel.Nifti1Image.from_stream(stream)
    assert written.get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(written.dataobj)[:, :, 0].T, labels)
    assert bytes(written.header["descrip"].item()) == b"research use only"
