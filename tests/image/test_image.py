"""The image does what the application outside does, and keeps its word when things go wrong (``make map-test``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from monai_app import __version__
from tests.image.container import TAG, command, run, say, tool
from tests.integration.validators import dciodvfy, dcmdump
from tests.monai_app import application
from tests.monai_app.application import Run
from tests.phantoms import radiograph, save
from training import demo

pytestmark = pytest.mark.image
MAXIMUM_BYTES = 4.8e9
SHARED = application.ROOT.parent / "shared" / "data" / "dicom"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    folder.chmod(0o755)
    demo.write(folder)
    return folder


@pytest.fixture(scope="module")
def inside(phantoms, tmp_path_factory) -> Run:
    return run(phantoms, tmp_path_factory.mktemp("inside") / "out")


@pytest.fixture
def one_image(tmp_path) -> Path:
    save(radiograph("a"), tmp_path / "in" / "a.dcm")
    return tmp_path / "in"


def outcome(result: dict, *keys: str) -> dict:
    return {image["file"]: [image[key] for key in keys] for study in result["studies"] for image in study["images"]}


def assert_equal(first: Path, second: Path) -> None:
    """Findings, UIDs and pixels are the same, probabilities to 1e-6."""
    one, other = (json.loads((folder / "result.json").read_text("utf-8")) for folder in (first, second))
    exact = ("state", "reason", "detail", "doubts", "outputs", "sop_instance_uid")
    assert outcome(one, *exact) == outcome(other, *exact)
    for name, (probability, boxes) in outcome(one, "probability", "boxes").items():
        expected, others = outcome(other, "probability", "boxes")[name]
        assert probability == (expected if expected is None else pytest.approx(expected, abs=1e-6)), name
        assert [box | {"score": 0} for box in boxes] == [box | {"score": 0} for box in others], name
    areas = [
        {name: [mask["area_px"] for mask in masks] for name, (masks,) in outcome(result, "masks").items()}
        for result in (one, other)
    ]
    assert areas[0] == areas[1]
    objects = [sorted(path.relative_to(folder) for path in folder.glob("*/*.dcm")) for folder in (first, second)]
    assert objects[0] == objects[1]
    for path in objects[0]:
        ds, same = dcmread(first / path), dcmread(second / path)
        assert ds.SOPInstanceUID == same.SOPInstanceUID, path
        if "PixelData" in ds and "heatmap" not in path.name:
            assert ds.PixelData == same.PixelData, path
        elif "PixelData" in ds:  # a map may differ by rounding
            assert np.abs(ds.pixel_array.astype(int) - same.pixel_array).max() <= 1, path


def test_the_demo_finds_the_same_inside_and_outside(inside, phantoms, tmp_path):
    assert inside.code == 0, inside.log
    assert demo.check(inside.output) == []
    outside = application.run(phantoms, tmp_path / "out")
    assert outside.code == 0
    assert_equal(inside.output, outside.output)


def test_judges_accept_what_the_container_wrote(inside):
    objects = sorted(inside.output.glob("*/*.dcm"))
    assert objects
    assert dcmdump(objects).errors == ()
    for path in objects:
        assert dciodvfy(path).errors == (), path


@pytest.mark.shared_data
def test_nothing_that_real_files_need_is_missing(tmp_path):
    """All transfer syntaxes and outcomes, with every kind of object."""
    settings = tmp_path / "app.yaml"
    text = (application.ROOT / "app.yaml").read_text("utf-8")
    for kind in ("labelmap", "pdf", "summary"):
        assert f"  {kind}: false" in text
        text = text.replace(f"  {kind}: false", f"  {kind}: true")
    settings.write_text(text.replace("compression: none", "compression: jpeg_ls"), "utf-8")
    settings.chmod(0o644)
    got = run(SHARED, tmp_path / "in", mounts=[f"{settings}:/var/holoscan/app.yaml:ro"])
    outside = application.run(SHARED, tmp_path / "out", HOLOSCAN_CONFIG_PATH=str(settings))
    assert got.code == outside.code, got.log
    assert_equal(got.output, outside.output)


def test_exit_codes_come_through(one_image, tmp_path):
    (tmp_path / "none").mkdir()
    none = run(tmp_path / "none", tmp_path / "out4")
    assert (none.code, none.result["exit_code"]) == (4, 4)
    data = bytearray((one_image / "a.dcm").read_bytes())
    (one_image / "a.dcm").write_bytes(data[: len(data) // 2])
    damaged = run(one_image, tmp_path / "out3")
    assert (damaged.code, damaged.result["exit_code"]) == (3, 3)
    (tmp_path / "app.yaml").write_text("classification: {}\n")
    usage = run(one_image, tmp_path / "out2", mounts=[f"{tmp_path / 'app.yaml'}:/var/holoscan/app.yaml:ro"])
    assert usage.code == 2
    assert not (usage.output / "result.json").exists()


def test_a_flipped_byte_of_the_weights_is_refused(one_image, tmp_path):
    models = tmp_path / "models"
    for name in ("msk_resnet50", "msk_sam"):
        shutil.copytree(application.ROOT / "bundles" / name, models / name)
    weights = models / "msk_resnet50" / "models" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    done = run(one_image, tmp_path / "out", mounts=[f"{models}:/opt/holoscan/models:ro"])
    assert done.code == 2
    assert "sha256" in done.log
    assert not (done.output / "result.json").exists()


def test_a_full_volume_leaves_no_lying_result(phantoms):
    words = command(phantoms, None, options=["--tmpfs", "/var/holoscan/output:rw,size=256k,mode=1777"])
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    log = done.stdout + done.stderr
    assert done.returncode in (1, 3), log
    assert "No space left" in log
    assert ", 0 normal, 0 doubt, 0 abnormal," in log or done.returncode == 1


def started(words: list[str], ready: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if ready in line:
            return process
    raise AssertionError("the container ended early")


def test_a_killed_container_leaves_no_result(phantoms, tmp_path):
    name = f"osteomap-test-{os.getpid()}"
    process = started(command(phantoms, tmp_path / "out", options=["--name", name]), "3 DICOM files")
    subprocess.run([tool(), "kill", name], check=True, capture_output=True)
    process.communicate(timeout=60)
    assert not (tmp_path / "out" / "result.json").exists()


def test_docker_stop_ends_it_in_seconds(phantoms, tmp_path):
    name = f"osteomap-stop-{os.getpid()}"
    process = started(command(phantoms, tmp_path / "out", options=["--name", name]), "3 DICOM files")
    begun = time.monotonic()
    subprocess.run([tool(), "stop", "--time", "60", name], check=True, capture_output=True)
    process.communicate(timeout=90)
    assert time.monotonic() - begun < 30
    assert process.returncode in (1, 143)
    result = tmp_path / "out" / "result.json"
    assert not result.exists() or json.loads(result.read_text("utf-8"))["exit_code"] == 1


def test_show_license_extract_and_health(tmp_path):
    shown = json.loads(say("show", "app").stdout)
    assert (shown["version"], shown["type"]) == (__version__, "application")
    licences = say("license").stdout
    assert "Apache License" in licences
    assert "\ntorch " in licences
    assert say("health", options=["--tmpfs", "/var/holoscan/output:rw,mode=1777"]).returncode == 0
    export = tmp_path / "export"
    export.mkdir()
    export.chmod(0o777)
    assert say("extract", mounts=[f"{export}:/var/run/holoscan/export"]).returncode == 0
    weights = export / "models" / "msk_resnet50" / "models" / "model.safetensors"
    assert (
        weights.read_bytes() == (application.ROOT / "bundles" / "msk_resnet50" / "models" / weights.name).read_bytes()
    )
    bill = json.loads((export / "docs" / "sbom.cdx.json").read_text("utf-8"))
    listed = {(part["name"].lower(), part["version"]) for part in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert {name for name, _ in listed} >= {"torch", "monai", "highdicom", "holoscan-cu13"}


def test_labels_and_size():
    inspected = json.loads(subprocess.run([tool(), "image", "inspect", TAG], check=True, capture_output=True).stdout)[0]
    labels = inspected.get("Labels") or inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert inspected["Size"] <= MAXIMUM_BYTES


def test_as_a_module_of_mercure(one_image, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o777)
    (one_image / "task.json").write_text(json.dumps({"process": {"settings": {"outputs": {"gsps": False}}}}))
    words = ["--env", "MERCURE_IN_DIR=/data", "--env", "MERCURE_OUT_DIR=/output"]
    done = say(mounts=[f"{one_image}:/data", f"{target}:/output"], options=words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name.rsplit("_", 1)[-1] for path in target.glob("*.dcm")} >= {"sr.dcm"}
    assert json.loads((target / "result.json").read_text("utf-8"))["counts"]["images"] == 1
