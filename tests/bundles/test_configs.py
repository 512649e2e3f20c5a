"""The bundles as MONAI sees them: complete, consistent, trainable, and equal to what the application computes."""

from __future__ import annotations

import csv
import json
import os
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from monai.bundle import ConfigParser, verify_net_in_out

from operators.bundle import load_bundle, read_config
from operators.classification import classify
from training.export import main as export
from training.fit import radiograph_of
from training.manifest import read_manifest
from training.phantoms import main as write_phantoms

ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())
REQUIRED_FILES = (
    "LICENSE",
    "SHA256SUMS",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/train.json",
    "docs/README.md",
    "docs/data_license.txt",
)
REQUIRED_METADATA = (
    "schema",
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
    "intended_use",
    "limits",
)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms([str(folder), "--count", "20", "--seed", "11"])
    return folder


def monai_bundle(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_complete(name):
    root = ROOT / "bundles" / name
    assert [file for file in REQUIRED_FILES if not (root / file).is_file()] == []
    metadata = json.loads((root / "configs" / "metadata.json").read_text("utf-8"))
    assert [key for key in REQUIRED_METADATA if not metadata.get(key)] == []
    assert metadata["version"] in metadata["changelog"]
    assert not list(root.rglob("*.py"))


@pytest.mark.parametrize("name", BUNDLES)
def test_every_target_can_be_imported(name):
    locator = ConfigParser().locator
    for path in (ROOT / "bundles" / name / "configs").glob("*.json"):
        for target in targets(json.loads(path.read_text("utf-8"))):
            found = pydoc.locate(target) if "." in target else locator.get_component_module_name(target)
            assert found is not None, target


def targets(config):
    if isinstance(config, dict):
        if "_target_" in config:
            yield config["_target_"]
        for value in config.values():
            yield from targets(value)
    elif isinstance(config, list):
        for value in config:
            yield from targets(value)


def test_the_classifier_takes_and_gives_what_its_metadata_say():
    root = ROOT / "bundles" / "msk_resnet50" / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(root / "metadata.json"),
        config_file=str(root / "inference.json"),
        device="cpu",
        n=4,
    )


def test_preprocessing_is_the_one_home(classifier):
    picture = np.random.default_rng(0).random((300, 211)).astype(np.float32)
    parsed = read_config(ROOT / "bundles" / "msk_resnet50").get_parsed_content("preprocessing")
    assert np.array_equal(np.asarray(classifier.preprocess(picture)), np.asarray(parsed(picture)))
    assert classifier.preprocess(picture).shape == (1, 640, 480)


def test_large_files_name_their_hash():
    listing = yaml.safe_load((ROOT / "bundles" / "msk_sam" / "large_files.yml").read_text("utf-8"))["large_files"]
    assert len(listing) == 4
    assert all(len(entry["hash_val"]) == 64 and entry["hash_type"] == "sha256" for entry in listing)


def test_the_operating_points_are_fitted(classifier):
    points = classifier.metadata["operating_points"]
    for level in ("image", "study"):
        assert 0 < points[level]["rule_out"] <= points[level]["rule_in"] < 1
    assert points["temperature"] > 0


@pytest.mark.slow
def test_evaluation_gives_what_the_application_computes(phantoms, tmp_path, classifier):
    configs = "['bundles/msk_resnet50/configs/train.json','bundles/msk_resnet50/configs/evaluate.json']"
    data = ("--dataset_dir", str(phantoms), "--split", "test", "--output_dir", str(tmp_path))
    done = monai_bundle("--config_file", configs, *data)
    assert done.returncode == 0, done.stdout + done.stderr
    records = {record.path.stem: record for record in read_manifest(phantoms, "test")}
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        scores = {row["name"]: row for row in csv.DictReader(file)}
    assert set(scores) == set(records)
    for name, record in records.items():
        expected = classify(radiograph_of(record), classifier)
        assert float(scores[name]["probability"]) == pytest.approx(expected.probability, abs=1e-4)
        assert scores[name]["state"] == expected.state
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8"))["images"] == len(records)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), [("msk_resnet50", ["--crop_size", "64", "--images_per_epoch", "4"]), ("msk_sam", [])]
)
def test_a_bundle_trains(name, options, phantoms, tmp_path):
    short = (
        "--epochs",
        "2",
        "--validation_interval",
        "1",
        "--batch_size",
        "2",
        "--loader_workers",
        "0",
        "--amp",
        "False",
    )
    data = ("--dataset_dir", str(phantoms), "--output_dir", str(tmp_path))
    done = monai_bundle("--config_file", f"bundles/{name}/configs/train.json", *data, *short, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(ROOT / "bundles" / name / "configs", tmp_path / "exported" / "configs")
    assert export([str(tmp_path / "exported"), str(tmp_path / "best.pt")]) == 0
    assert load_bundle(tmp_path / "exported").sha256 != load_bundle(ROOT / "bundles" / name).sha256
    again = monai_bundle("--config_file", f"bundles/{name}/configs/train.json", *data, *short, *options)
    assert again.returncode == 0, again.stdout + again.stderr  # there is nothing left to do
    load_bundle(ROOT / "bundles" / name)  # training left the shipped bundle alone


@pytest.mark.slow
def test_the_segmenter_is_evaluated(phantoms, tmp_path):
    configs = "['bundles/msk_sam/configs/train.json','bundles/msk_sam/configs/evaluate.json']"
    done = monai_bundle("--config_file", configs, "--dataset_dir", str(phantoms), "--output_dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "metrics.csv").read_text("utf-8").startswith("val_dice")
