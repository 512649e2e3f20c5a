"""The application with every kind of classifier, and with several together, by one line of ``app.yaml``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from safetensors.torch import save_file

from monai_app import run as application
from tests.monai_app.application import ROOT, Run
from tests.phantoms import radiograph, save, stored_phantom
from training.learning.bundle_weights import write_checksums

pytestmark = pytest.mark.slow  # each runs the application

SCHEMA = json.loads((ROOT / "monai_app" / "result.schema.json").read_text("utf-8"))
CHANNEL_FIRST = {"_target_": "EnsureChannelFirst", "channel_dim": "no_channel"}
DIVISIBLE = [
    CHANNEL_FIRST,
    {"_target_": "Resize", "spatial_size": 160, "size_mode": "longest", "mode": "area"},
    {"_target_": "DivisiblePad", "k": 32, "method": "end"},
]
LETTERBOX = [
    CHANNEL_FIRST,
    {"_target_": "Resize", "spatial_size": 224, "size_mode": "longest", "mode": "area"},
    {"_target_": "SpatialPad", "spatial_size": [224, 224], "method": "end"},
    {"_target_": "RepeatChannel", "repeats": 3},
]
ENCODER = {"_target_": "timm.create_model", "model_name": "resnet18", "features_only": True, "in_chans": 1}
KINDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "pyramid": ({"_target_": "operators.networks.MapClassifier", "encoder": ENCODER}, DIVISIBLE),
    "map": (
        {"_target_": "operators.networks.MapClassifier", "encoder": ENCODER, "feature_channels": None},
        DIVISIBLE,
    ),
    "timm": ({"_target_": "timm.create_model", "model_name": "densenet121", "num_classes": 1}, LETTERBOX),
    "timm_efficientnet": (
        {"_target_": "timm.create_model", "model_name": "efficientnet_b0", "num_classes": 1},
        LETTERBOX,
    ),
    "cnn": ({"_target_": "operators.networks.SmallCnn"}, LETTERBOX),
    "random": ({"_target_": "operators.networks.RandomBaseline"}, DIVISIBLE[:1]),
}


def write_bundle(folder: Path, kind: str, points: dict[str, float], bias: float = 0.0) -> None:
    """Write a classifier bundle with random weights."""
    network, transforms = KINDS[kind]
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    inference = {"network_def": network, "preprocessing": {"_target_": "Compose", "transforms": transforms}}
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    metadata = {
        "version": "0.0.1",
        "limits": ["Its weights are random.", f"A {kind}."],
        "operating_points": {"temperature": 1.0, "bias": bias, "image": points | {"decision": 0.5}, "study": points},
        "localization": {"threshold": 0.5, "expansion": 0.0},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(0)
    built = ConfigParser({"network_def": network}).get_parsed_content("network_def")
    save_file(
        {name: tensor.contiguous() for name, tensor in built.state_dict().items()},
        folder / "models" / "model.safetensors",
    )
    write_checksums(folder)


@pytest.fixture
def models(tmp_path, bundles) -> Path:
    """A folder of models that holds the embedded segmenter."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "msk_sam").symlink_to(bundles / "msk_sam")
    return tmp_path / "models"


@pytest.fixture
def studies(tmp_path) -> Path:
    for name, finding in (("normal", "none"), ("fracture", "step")):
        stored = stored_phantom(900_001, finding, rows=320, columns=200)
        save(radiograph(name, stored=stored, BitsStored=12, HighBit=11), tmp_path / "in" / f"{name}.dcm")
    return tmp_path / "in"


@pytest.fixture
def analyse(tmp_path, models, studies, monkeypatch):
    """Run the application with the classifiers that are named in ``app.yaml``."""

    def run(bundle: Any, output: str = "out") -> Run:
        content = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
        content["classification"]["bundle"] = bundle
        (tmp_path / "app.yaml").write_text(yaml.safe_dump(content))
        monkeypatch.setenv("HOLOSCAN_CONFIG_PATH", str(tmp_path / "app.yaml"))
        arguments = ["osteomap", "-i", str(studies), "-o", str(tmp_path / output), "-m", str(models)]
        return Run(application.run(arguments), "", tmp_path / output)

    return run


ABNORMAL = {"rule_out": 0.0, "rule_in": 0.0}  # whatever the probability


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_classifier_runs(models, analyse, kind):
    write_bundle(models / "msk_x", kind, ABNORMAL)
    done = analyse("msk_x")
    assert done.code == 0
    jsonschema.validate(done.result, SCHEMA)
    assert done.result["counts"]["abnormal"] == 2
    assert [model["bundle"] for model in done.result["models"]] == ["msk_x", "msk_sam"]
    for image in done.images.values():
        assert bool(image["boxes"]) == (kind != "random")
        assert all(box["right"] <= 200 and box["bottom"] <= 320 for box in image["boxes"])


def test_several_are_averaged_and_all_are_named(models, analyse):
    between = {"rule_out": 0.0, "rule_in": 1.0}
    for name, kind, bias in (("msk_x", "map", 0.5), ("msk_y", "cnn", -1.0), ("msk_z", "random", 0.0)):
        write_bundle(models / name, kind, between, bias)
    names = ["msk_x", "msk_y", "msk_z"]
    alone = [analyse(name, name).images for name in names]
    done = analyse(names)
    assert done.code == 0
    jsonschema.validate(done.result, SCHEMA)
    assert [model["bundle"] for model in done.result["models"]] == [*names, "msk_sam"]
    for file, image in done.images.items():
        assert image["probability"] == pytest.approx(
            np.mean([images[file]["probability"] for images in alone]),
            abs=2e-6,  # each is rounded to six decimals
        )
        assert image["state"] == "doubt"
        assert image["boxes"] == alone[0][file]["boxes"]
    page = (done.output / "report.html").read_text("utf-8")
    assert all(name in page for name in names)
    assert page.count("Its weights are random.") == 1
    assert all(f"A {kind}." in page for kind in ("map", "cnn", "random"))
    again = analyse(names, "again")
    assert again.result["studies"] == done.result["studies"]


def test_two_that_disagree_are_in_doubt(models, bundles, analyse):
    """A copy of the embedded classifier that calls everything normal, beside the embedded one."""
    (models / "msk_resnet50").symlink_to(bundles / "msk_resnet50")
    shutil.copytree(bundles / "msk_resnet50", models / "msk_blind")
    path = models / "msk_blind" / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["operating_points"]["bias"] = -100.0
    path.write_text(json.dumps(metadata))
    write_checksums(models / "msk_blind")
    alone, together = analyse("msk_resnet50", "alone"), analyse(["msk_resnet50", "msk_blind"])
    assert alone.images["fracture.dcm"]["state"] == "abnormal"
    fracture = together.images["fracture.dcm"]
    assert fracture["state"] == "doubt"
    assert fracture["detail"] == "the classifiers disagree (msk_resnet50 abnormal, msk_blind normal)"
    assert {study["state"] for study in together.result["studies"]} <= {"doubt", "normal"}
    assert fracture["probability"] == pytest.approx(
        alone.images["fracture.dcm"]["probability"] / 2,
        abs=1e-6,  # result.json rounds to six decimals
    )
    assert fracture["boxes"] == alone.images["fracture.dcm"]["boxes"]
    assert "The classifiers disagree" in (together.output / "report.html").read_text("utf-8")
    limits = metadata["limits"]
    assert (together.output / "report.html").read_text("utf-8").count(limits[0][:40]) == 1


@pytest.mark.parametrize(
    "bundle", ["msk_absent", ["msk_x", "msk_absent"], ["msk_x", "msk_sam"], ["msk_x", "msk_x"], []]
)
def test_a_classifier_that_cannot_be_used_ends_with_2(models, analyse, bundle, capfd):
    write_bundle(models / "msk_x", "random", ABNORMAL)
    done = analyse(bundle)
    assert done.code == 2
    assert not (done.output / "result.json").exists()
    assert "bundle" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temperature": 0.0}, "operating_points.temperature"),
        ({"temperature": None}, "operating_points.temperature"),
        ({"image": {"rule_out": 0.1}}, "operating_points.image.rule_in"),
        ({"study": "none"}, "operating_points.study is missing"),
    ],
)
def test_metadata_that_were_not_fitted_end_with_2(models, analyse, capfd, change, named):
    write_bundle(models / "msk_x", "random", ABNORMAL)
    path = models / "msk_x" / "configs" / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    metadata["operating_points"] |= change
    path.write_text(json.dumps(metadata))
    write_checksums(models / "msk_x")
    assert analyse("msk_x").code == 2
    assert named in capfd.readouterr().err
