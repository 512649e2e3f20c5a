"""Which training weights come from is recorded with them, and nothing is claimed of other weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from torch import nn

from tests.phantoms import tiny_bundle
from training.weights.origin import bundle_origin, checkpoint_origin, record_training, sha256, write_card

CURVE = "epoch,loss\n1,0.7\n"


@pytest.fixture
def bundle_root(tmp_path) -> Path:
    root = tmp_path / "models" / "own"
    for name, text in {
        "configs/metadata.json": json.dumps({"version": "0.1.0", "description": "A classifier"}),
        "models/model.safetensors": "weights",
        "docs/history.csv": "epoch,loss\n1,9.9\n",  # of the weights that were there before
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def checkpoint(folder: Path, curve: str | None = CURVE) -> Path:
    folder.mkdir(parents=True)
    (folder / "best.pt").write_text(folder.name)
    if curve:
        (folder / "history.csv").write_text(curve)
    return folder / "best.pt"


def origin(root: Path):
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    bundle = tiny_bundle(nn.Identity(), None)
    digest = sha256(root / "models" / "model.safetensors")
    return bundle_origin(root, dataclasses.replace(bundle, sha256=digest, metadata=metadata))


def test_a_checkpoint_has_the_curve_that_its_training_wrote_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = checkpoint_origin(checkpoint(Path("runs/x")))
    assert (found.file, found.training, found.history) == ("runs/x/best.pt", "runs/x", "runs/x/history.csv")
    moved = checkpoint_origin(checkpoint(tmp_path / "elsewhere", curve=None))
    assert (moved.file, moved.training, moved.history) == ("elsewhere/best.pt", None, None)


def test_an_export_takes_the_curve_of_its_checkpoint_along(bundle_root, tmp_path):
    assert origin(bundle_root).history is None  # which weights the curve in the bundle is of, nothing says
    record_training(bundle_root, [checkpoint(tmp_path / "home" / "me" / "x")])
    found = origin(bundle_root)
    assert found.training.startswith("x/best.pt (written 2")
    assert Path(found.history).read_text() == CURVE
    assert "home" not in (bundle_root / "configs" / "metadata.json").read_text()
    (bundle_root / "docs" / "history.csv").write_text("epoch,loss\n1,0.1\n")
    assert origin(bundle_root).history is None
    (bundle_root / "models" / "model.safetensors").write_text("other weights")
    assert origin(bundle_root).training is None


@pytest.mark.parametrize("count", [1, 2])
def test_weights_without_one_curve_have_none(count, bundle_root, tmp_path):
    record_training(bundle_root, [checkpoint(tmp_path / str(n), CURVE if count == 2 else None) for n in range(count)])
    found = origin(bundle_root)
    assert found.history is None
    assert all(f"{n}/best.pt" in found.training for n in range(count))
    assert not (bundle_root / "docs" / "history.csv").exists()


def test_the_card_says_which_training_the_weights_come_from(bundle_root, tmp_path):
    source = checkpoint(tmp_path / "x")
    record_training(bundle_root, [source])
    write_card(bundle_root, "msk_cnn")
    card = (bundle_root / "docs" / "README.md").read_text()
    assert card.startswith("# own\n")
    for text in ("x/best.pt", sha256(source), sha256(bundle_root / "models" / "model.safetensors"), "`msk_cnn`"):
        assert text in card
