"""A copy of a bundle's folder is a bundle: MONAI's own interface on it, called in an empty folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from operators.networks.loading import load_bundle
from operators.records.errors import BundleError, OsteoMapError
from tests.phantoms import stored_phantom
from training.phantoms import main as write_phantoms

ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())


@pytest.fixture(scope="module", params=BUNDLES)
def bundle(request, tmp_path_factory) -> Path:
    """A copy under another name, outside the repository."""
    folder = tmp_path_factory.mktemp("elsewhere") / "renamed"
    shutil.copytree(ROOT / "bundles" / request.param, folder, ignore=shutil.ignore_patterns("*.pt", "*.pth"))
    return folder


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def images(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    Image.fromarray(stored_phantom(bits=8).astype(np.uint8)).save(tmp_path / "images" / "wrist.png")
    (tmp_path / "images" / "boxes.csv").write_text('file,boxes_xyxy\nwrist.png,"[[30, 40, 80, 90]]"\n', "utf-8")
    return tmp_path / "images"


def is_segmenter(bundle: Path) -> bool:
    return json.loads((bundle / "configs" / "metadata.json").read_text("utf-8"))["name"].endswith("Anything Model")


def data_of(bundle: Path, images: Path) -> str:
    return str(images / ("boxes.csv" if is_segmenter(bundle) else "wrist.png"))


def same_weights(network: torch.nn.Module, bundle: Path) -> bool:
    shipped = load_bundle(bundle).network.state_dict()
    found = network.state_dict()
    return list(found) == list(shipped) and all(torch.equal(found[name], shipped[name]) for name in shipped)


def test_an_inference_workflow_has_the_shipped_weights_and_runs(bundle, images, empty_folder):
    config = str(bundle / "configs" / "inference.json")
    data = {"dataset_dir": data_of(bundle, images), "output_dir": "out"}
    workflow = ConfigWorkflow(config, workflow_type="infer", **data)
    workflow.initialize()
    assert Path(workflow.bundle_root) == bundle
    assert same_weights(workflow.network_def, bundle)
    assert workflow.evaluator.network is workflow.network_def
    assert not workflow.network_def.training
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    assert len(list((empty_folder / "out").glob("*.csv"))) == 1
    assert len(list((empty_folder / "out").glob("*.nii.gz"))) == 1


def test_a_workflow_is_made_without_data(bundle):
    for kind in ("inference", "train"):
        workflow = monai.bundle.create_workflow(
            config_file=str(bundle / "configs" / f"{kind}.json"), workflow_type=kind.removesuffix("ence")
        )
        assert isinstance(workflow.network_def, torch.nn.Module)
        assert Path(workflow.bundle_root) == bundle


@pytest.mark.slow
@pytest.mark.parametrize("name", ["msk_cnn", "msk_resnet50", "msk_sam"])
def test_a_training_workflow_has_the_properties_that_monai_names(name, tmp_path):
    assert write_phantoms([str(tmp_path / "data"), "--count", "20", "--seed", "3"]) == 0
    folders = {"dataset_dir": str(tmp_path / "data"), "output_dir": "run", "loader_workers": 0}
    cache = {} if name == "msk_sam" else {"cache_dir": "cache"}
    config = str(ROOT / "bundles" / name / "configs" / "train.json")
    workflow = ConfigWorkflow(config, workflow_type="train", **folders, **cache)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.train_inferer is workflow.val_inferer


def test_a_relative_path_in_another_working_directory_is_the_same_bundle(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "bundles" / "msk_random_baseline", tmp_path / "copy")
    for folder, config in (("copy", "configs/inference.json"), ("copy/configs", "inference.json")):
        monkeypatch.chdir(tmp_path / folder)
        workflow = ConfigWorkflow(config, workflow_type="infer")
        workflow.initialize()
        assert Path(workflow.bundle_root) == tmp_path / "copy"


@pytest.mark.slow
def test_the_command_runs_a_copy_with_its_own_weights(tmp_path, images):
    folder = tmp_path / "copy"
    shutil.copytree(ROOT / "bundles" / "msk_cnn", folder)
    (folder / "models" / "model.safetensors").unlink()
    done = command(folder, images)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bundle copy: models/model.safetensors is missing; restore the bundle"
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_bundle_without_our_package_names_the_command_that_installs_it(tmp_path, images):
    (tmp_path / "operators.py").write_text("raise ModuleNotFoundError(\"No module named 'operators'\")\n", "utf-8")
    done = command(ROOT / "bundles" / "msk_cnn", images, tmp_path)
    assert done.returncode == 1
    assert "this bundle needs the Python package osteomap: run pip install . in its repository" in done.stderr


def command(bundle: Path, images: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    config = str(bundle / "configs" / "inference.json")
    return subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config),
            *("--dataset_dir", str(images), "--output_dir", "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(path), "HOME": str(images)},
    )


@pytest.mark.parametrize("kind", ["inference", "train"])
def test_an_error_does_not_end_the_program_that_asks(kind):
    workflow = ConfigWorkflow(str(ROOT / "bundles" / "msk_cnn" / "configs" / f"{kind}.json"), dataset_dir="nowhere")
    workflow.initialize()
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert "nowhere" in str(own_error(caught.value))


def test_a_copy_that_was_changed_is_refused_with_its_own_remedy(tmp_path):
    shutil.copytree(ROOT / "bundles" / "msk_random_baseline", tmp_path / "copy")
    (tmp_path / "copy" / "SHA256SUMS").unlink()
    workflow = ConfigWorkflow(str(tmp_path / "copy" / "configs" / "inference.json"), workflow_type="infer")
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert isinstance(own_error(caught.value), BundleError)
    assert "bundle_root" in str(own_error(caught.value))


def test_a_bare_parser_is_told_to_name_the_folder():
    parser = ConfigParser()
    parser.read_config(str(ROOT / "bundles" / "msk_cnn" / "configs" / "inference.json"))
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("network")
    assert "parser['bundle_root']" in str(own_error(caught.value))
    parser["bundle_root"] = str(ROOT / "bundles" / "msk_cnn")
    parser.parse(True)
    assert same_weights(parser.get_parsed_content("network"), ROOT / "bundles" / "msk_cnn")


def own_error(error: BaseException | None) -> OsteoMapError:
    while error is not None and not isinstance(error, OsteoMapError):
        error = error.__cause__
    assert error is not None
    return error
