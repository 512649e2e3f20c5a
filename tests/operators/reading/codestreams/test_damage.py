"""Damage inside a codestream that a codec decodes over: found by what each coding lets one check."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from operators.reading.codestreams.block_steps import LEAST_SCORE, step_score
from operators.reading.codestreams.frame_header import CodestreamError
from operators.reading.codestreams.jpeg_2000 import has_empty_span
from operators.reading.codestreams.jpeg_coefficients import block_means
from operators.reading.dicom_file import read_stored_values
from operators.records.errors import InvalidDicomError
from tests.coded_images import COMPRESSED, coded, content, frame_of, with_frame
from tests.phantoms import stored_phantom

SEQUENTIAL = (JPEGBaseline8Bit, JPEGExtended12Bit)
STORED = stored_phantom(rows=320, columns=256)
BODY = 0.1  # of the frame: the headers lie before


def names(syntax):
    return syntax.keyword


def outcome(ds) -> tuple[str, np.ndarray | None]:
    try:
        read = read_stored_values(content(ds))
    except InvalidDicomError as error:
        return str(error.reason), None
    return "doubt" if read.doubtful else "silent", read.values


@pytest.mark.parametrize("syntax", COMPRESSED, ids=names)
def test_a_zeroed_span_never_passes_without_a_remark(syntax):
    ds = coded(STORED, syntax)
    frame = bytearray(frame_of(ds))
    start, end = int(0.4 * len(frame)), int(0.6 * len(frame))
    frame[start:end] = bytes(end - start)
    assert outcome(with_frame(ds, bytes(frame)))[0] != "silent"


@pytest.mark.slow
@pytest.mark.parametrize("syntax", COMPRESSED, ids=names)
def test_most_flips_that_change_the_picture_get_a_remark(syntax):
    """Flips of single bytes; the figures of many, and of other mutations, stand in docs/reliability.md."""
    ds = coded(STORED, syntax)
    frame, sound = frame_of(ds), read_stored_values(content(ds)).values
    draw = Random(3)  # noqa: S311
    silent = changed = 0
    for _ in range(40):
        mutant = bytearray(frame)
        mutant[draw.randrange(int(BODY * len(frame)), len(frame))] ^= draw.randrange(1, 256)
        state, values = outcome(with_frame(ds, bytes(mutant)))
        differs = values is None or values.shape != sound.shape or (values != sound).mean() > 0.1
        changed += differs
        silent += state == "silent" and differs
    assert silent <= 0.1 * changed + 1


def test_the_means_of_blocks_are_those_of_the_decoded_picture():
    ds = coded(STORED, JPEGBaseline8Bit)
    decoded = read_stored_values(content(ds)).values.astype(float)
    expected = decoded.reshape(40, 8, 32, 8).mean(axis=(1, 3))
    assert np.abs(block_means(frame_of(ds))[0] - expected).max() < 2


def test_means_do_not_depend_on_restart_intervals(tmp_path):
    pixels = (STORED >> 4).astype(np.uint8)
    found = []
    for blocks in (0, 7):
        Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=90, restart_marker_blocks=blocks)
        found.append(block_means((tmp_path / "a.jpg").read_bytes())[0])
    assert np.array_equal(*found)


def test_a_block_out_of_range_is_damage():
    frame = bytearray(frame_of(coded(STORED, JPEGBaseline8Bit)))
    table = frame.index(b"\xff\xdb") + 5
    frame[table] = 120  # a step of the mean that no sample allows
    with pytest.raises(CodestreamError, match="brighter or darker"):
        block_means(bytes(frame))


@pytest.mark.parametrize("step", [-20, 20])
def test_a_shift_of_all_later_blocks_is_found(step):
    draw = np.random.default_rng(1)
    rows, columns = np.mgrid[:50, :40]
    means = 128 + 40 * np.sin(rows / 9) * np.cos(columns / 7) + draw.normal(0, 1, rows.shape)
    assert step_score(means, 0.3) < LEAST_SCORE
    shifted = means.ravel().copy()
    shifted[23 * 40 + 15 :] += step
    assert step_score(shifted.reshape(means.shape), 0.3) > LEAST_SCORE


def test_the_edge_of_a_collimator_is_no_shift():
    draw = np.random.default_rng(1)
    rows, columns = np.mgrid[:50, :40]
    means = 128 + 40 * np.sin(rows / 9) * np.cos(columns / 7) + draw.normal(0, 1, rows.shape)
    means[30:] = 3
    means[:, :4] = 3
    assert step_score(means, 0.3) < LEAST_SCORE


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless, RLELossless], ids=names)
def test_noise_in_the_middle_is_damage(syntax):
    ds = coded(STORED, syntax)
    frame = bytearray(frame_of(ds))
    middle = len(frame) // 2
    frame[middle : middle + 200] = Random(2).randbytes(200)  # noqa: S311
    assert outcome(with_frame(ds, bytes(frame)))[0] != "silent"


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless], ids=names)
def test_a_span_of_zeros_is_longer_than_packets_without_content(syntax):
    frame = frame_of(coded(STORED, syntax))
    assert not has_empty_span(frame)
    middle = len(frame) // 2
    assert has_empty_span(frame[:middle] + bytes(64) + frame[middle + 64 :])
