"""Real CR, DX and RG files in nine transfer syntaxes."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from operators.reading.decoder import Decoder

pytestmark = pytest.mark.shared_data

LOSSLESS = ("RG3_UNC", "RG3_RLE", "RG3_JLSL", "RG3_JPLL", "RG3_J2KR")
LOSSY = ("RG3_J2KI", "RG3_JLSN", "RG3_JPLY")
DECLINED = {
    "CR-MONO1-10-chest": "body_part_out_of_scope",
    "RG1_J2KI": "body_part_out_of_scope",
    "RG1_JLSN": "body_part_out_of_scope",
    "dx_image": "body_part_out_of_scope",
    "MG1_J2KI": "not_a_radiograph",
    "dicomdir_77654033_6154": "body_part_out_of_scope",
    "dicomdir_77654033_6247": "body_part_out_of_scope",
    "dicomdir_77654033_6278": "body_part_out_of_scope",
}


def test_all_files_are_accounted_for(real_run, shared):
    with (shared / "dicom" / "dicom.csv").open(encoding="utf-8") as file:
        listed = {row["file"] for row in csv.DictReader(file)}
    assert real_run.code == 0, real_run.log
    assert set(real_run.images) == listed
    assert real_run.result["counts"]["ignored_files"] == 1  # the list itself


def test_the_same_image_gets_the_same_probability_in_every_syntax(real_run):
    images = real_run.images
    reference = images["RG3_UNC.dcm"]["probability"]
    for name in LOSSLESS:
        assert images[f"{name}.dcm"]["probability"] == pytest.approx(reference, abs=1e-4), name
    for name in LOSSY:
        assert images[f"{name}.dcm"]["probability"] == pytest.approx(reference, abs=0.05), name


def test_what_is_out_of_scope_is_declined(real_run):
    for name, reason in DECLINED.items():
        image = real_run.images[f"{name}.dcm"]
        assert (image["state"], image["reason"]) == ("declined", reason), name


def test_the_image_without_a_body_part_is_processed_and_flagged(real_run):
    image = real_run.images["CR-ModalitySequenceLUT.dcm"]
    assert image["state"] in ("doubt", "abnormal")
    assert image["doubts"] == ["body_part_absent"]
    assert image["body_part"] is None
    assert image["outputs"] == []  # its UID is invalid, so no valid object can refer to it


def test_the_lesion_of_the_distal_tibia_gets_a_box(real_run):
    image = real_run.images["RG3_UNC.dcm"]
    assert any(box["left"] < 860 < box["right"] and box["top"] < 1110 < box["bottom"] for box in image["boxes"])


def test_pictures_of_the_lossless_syntaxes_are_equal(shared):
    with Decoder(60, 4096) as decoder:
        pictures = [decoder.pixels(shared / "dicom" / f"{name}.dcm").picture for name in LOSSLESS]
        extended = decoder.pixels(shared / "dicom" / "RG3_JPLY.dcm").picture
    for picture in pictures[1:]:
        assert np.array_equal(picture, pictures[0])
    assert np.abs(extended - pictures[0]).max() < 0.06  # lossy, and nowhere wrapped from white to black
