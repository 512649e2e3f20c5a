"""PNG and JPEG in, DX and CR out, pixels unchanged."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from monai_app.rules import scope
from monai_app.settings import read_settings
from operators.reading.dicom_file import read_stored_values
from operators.reading.grey_scale import render
from operators.reading.scope import check_scope
from operators.records.codes import place
from operators.records.sources import SourceFile
from tests.phantoms import source_image
from training.datasets.dicom_wrapping import Description, part_of_collection, wrap
from training.phantoms import main as write_phantoms
from training.wrap_dicom import main


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_survive_exactly(tmp_path, kind, dtype):
    stored = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (33, 21)).astype(dtype)
    wrap(stored, Description("k", "s", "p", kind=kind, spacing_mm=0.1)).save_as(
        tmp_path / "a.dcm", enforce_file_format=True
    )
    read = read_stored_values(tmp_path / "a.dcm")
    header, values = read.header, read.values
    assert np.array_equal(values, stored)
    assert render(values, header) == pytest.approx(stored / np.iinfo(dtype).max, abs=1e-6)


@pytest.mark.parametrize("array", [np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3), np.float32)])
def test_what_is_no_grey_scale_image_is_refused(array):
    with pytest.raises(ValueError, match="not a grey-scale"):
        wrap(array, Description("k", "s", "p"))


def test_a_spacing_is_never_invented():
    assert "ImagerPixelSpacing" not in wrap(np.zeros((4, 4), np.uint8), Description("k", "s", "p"))


def test_a_folder_of_pictures(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)).save(
            tmp_path / "in" / name
        )
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--body-part", "KNEE", "--kind", "CR"]) == 0
    first, second = dcmread(tmp_path / "out" / "a.dcm"), dcmread(tmp_path / "out" / "sub" / "b.dcm")
    assert (first.Modality, first.BodyPartExamined) == ("CR", "KNEE")
    assert (first.LossyImageCompression, second.LossyImageCompression) == ("00", "01")
    assert second.LossyImageCompressionRatio > 0
    assert len({first.StudyInstanceUID, second.StudyInstanceUID, first.SOPInstanceUID, second.SOPInstanceUID}) == 4
    assert main([str(tmp_path / "in" / "a.png"), str(tmp_path / "one")]) == 0
    assert dcmread(tmp_path / "one" / "a.dcm").SOPInstanceUID == first.SOPInstanceUID


def test_the_header_says_what_is_known_and_nothing_else(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.arange(4096).reshape(64, 64).astype(np.uint8)).save(tmp_path / "in" / "1.png")
    rows = ["file,label,split,body_part,view", "1.png,normal,test,hand_wrist_forearm,oblique"]
    (tmp_path / "in" / "manifest.csv").write_text("\n".join(rows))
    for kind in ("CR", "DX"):
        assert main([str(tmp_path / "in"), str(tmp_path / kind), "--kind", kind]) == 0
        ds = dcmread(tmp_path / kind / "1.dcm")
        assert (ds.BodyPartExamined, ds.AnatomicRegionSequence[0].CodeMeaning) == ("UPPERLIMB", "Upper limb")
        assert not ds.get("Laterality") and "ImageLaterality" not in ds
        assert not ds.ViewPosition and not ds.PatientOrientation and "ImagerPixelSpacing" not in ds
        source = source_image(ds, file=SourceFile(tmp_path, "1.dcm"))
        assert place(source.body_part, source.laterality, source.view_position) == "Upper limb"
        check_scope(source.header, scope(read_settings()))


@pytest.mark.external
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("part", ["", "UPPERLIMB"])
def test_a_wrapped_image_is_valid_although_little_is_known(tmp_path, part):
    stored = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    wrap(stored, Description("k", "s", "p", body_part=part)).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = subprocess.run(["dciodvfy", tmp_path / "a.dcm"], capture_output=True, text=True, check=False)
    assert "CRImage" in found.stderr and "Error" not in found.stderr


def test_a_split_of_a_manifest(tmp_path):
    write_phantoms([str(tmp_path / "in"), "--count", "20"])
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--split", "test"]) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["00018.dcm", "00019.dcm"]


def test_a_study_of_a_manifest_holds_its_images(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / name / "1.png")
    rows = ["file,label,split,study_id,group_id", "a/1.png,normal,test,s,p", "b/1.png,normal,test,s,p"]
    (tmp_path / "manifest.csv").write_text("\n".join([*rows, "c/1.png,normal,test,,p"]))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 0
    first, second, third = (dcmread(tmp_path / "out" / name / "1.dcm") for name in ("a", "b", "c"))
    assert first.StudyInstanceUID == second.StudyInstanceUID != third.StudyInstanceUID
    assert len({first.SOPInstanceUID, second.SOPInstanceUID, third.SOPInstanceUID}) == 3


def test_two_images_of_one_name_are_refused(tmp_path, capsys):
    for name in ("a.png", "a.jpg"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out")])
    assert "named a too" in capsys.readouterr().err


def test_nothing_to_wrap_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    assert main([str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent"), str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("XR_WRIST", "WRIST"),
        ("hand", "HAND"),
        ("hand_wrist_forearm", "UPPERLIMB"),
        ("leg_knee_ankle_foot", "LOWERLIMB"),
        ("mixed:hand+shoulder", "UPPERLIMB"),
        ("mixed:hand+leg", "EXTREMITY"),
        ("mixed:hand+hip", ""),
        ("mixed:leg+hip", "PELVISLOWEXTREMT"),
        ("hip_pelvis", "PELVISLOWEXTREMT"),
        ("hand_chest", ""),
        ("chest", ""),
        ("", ""),
        ("x", ""),
    ],
)
def test_a_collection_s_word_becomes_a_defined_term(text, part):
    assert part_of_collection(text) == part
