"""Files that claim more than they hold end at once: each in less than 2 s of its own and 512 MiB."""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError
from operators.records.errors import ImageError
from tests.coded_images import coded, content, frame_of, with_frame
from tests.phantoms import radiograph, stored_phantom

SECONDS, MIB = 2.0, 512
STORED = stored_phantom()
EMPTY = b"".join(
    struct.pack("<HH2sH", 9 + 2 * (i >> 16), i & 0xFFFF, b"LO", 0) for i in range(0x1001, 0x1001 + 500_000)
)


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", group, number, vr, 0, len(value) if length is None else length) + value


def with_elements(extra: bytes) -> bytes:
    """A sound file with elements of its own before group 0010."""
    file = content(radiograph())
    position = file.index(b"\x10\x00\x10\x00PN")
    return file[:position] + extra + file[position:]


def deflated(extra: bytes, zeros: int = 0) -> bytes:
    """A deflated file with elements, and so many zeros, before group 0010."""
    ds = radiograph()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    plain = content(radiograph())
    position = plain.index(b"\x10\x00\x10\x00PN")
    begin = plain.index(b"\x08\x00\x05\x00CS")
    file = content(ds)
    meta = file[: file.index(DeflatedExplicitVRLittleEndian.encode()) + 22]
    size = 144 + struct.unpack("<I", file[140:144])[0]
    meta = file[:size]
    press = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    chunks = [press.compress(plain[begin:position] + extra)]
    chunks += [press.compress(b"\0" * 2**20) for _ in range(zeros // 2**20)]
    return meta + b"".join(chunks) + press.compress(plain[position:]) + press.flush()


def claims(syntax, rows: int, columns: int, in_header: bool) -> bytes:
    """A file whose codestream, and whose header if told, claims a size that it does not have."""
    ds = coded(STORED, syntax)
    frame = bytearray(frame_of(ds))
    if syntax == JPEGLSLossless:
        start = frame.index(b"\xff\xf7")
        frame[start + 5 : start + 9] = struct.pack(">HH", rows, columns)
    elif syntax != RLELossless:
        frame[8:16] = struct.pack(">II", columns, rows)
        frame[24:32] = struct.pack(">II", columns, rows)
    with_frame(ds, bytes(frame))
    if in_header:
        ds.Rows, ds.Columns = rows, columns
    return content(ds)


NESTED = element(0x0008, 0x1140, b"SQ", b"\xfe\xff\x00\xe0" + struct.pack("<I", len(EMPTY)) + EMPTY)
ATTACKS = {
    "deflate bomb of 1 GiB": lambda: deflated(element(9, 0x1001, b"OB", b"", 2**30), 2**30),
    "500,000 elements": lambda: with_elements(EMPTY),
    "500,000 elements, deflated": lambda: deflated(EMPTY),
    "500,000 elements in an item": lambda: with_elements(NESTED),
    "5,000 items within each other": lambda: with_elements(
        b"".join(element(8, 0x1140, b"SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", 0xFFFFFFFF) for _ in range(5000))
    ),
    "an element of 4 GiB": lambda: with_elements(element(9, 0x1001, b"UN", b"", 0xFFFFFFFE)),
    "JPEG 2000 claims 30000 x 30000": lambda: claims(JPEG2000, 30000, 30000, in_header=False),
    "JPEG 2000 and header claim 8000 x 8000": lambda: claims(JPEG2000, 8000, 8000, in_header=True),
    "JPEG 2000 lossless and header claim 8000 x 8000": lambda: claims(JPEG2000Lossless, 8000, 8000, in_header=True),
    "JPEG-LS and header claim 8000 x 8000": lambda: claims(JPEGLSLossless, 8000, 8000, in_header=True),
    "RLE header claims 8000 x 8000": lambda: claims(RLELossless, 8000, 8000, in_header=True),
    "native header claims 60000 x 60000": lambda: content(radiograph(Rows=60000, Columns=60000)),
}


@pytest.fixture
def decoder():
    with Decoder(timeout_s=20, memory_mib=4096) as client:
        client.header(content(radiograph()))  # the child runs
        client.pixels(content(radiograph()))
        yield client


def peak_mib(decoder: Decoder) -> float:
    status = Path(f"/proc/{decoder._child.pid}/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def processor_seconds(decoder: Decoder) -> float:
    fields = Path(f"/proc/{decoder._child.pid}/stat").read_text("utf-8").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def refused(decoder: Decoder, file: Path | bytes) -> bool:
    """Whether a reader that asks for the header, then for the pixels, is refused one of them."""
    try:
        decoder.header(file)
        decoder.pixels(file)
    except (ImageError, NotDicomError):
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_false_claims_cost_little(decoder, attack):
    file = ATTACKS[attack]()
    before = processor_seconds(decoder)
    assert refused(decoder, file)
    assert processor_seconds(decoder) - before < SECONDS  # not of the wall: other tests run, too
    assert peak_mib(decoder) < MIB


@pytest.mark.slow
@pytest.mark.parametrize("place", ["after the pixels", "as the pixels", "no DICOM"])
def test_a_sparse_tail_of_3_gb_costs_nothing(decoder, tmp_path, place):
    path = tmp_path / "sparse.dcm"
    file = content(coded(STORED, RLELossless if place == "as the pixels" else ExplicitVRLittleEndian))
    path.write_bytes(b"" if place == "no DICOM" else file[:-8] if place == "as the pixels" else file)
    os.truncate(path, 3 * 10**9)
    before, started = processor_seconds(decoder), time.monotonic()
    assert refused(decoder, path) == (place != "after the pixels")
    assert processor_seconds(decoder) - before < SECONDS
    assert time.monotonic() - started < 20
    assert peak_mib(decoder) < MIB


def test_a_sound_header_of_many_elements_is_read(decoder):
    """A header as large as equipment writes them: 2,000 elements and private blobs of 8 MB."""
    blobs = b"".join(element(9, 0x1000 + i, b"OB", bytes(2**20)) for i in range(8))
    many = b"".join(struct.pack("<HH2sH", 9, i, b"LO", 4) + b"text" for i in range(0x2000, 0x2000 + 2000))
    file = with_elements(blobs + many)
    assert decoder.header(file).has_pixel_data
    assert decoder.pixels(file).picture.shape == STORED.shape


def test_a_deflated_image_of_any_size_is_read(decoder):
    stored = np.random.default_rng(1).integers(0, 4096, (1500, 1200), np.uint16)
    ds = radiograph(stored=stored, BitsStored=12, HighBit=11)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert decoder.pixels(content(ds)).picture.shape == stored.shape
