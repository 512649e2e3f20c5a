"""PNG and JPEG files straight into the application: what a user sees, and what an archive can be given."""

from __future__ import annotations

import json
import shutil
import subprocess

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image
from pydicom import dcmread

from monai_app import open_analyser
from tests.monai_app.application import ROOT, run
from tests.phantoms import stored_phantom

pytestmark = pytest.mark.slow  # each runs the application

SCHEMA = json.loads((ROOT / "monai_app" / "result.schema.json").read_text("utf-8"))


def phantom(seed, finding):
    return stored_phantom(seed, finding, bits=8, rows=640, columns=512).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of pictures, one of them without anything to find."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(phantom(900_001, "step")).save(folder / "fracture.png")
    Image.fromarray(phantom(900_002, "none")).convert("RGB").save(folder / "normal.jpg", quality=95)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "colour.png")
    (folder / "cut.png").write_bytes((folder / "fracture.png").read_bytes()[:5000])
    (folder / "readme.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def done(photos, tmp_path_factory):
    return run(photos, tmp_path_factory.mktemp("out"))


def test_every_picture_has_a_state_and_its_reason(done):
    assert done.code == 3
    jsonschema.validate(done.result, SCHEMA)
    told = {name: (image["state"], image["reason"]) for name, image in done.images.items()}
    assert told["fracture.png"] == ("abnormal", None)
    assert told["normal.jpg"] == ("doubt", None)  # nobody says which body part it is
    assert told["colour.png"] == ("declined", "colour")
    assert told["cut.png"] == ("failed", "pixel_data_corrupt")
    assert done.result["counts"]["ignored_files"] == 1
    for name in ("fracture.png", "normal.jpg"):
        assert done.images[name]["doubts"] == ["body_part_absent"]
        assert "a picture without a DICOM header" in done.images[name]["detail"]


def test_it_is_told_in_the_log_and_on_the_page(done):
    assert done.log.count("no DICOM file, so the pictures (PNG, JPEG) are analysed: 4") == 1
    page = (done.output / "report.html").read_text("utf-8")
    assert "fracture" in page and "a picture without a DICOM header" in page


def test_results_refer_to_an_image_that_is_written_beside_them(done, photos):
    folder = done.output / done.images["fracture.png"]["outputs"][0].split("/")[0]
    image = dcmread(folder / "image_1.dcm")
    assert np.array_equal(image.pixel_array, np.asarray(Image.open(photos / "fracture.png")))
    assert image.SOPInstanceUID == done.images["fracture.png"]["sop_instance_uid"]
    segmentation, report = dcmread(folder / "seg_1.dcm"), dcmread(folder / "sr.dcm")
    referred = segmentation.ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == image.SeriesInstanceUID
    assert referred.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    written = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in folder.glob("*.dcm")}
    evidence = [
        str(item.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted(written - {str(report.SOPInstanceUID)})


def test_a_picture_that_is_not_analysed_leaves_no_object(done):
    for name in ("colour.png", "cut.png"):
        assert done.images[name]["outputs"] == []
    folders = {image["outputs"][0].split("/")[0] for image in done.images.values() if image["outputs"]}
    assert {path.parent.name for path in done.objects} == folders


@pytest.mark.external
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_the_written_image_is_valid(done):
    for path in done.output.glob("*/image_1.dcm"):
        found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "SCImage" in found and "Error" not in found


def test_a_single_picture_twice_and_in_memory_gives_the_same_objects(done, photos, tmp_path):
    settings = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
    settings["classification"]["accepted_doubts"] = ["body_part_absent"]
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(settings))
    alone = run(photos / "normal.jpg", tmp_path / "out", HOLOSCAN_CONFIG_PATH=str(tmp_path / "my.yaml"))
    assert alone.code == 0 and alone.images["normal.jpg"]["state"] == "normal"
    written = alone.output / alone.images["normal.jpg"]["outputs"][0]
    assert written.name == "image_1.dcm"
    before = next(done.output.glob(f"{written.parent.name}/image_1.dcm"))
    assert before.read_bytes() == written.read_bytes()
    with open_analyser(settings=tmp_path / "my.yaml") as analyser:
        (study,) = analyser.analyse((photos / "normal.jpg").read_bytes())
    assert study.state == "normal"
    assert {str(ds.SOPInstanceUID) for ds in (*study.images[0].objects.values(), *study.objects.values())} == {
        str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in alone.objects
    }
