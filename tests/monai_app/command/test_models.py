"""``osteomap models``: every bundle of a folder with what its files say, and what is wrong with one."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from monai_app.command import main as osteomap


@pytest.fixture
def folder(bundles, tmp_path):
    for name in ("msk_cnn", "msk_random_baseline"):
        shutil.copytree(bundles / name, tmp_path / name)
    return tmp_path


def test_the_embedded_bundles_are_listed_with_what_their_files_say(bundles, capsys):
    assert osteomap(["models"]) == 0
    told = capsys.readouterr().out
    for bundle in sorted(path.parent.parent for path in bundles.glob("*/configs/metadata.json")):
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text("utf-8"))
        weights = (bundle / "models" / "model.safetensors").read_bytes()
        section = told[told.index(f"{bundle.name}  {metadata['version']}") :]
        assert hashlib.sha256(weights).hexdigest() in section
        assert hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest() in section
        if "operating_points" in metadata:
            assert f"abnormal from {metadata['operating_points']['image']['rule_in']:.4f}" in section
    assert "Fracture (SCT 72704001)" in told
    assert "int8" in told


def test_a_bundle_that_was_changed_is_named_and_the_others_are_listed(folder, capsys):
    with (folder / "msk_cnn" / "models" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert osteomap(["models", "-m", str(folder)]) == 2
    told = capsys.readouterr().out
    assert "msk_cnn  cannot be used\n  error: bundle msk_cnn: models/model.safetensors does not match" in told
    assert "msk_random_baseline  0." in told


def test_a_folder_without_a_bundle_is_a_mistake(tmp_path, capsys):
    assert osteomap(["models", "-m", str(tmp_path)]) == 2
    assert "no bundle in" in capsys.readouterr().err


def test_the_variable_of_the_sdk_names_the_folder(folder, monkeypatch, capsys):
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", str(folder))
    assert osteomap(["models"]) == 0
    assert "msk_resnet50" not in capsys.readouterr().out
