"""A checkpoint and an exported bundle of one's own are evaluated by the documented commands, from any folder."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import monai.bundle
import pytest
import torch

from operators.networks import SmallCnn
from operators.networks.configuration import read_config
from training.datasets.errors import InputError
from training.export import main as export
from training.mura_phantoms import main as write_mura
from training.weights.evaluated import open_evaluated

BUNDLE = Path(__file__).resolve().parent.parent.parent / "bundles" / "msk_cnn"
CURVE = "epoch,loss,val_auroc\n1,0.7,0.5\n2,0.6,0.6\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder outside the repository with data, and a training of one's own."""
    monkeypatch.chdir(tmp_path)
    assert write_mura(["mura", "--patients", "12", "--parts", "XR_WRIST", "--seed", "11"]) == 0
    Path("runs/x").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"network": SmallCnn().state_dict()}, "runs/x/best.pt")
    Path("runs/x/history.csv").write_text(CURVE)
    return tmp_path


def evaluated(bundle: Path, **settings: str) -> tuple[dict[str, object], str]:
    """Return the metrics and the first line of the page."""
    configs = [str(bundle / "configs" / name) for name in ("train.json", "evaluate.json")]
    monai.bundle.run(config_file=configs, dataset_dir="mura", split="test", loader_workers=0, **settings)
    (page,) = Path().glob("runs/**/evaluation.html")
    metrics = json.loads((page.parent / "metrics.json").read_text())
    text = page.read_text()
    first = re.search(r"</h1>\s*<p[^>]*>([^<]*)</p>", text).group(1)
    assert ('alt="Training' in text) == (metrics["weights"]["history"] is not None)
    page.unlink()
    return metrics, first


def test_the_shipped_weights_show_no_curve_of_a_training_of_one_s_own(folder):
    metrics, first = evaluated(BUNDLE, output_dir="runs/x/test")
    assert metrics["sha256"] in first
    assert "runs/x" not in json.dumps(metrics["weights"])


def test_a_checkpoint_is_evaluated_and_so_is_the_bundle_that_it_is_exported_to(folder):
    metrics, first = evaluated(BUNDLE, checkpoint="runs/x/best.pt")
    digest = hashlib.sha256(Path("runs/x/best.pt").read_bytes()).hexdigest()
    assert first.startswith(f"Evaluated: msk_cnn checkpoint best.pt, weights sha256 {digest}, from runs/x/best.pt (")
    assert (metrics["weights"]["history"], metrics["fitted"]) == ("runs/x/history.csv", False)
    assert metrics["operating_points"]["image"] == {"rule_out": 0.5, "rule_in": 0.5}

    own = Path("models/own").absolute()
    assert export([str(BUNDLE), "runs/x/best.pt", "--output", "models/own"]) == 0
    again, first = evaluated(own)
    weights = hashlib.sha256((own / "models" / "model.safetensors").read_bytes()).hexdigest()
    assert first.startswith(f"Evaluated: own 0.1.0, weights sha256 {weights}, from models/own/models/model.safetensors")
    assert again["weights"]["training"].startswith("x/best.pt (written ")
    assert (own / "docs" / "history.csv").read_text() == CURVE
    assert "x/best.pt" in (own / "docs" / "README.md").read_text()
    value, exported = (each["levels"]["image"]["overall"]["metrics"]["brier"]["value"] for each in (metrics, again))
    assert exported == pytest.approx(value, abs=1e-3)


def test_a_checkpoint_that_cannot_be_evaluated_is_named(tmp_path):
    config = read_config(BUNDLE)
    torch.save({"network": {"weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: a checkpoint of another network than SmallCnn"):
        open_evaluated(BUNDLE, tmp_path / "other.pt", config)
    with pytest.raises(InputError, match="a folder; name a file in it, or pass a bundle as --bundle_root"):
        open_evaluated(BUNDLE, tmp_path, config)
    with pytest.raises(FileNotFoundError, match="no such checkpoint; pass --checkpoint FILE"):
        open_evaluated(BUNDLE, tmp_path / "absent.pt", config)


def test_an_export_warns_of_nothing(folder, recwarn):
    assert export([str(BUNDLE), "--torchscript", "network.ts", "--onnx", "network.onnx"]) == 0
    told = [str(warning.message) for warning in recwarn]
    assert not [text for text in told if "deprecated" in text or "legacy" in text or "zero" in text]
