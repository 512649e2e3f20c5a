"""MONAI Label's own server and client, on loopback: from an image to a corrected outline and a step of training."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import monai.bundle
import nibabel
import numpy as np
import pytest
from PIL import Image

from operators.image_files import Decoder
from operators.records.geometry import PixelBox
from operators.records.rules import PromptRule
from operators.segmentation.outline import outline_each
from tests.training.monai_label.running import PHANTOMS, ROOT, Running, environment
from training.datasets.phantoms import draw_phantom, mask_box
from training.monai_label.__main__ import main
from training.monai_label.models import HeatMap, open_image

pytestmark = [pytest.mark.monai_label, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("monai_label"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def heat_map(bundles):
    return HeatMap(bundles / "msk_resnet50")


@pytest.fixture(scope="module")
def phantom(server):
    with Decoder(timeout_s=60, memory_mib=4096) as decoder:
        return open_image(server.studies / "step.png", decoder)


def true_box() -> PixelBox:
    return PixelBox(*mask_box(draw_phantom(*PHANTOMS["step"]).mask))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_clients_are_told_the_models(server):
    (told,) = server.ask(["info"])
    models = told["reply"]["models"]
    assert {name: model["type"] for name, model in models.items()} == {
        "findings": "segmentation",
        "msk_sam": "deepgrow",
        "heatmap": "classification",
    }
    assert all("research use only" in model["description"] for model in models.values())
    assert all(model["dimension"] == 2 for model in models.values())
    assert told["reply"]["labels"] == ["finding"]
    assert told["reply"]["datastore"]["total"] == len(PHANTOMS)


def test_the_heat_map_and_probability_are_the_applications(server, heat_map, phantom):
    values, facts = server.infer("heatmap", "step")
    expected = heat_map.localize(phantom)
    np.testing.assert_allclose(values, expected.heatmap, atol=1e-4)
    assert facts["probability"] == pytest.approx(expected.classification.probability, abs=1e-4)
    assert facts["state"] == "abnormal"


def test_a_box_is_outlined_as_the_application_does(server, segmenter, phantom):
    box = true_box()
    roi = [box.right - 1, box.left, box.top, box.bottom - 1, 0, 0]
    values, facts = server.infer("msk_sam", "step", roi=roi, foreground=[], background=[], label="finding")
    ((mask, predicted_iou),) = outline_each(phantom.radiograph.pixels, [box], segmenter, PromptRule(2.5))
    assert (PixelBox(**facts["box"]), facts["area_px"]) == (box, int(values.sum()))
    assert dice(values > 0, mask) > 0.99
    assert facts["predicted_iou"] == pytest.approx(predicted_iou, abs=1e-3)
    assert dice(values > 0, draw_phantom(*PHANTOMS["step"]).mask) > 0.6


def test_a_click_outlines_the_finding_and_a_click_beside_it_changes_the_outline(server):
    box = true_box()
    middle = [(box.left + box.right) // 2, (box.top + box.bottom) // 2, 0]
    values, _ = server.infer("msk_sam", "step", foreground=[middle])
    assert dice(values > 0, draw_phantom(*PHANTOMS["step"]).mask) > 0.4
    beside, _ = server.infer("msk_sam", "step", foreground=[middle], background=[[box.left - 3, box.top - 3, 0]])
    assert (values != beside).any()


def test_the_first_proposal_is_empty_on_a_normal_image(server):
    assert not server.infer("findings", "normal")[0].any()
    found, facts = server.infer("findings", "step")
    assert found.any()
    assert facts["label_names"] == {"finding": 1}


def test_a_request_that_cannot_be_answered_says_why(server, tmp_path):
    Image.new("L", (200, 200)).save(tmp_path / "blank.png")
    nothing, outside, unknown, blank = server.ask(
        ["infer", "msk_sam", "step", {}],
        ["infer", "msk_sam", "step", {"roi": [9000, 9100, 0, 10]}],
        ["infer", "heatmap", "unknown", {}],
        ["infer", "heatmap", "", {}, None, str(tmp_path / "blank.png")],
    )
    assert "Status: 422" in nothing["error"]
    assert "nothing is marked" in nothing["error"]
    assert "lies outside the 512 x 640 pixels" in outside["error"]
    assert "Status: 404" in unknown["error"]
    assert "declined, image_quality" in blank["error"]


def test_a_corrected_outline_is_trained_on(server, tmp_path, monkeypatch):
    """Infer, correct, save, write a manifest, and take one step of training; the normal image is saved as it is."""
    calls = []
    answers = server.ask(*(["infer", "findings", name, {}] for name in PHANTOMS))
    for (name, (_, finding)), answered in zip(PHANTOMS.items(), answers, strict=True):
        image = nibabel.load(answered["reply"][0])
        corrected = np.asarray(image.dataobj).copy()
        if finding != "none":
            truth = mask_box(draw_phantom(*PHANTOMS[name]).mask)
            corrected[:] = 0
            corrected[truth[0] : truth[2], truth[1] : truth[3]] = 1
        path = tmp_path / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(corrected, image.affine, image.header), path)
        calls.append(["save_label", name, str(path), "", {"label_info": [{"name": "finding", "idx": 1}]}])
    assert all("reply" in answer for answer in server.ask(*calls))
    assert main(["manifest", str(server.studies), str(tmp_path / "data")]) == 0
    monkeypatch.chdir(ROOT)
    data = {"dataset_dir": str(tmp_path / "data"), "output_dir": str(tmp_path / "run")}
    settings = {"batch_size": 1, "loader_workers": 0, "amp": False, "dry_run": True}
    monai.bundle.run(config_file=["bundles/msk_sam/configs/train.json"], **data, **settings)


def test_it_listens_on_loopback_and_leaves_nothing_behind(server):
    """This test ends the server, so it is the last."""
    own = ROOT / "training" / "monai_label"
    assert not [path.name for path in own.iterdir() if path.is_dir() and path.name != "__pycache__"]
    addresses = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in addresses.splitlines() if f":{server.port:04X} " in line.split("0A")[0]]
    assert f"0100007F:{server.port:04X}" in listening
    assert f"00000000:{server.port:04X}" not in listening
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(60)
    said = server.log.read_text()
    assert "Traceback" not in said
    assert not [name for name in PHANTOMS if name in said]


def test_without_monai_label_the_command_says_how_to_get_it(tmp_path):
    command = [sys.executable, "-m", "training.monai_label", "serve", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: uvicorn is not installed here; run make monai-label")
