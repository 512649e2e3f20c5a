"""``inference.json`` by MONAI's own command: every kind of image, the application's numbers, on top of the image."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from PIL import Image

from monai_app.rules import scope
from monai_app.settings import read_settings
from operators.classification.classify import classify
from operators.image_files.image_file import read_image
from operators.localization.localize import localize
from operators.networks.configuration import read_config
from operators.reading.decoder import Decoder
from operators.records.rules import PromptRule
from operators.records.sources import SourceFile
from tests.phantoms import radiograph, save, stored_phantom

ROOT = Path(__file__).resolve().parent.parent.parent
WITH_INFERENCE = sorted(
    path.parent.parent.name
    for path in ROOT.glob("bundles/*/configs/inference.json")
    if "evaluator" in json.loads(path.read_text("utf-8"))
)
COLUMN, ROW = 100, 30


def whole_configuration(name: str) -> ConfigParser:
    """Return ``inference.json`` as ``monai.bundle run`` reads it."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "bundles" / name / "configs" / "inference.json"))
    parser.parse(True)
    return parser


@pytest.fixture
def folder(tmp_path) -> Path:
    """One image of every kind, whose brightest pixel is known, a cut one, and a text."""
    folder = tmp_path / "images"
    (folder / "wrists").mkdir(parents=True)
    eight, sixteen = stored_phantom(bits=8).astype(np.uint8), stored_phantom(bits=16)
    Image.fromarray(eight).save(folder / "wrists" / "eight.png")
    Image.fromarray(sixteen).save(folder / "sixteen.png")
    Image.fromarray(eight).save(folder / "eight.jpg", quality=90, dpi=(254, 127))
    save(radiograph(ImagerPixelSpacing=[0.2, 0.3]), folder / "wrist.dcm")
    save(radiograph("b", BodyPartExamined="CHEST", AnatomicRegionSequence=None), folder / "chest.dcm")
    affine = np.array([[0, -0.4, 0, 3], [-0.3, 0, 0, -7], [0, 0, 1, 9], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(sixteen.T[:, :, None], affine), folder / "slice.nii.gz")
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "sixteen.png").read_bytes()[:2000])
    return folder


# Where the pixel of column 100 and row 30 lies, RAS mm, as the files above tell it.
PLACES = {
    "wrists/eight.png": (-100, -30, 0),
    "sixteen.png": (-100, -30, 0),
    "eight.jpg": (-100 * 0.1, -30 * 0.2, 0),
    "wrist.dcm": (-100 * 0.3, -30 * 0.2, 0),
    "slice.nii.gz": (-30 * 0.4 + 3, -100 * 0.3 - 7, 9),
}


def infer(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = f"bundles/{name}/configs/inference.json"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_a_folder_of_every_kind_of_image(folder, tmp_path, classifier):
    output = folder / "results"  # inside the input: its files are not read
    done = infer("msk_resnet50", "--dataset_dir", str(folder), "--output_dir", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["file"]: row for row in table(output / "scores.csv")}
    assert set(rows) == {*PLACES, "chest.dcm", "cut.png"}  # notes.txt is ignored, as the application does
    refused = {name: (rows[name]["state"], rows[name]["reason"]) for name in ("chest.dcm", "cut.png")}
    assert refused == {
        "chest.dcm": ("declined", "body_part_out_of_scope"),
        "cut.png": ("failed", "pixel_data_corrupt"),
    }
    maps, boxes = classifier.fitted.maps, classifier.fitted.boxes
    with Decoder(timeout_s=20, memory_mib=4096) as decoder:
        for name, place in PLACES.items():
            file = SourceFile(folder / name, name)
            expected = classify(read_image(file, scope(read_settings()), decoder).radiograph, classifier, maps)
            assert float(rows[name]["probability"]) == pytest.approx(expected.probability, abs=1e-6), name
            assert rows[name]["state"] == expected.state
            written = nibabel.load(output / rows[name]["heatmap_file"])
            assert written.affine @ [COLUMN, ROW, 0, 1] == pytest.approx([*place, 1], abs=1e-5), name
            heatmap = localize(expected, boxes).heatmap
            voxels = np.asanyarray(written.dataobj)
            assert voxels.dtype == np.float32
            assert voxels.shape == (128, 160, 1)
            assert np.abs(voxels[:, :, 0].T - heatmap).max() < 1e-5
            assert 0 <= voxels.min() < voxels.max() <= 1
            told = bytes(written.header["descrip"].item()).decode()
            assert told.startswith(f"research use only; msk_resnet50 {classifier.version}")


@pytest.mark.slow
def test_boxes_of_a_csv_are_outlined(folder, tmp_path):
    (folder / "list.csv").write_text(
        'view,file,boxes_xyxy\nPA,wrists/eight.png,"[[30, 40, 80, 90], [60.5, 60, 100, 119.5]]"\nPA,wrist.dcm,[]\n',
        "utf-8",
    )
    data = ("--dataset_dir", str(folder / "list.csv"), "--output_dir", str(tmp_path / "out"))
    done = infer("msk_sam", *data)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, none = table(tmp_path / "out" / "outlines.csv")
    assert [row["state"] for row in (first, second, none)] == ["outlined", "outlined", "without_box"]
    mask = nibabel.load(tmp_path / "out" / first["mask_file"])
    labels = np.asanyarray(mask.dataobj)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2}
    assert mask.affine @ [COLUMN, ROW, 0, 1] == pytest.approx([-COLUMN, -ROW, 0, 1])
    columns, rows = np.nonzero(labels[:, :, 0] == 1)
    assert 20 <= columns.min() <= columns.max() < 90
    assert 30 <= rows.min() <= rows.max() < 100
    assert 0 <= float(second["predicted_iou"]) <= 1


@pytest.mark.slow
def test_a_folder_for_a_prompted_bundle_is_one_line(folder, tmp_path):
    done = infer("msk_sam", "--dataset_dir", str(folder), "--output_dir", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("give --dataset_dir a CSV with columns file and boxes_xyxy")
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("name", WITH_INFERENCE)
def test_inference_has_the_keys_that_tools_look_for(name, folder, tmp_path):
    dataset = folder / "list.csv"
    dataset.write_text("file,boxes_xyxy\nsixteen.png,[]\n", "utf-8")
    config = ROOT / "bundles" / name / "configs" / "inference.json"
    workflow = ConfigWorkflow(str(config), workflow_type="infer", dataset_dir=str(dataset), output_dir=str(tmp_path))
    workflow.initialize()
    assert not workflow.check_properties()
    assert workflow.bundle_root == str(ROOT / "bundles" / name)
    content = json.loads(config.read_text("utf-8"))
    keys = {"dataloader", "handlers", "postprocessing", "preprocessing", "network", "initialize", "run"}
    assert keys <= set(content)


@pytest.mark.parametrize("name", WITH_INFERENCE)
def test_inference_s_limits_are_the_application_s(name):
    config, settings = whole_configuration(name), read_settings()
    assert config.get_parsed_content("scope") == scope(settings)
    decoder = config["reader"]["decoder"]
    assert (decoder["timeout_s"], decoder["memory_mib"]) == (
        settings.radiographs.decoder_timeout_s,
        settings.radiographs.decoder_memory_mib,
    )
    if name == "msk_sam":
        rule = config.get_parsed_content("inferer#rule", instantiate=True)
        assert rule == PromptRule(settings.segmentation.zoom)


@pytest.mark.parametrize("name", WITH_INFERENCE)
def test_the_application_reads_inference_without_what_only_inference_needs(name, monkeypatch):
    for module in ("ignite", "ignite.engine", "nibabel"):
        monkeypatch.setitem(sys.modules, module, None)  # as in a package of the application
    for module in [module for module in sys.modules if module.startswith("operators.image_files")]:
        monkeypatch.delitem(sys.modules, module)
    config = read_config(ROOT / "bundles" / name)
    config.get_parsed_content("network_def")
    picture = config.get_parsed_content("preprocessing")(stored_phantom().astype(np.float32) / 4095)
    assert isinstance(picture, MetaTensor)
    assert "operators.image_files.inferers" not in sys.modules
