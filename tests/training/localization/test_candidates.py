"""The peaks of a classifier's maps, and its logits, as tables."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import monai.bundle
import pytest
import timm
import torch

from operators.networks.loading import load_bundle
from operators.networks.map_classifier import MapClassifier
from training.datasets.manifest import read_manifest
from training.export import main as export
from training.learning.preflight import split_records
from training.localization.candidates import CANDIDATES, COUNT, SCORES, OnDevice, write_candidates
from training.phantoms import main as write_phantoms

BUNDLE = Path(__file__).parents[3] / "bundles" / "msk_resnet50"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A bundle with a small map classifier that was never fitted, the same opened, and phantoms."""
    folder = tmp_path_factory.mktemp("candidates")
    write_phantoms([str(folder / "phantoms"), "--count", "3", "--seed", "4"])
    template = folder / "template"
    shutil.copytree(BUNDLE, template, ignore=shutil.ignore_patterns("*.safetensors", "*.png"))
    config = json.loads((template / "configs" / "inference.json").read_text())
    config["network_def"]["encoder"]["model_name"] = "resnet18"
    config["geometry"]["transforms"][1]["spatial_size"] = 128
    (template / "configs" / "inference.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    torch.save({"network": MapClassifier(encoder).state_dict()}, folder / "best.pt")
    assert export([str(template), str(folder / "best.pt"), "--output", str(folder / "bundle")]) == 0
    return folder / "bundle", load_bundle(folder / "bundle"), folder / "phantoms"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_held_out_image_has_a_logit_and_its_brightest_peaks(untrained, tmp_path):
    root, _, phantoms = untrained
    monai.bundle.run(
        config_file=[str(BUNDLE / "configs" / name) for name in ("train.json", "evaluate_candidates.json")],
        bundle_root=str(root),
        dataset_dir=str(phantoms),
        device="cpu",
        fold="1/2",
        output_dir=str(tmp_path),
    )
    held_out = split_records(phantoms, "val", fold="1/2")
    scores, candidates = rows(tmp_path / SCORES), rows(tmp_path / CANDIDATES)
    assert [row["file"] for row in scores] == [record.path.name for record in held_out]
    assert [int(row["label"]) for row in scores] == [record.label for record in held_out] != []
    assert {row["fold"] for row in scores + candidates} == {"1/2"}
    for record in held_out:
        peaks = [row for row in candidates if row["file"] == record.path.name]
        values = [float(row["value"]) for row in peaks]
        assert 1 <= len(peaks) <= COUNT
        assert [int(row["rank"]) for row in peaks] == list(range(1, len(peaks) + 1))
        assert values == sorted(values, reverse=True)
        assert all(0 <= float(row["x"]) <= 512 and 0 <= float(row["y"]) <= 640 for row in peaks)


@pytest.mark.gpu
def test_the_logits_of_a_gpu_are_those_of_the_processor(untrained, tmp_path):
    _, bundle, phantoms = untrained
    records = read_manifest(phantoms)
    for name in ("cpu", "cuda"):
        write_candidates(bundle, records, torch.device(name), tmp_path / name)
    on_processor, on_gpu = ([float(row["logit"]) for row in rows(tmp_path / name / SCORES)] for name in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_processor, abs=0.02)


def test_the_linear_layer_stays_on_the_processor(untrained):
    _, bundle, _ = untrained
    network = OnDevice(bundle.network, torch.device("cpu"))
    features = network.forward_features(torch.rand(1, 1, 64, 64))
    assert torch.equal(network.forward_head(features), bundle.network.forward_head(features))
    assert network.get_classifier() is bundle.network.classifier
