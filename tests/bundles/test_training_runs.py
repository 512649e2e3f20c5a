"""Every bundle is trained, resumed, evaluated and exported by the commands that its card names."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
from ignite.engine import Events

from operators.classification.classify import classify
from operators.networks.loading import load_bundle, load_classifier
from operators.records.errors import BundleError, OsteoMapError
from training.datasets.dataset import read_dataset
from training.evaluation.scored_images import image_names
from training.export import main as export
from training.fitting.predictions import NOT_FITTED, record_as_radiograph
from training.mura_phantoms import main as write_mura
from training.phantoms import main as write_phantoms

ROOT = Path(__file__).resolve().parent.parent.parent
TRAINED = ["msk_cnn", "msk_densenet169", "msk_efficientnet_b3", "msk_resnet50"]
CLASSIFIERS = [*TRAINED, "msk_random_baseline"]
SHORT = {"epochs": 2, "validation_interval": 1, "batch_size": 4, "loader_workers": 0, "amp": False}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mura(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mura")
    assert write_mura([str(folder), "--patients", "16", "--parts", "XR_WRIST", "XR_HAND", "--seed", "11"]) == 0
    return folder


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # configurations name bundles from there


def run(name: str, *configs: str, **settings: object) -> None:
    files = [f"bundles/{name}/configs/{config}.json" for config in configs]
    monai.bundle.run(config_file=files, **settings)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def settings_of(name: str, config: str = "train") -> dict[str, object]:
    keys = json.loads((ROOT / "bundles" / name / "configs" / "train.json").read_text("utf-8"))
    own = {"crop_size": 64} if "crop_size" in keys and config == "train" else {}
    return {**SHORT, "images_per_epoch": 8, **own}


def own_error(error: BaseException | None) -> OsteoMapError | OSError:
    """Return what MONAI wrapped: an error of ours or of the operating system."""
    while error is not None and not isinstance(error, (OsteoMapError, OSError)):
        error = error.__cause__
    assert error is not None
    return error


def killed_after_an_epoch(trainer, *_):
    def kill():
        raise SystemExit("killed")

    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), kill)
    trainer.run()


@pytest.mark.parametrize("name", TRAINED)
def test_a_bundle_trains_resumes_and_is_exported(name, mura, tmp_path, monkeypatch):
    shipped = load_bundle(ROOT / "bundles" / name).sha256
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    with monkeypatch.context() as patch:
        patch.setattr("training.control.start.start", killed_after_an_epoch)
        with pytest.raises(SystemExit, match="killed"):
            run(name, "train", **data, **settings_of(name))
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["1"]
    run(name, "train", **data, **settings_of(name))
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["1", "2"]
    with pytest.raises(RuntimeError) as caught:
        run(name, "train", **data, **settings_of(name) | {"epochs": 3})
    assert "another --output_dir" in str(own_error(caught.value))
    checkpoint = str(tmp_path / "run" / "best.pt")
    copy = tmp_path / "copy"
    assert export([f"bundles/{name}", checkpoint, "--output", str(copy)]) == 0
    assert load_bundle(copy).sha256 != shipped
    with pytest.raises(BundleError, match=r"training\.fit"):
        load_classifier(copy)  # what was fitted to other weights must not decide
    assert load_bundle(ROOT / "bundles" / name).sha256 == shipped  # training left the shipped bundle alone


@pytest.mark.parametrize("name", TRAINED)
def test_the_papers_recipe_trains_and_is_a_bundle_of_its_own(name, mura, tmp_path):
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    run(name, "train", "train_paper", **data, **settings_of(name, "paper") | {"epochs": 1, "parts": ["wrist"]})
    copy = tmp_path / "copy"
    checkpoint = str(tmp_path / "run" / "best.pt")
    assert export([f"bundles/{name}", checkpoint, "--output", str(copy), "--config", "paper"]) == 0
    metadata = copy / "configs" / "metadata.json"
    expected = json.loads(metadata.read_text("utf-8"))["network_data_format"]["inputs"]["image"]
    assert (expected["num_channels"], expected["spatial_shape"]) == (3, [224, 224])
    bundle = load_bundle(copy)
    bundle = dataclasses.replace(bundle, metadata={**bundle.metadata, "operating_points": NOT_FITTED})
    picture = record_as_radiograph(read_dataset(mura, "test")[0])
    assert bundle.preprocess(picture.pixels.copy()).shape == (3, 224, 224)
    assert 0 < classify(picture, bundle).probability < 1


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_evaluation_gives_what_the_application_computes(name, mura, tmp_path):
    run(name, "train", "evaluate", dataset_dir=str(mura), split="test", output_dir=str(tmp_path), loader_workers=0)
    records = read_dataset(mura, "test")
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        scores = {row["name"]: row for row in csv.DictReader(file)}
    assert len(scores) == len(records)
    bundle = load_classifier(ROOT / "bundles" / name)
    for key, record in list(zip(image_names(records), records, strict=True))[:6]:
        expected = classify(record_as_radiograph(record), bundle)
        assert float(scores[key]["probability"]) == pytest.approx(expected.probability, abs=1e-4)
        assert scores[key]["state"] == expected.state
    assert (tmp_path / "evaluation.html").is_file()


def test_a_training_shorter_than_the_validation_interval_follows_the_data_and_leaves_a_model(mura, tmp_path, capsys):
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    run("msk_cnn", "train", **data, epochs=2, batch_size=4, loader_workers=0, amp=True)
    out = capsys.readouterr().out
    images = len(read_dataset(mura, "train"))
    assert f"2 epochs of {images // 4} steps of 4 crops" in out
    assert out.index("results") < out.index("time  ") < out.index("the network of the best validation")
    assert [bool(row["val_auroc"]) for row in history(tmp_path / "run")] == [False, True]
    assert {"best.pt", "checkpoint.pt"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_training_killed_in_its_first_epoch_goes_on(mura, tmp_path, monkeypatch, capsys):
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    settings = {"epochs": 1, "batch_size": 4, "loader_workers": 0, "checkpoint_minutes": 0}

    def killed(trainer, *_):
        def kill():
            raise SystemExit("killed")

        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), kill)
        trainer.run()

    with monkeypatch.context() as patch:
        patch.setattr("training.control.start.start", killed)
        with pytest.raises(SystemExit, match="killed"):
            run("msk_cnn", "train", **data, **settings)
    assert not (tmp_path / "run" / "best.pt").exists()
    run("msk_cnn", "train", **data, **settings)
    assert "after step 3 of" in capsys.readouterr().out
    assert (tmp_path / "run" / "best.pt").is_file()


def test_a_dry_run_checks_everything_and_trains_nothing(mura, tmp_path, capsys):
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    run("msk_cnn", "train", **data, **settings_of("msk_cnn"), dry_run=True)
    assert "nothing was trained" in capsys.readouterr().out
    assert not list((tmp_path / "run").glob("*.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_dir": "nowhere"}, "nowhere: no such file"),
        ({"device": "cuda:0"}, "no usable GPU"),
        ({"initial_checkpoint": "nowhere.pt"}, "nowhere.pt: no such checkpoint"),
        ({"initial_checkpoint": "OTHER"}, "another network"),
        ({"initial_weights": "imagenet"}, "no ImageNet weights"),
        ({"parts": ["head"]}, "head"),
    ],
)
def test_bad_input_is_one_line_before_training(change, message, mura, tmp_path, monkeypatch):
    if "device" in change:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if change.get("initial_checkpoint") == "OTHER":
        run("msk_random_baseline", "train", output_dir=str(tmp_path / "random"))
        change = {"initial_checkpoint": str(tmp_path / "random" / "best.pt")}
    data = {"dataset_dir": str(mura), "output_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(RuntimeError) as caught:
        run("msk_cnn", "train", **data | settings_of("msk_cnn") | {"dry_run": True} | change)
    error = str(own_error(caught.value))
    assert message in error
    assert "\n" not in error


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def overwritten(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    path.write_bytes(content)


@pytest.mark.parametrize(("split", "damage"), [("train", cut_off), ("train", overwritten), ("val", overwritten)])
def test_a_damaged_image_is_named_before_training(split, damage, tmp_path):
    assert write_phantoms([str(tmp_path / "data"), "--count", "20"]) == 0
    path = read_dataset(tmp_path / "data", split)[1].path
    damage(path)
    data = {"dataset_dir": str(tmp_path / "data"), "output_dir": str(tmp_path / "run")}
    with pytest.raises(RuntimeError) as caught:
        run("msk_cnn", "train", **data, cache_dir=str(tmp_path / "cache"), **settings_of("msk_cnn"), dry_run=True)
    error = str(own_error(caught.value))
    assert path.name in error
    assert "restore the file" in error
    assert "\n" not in error


def test_two_processes_compute_what_one_does(mura, tmp_path):
    """The papers' frozen network, because batch norm of the others takes its statistics from each process."""
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        configs = ["train", "train_paper", "multi_gpu_train"]
        files = str([f"bundles/msk_densenet169/configs/{config}.json" for config in configs])
        settings = {
            **settings_of("msk_densenet169", "paper"),
            "dataset_dir": mura,
            "output_dir": folder,
            "cache_dir": tmp_path / "cache",
        }
        options = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
        done = subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"),
                *(f"--nproc_per_node={processes}", "-m", "monai.bundle", "run", "--config_file", files, *options),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        curves.append([(float(row["loss"]), float(row["val_auroc"])) for row in history(folder)])
    assert len(curves[0]) == 2
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, abs=1e-4)


def test_the_segmenter_trains_and_is_evaluated(tmp_path):
    write_phantoms([str(tmp_path / "phantoms"), "--count", "20", "--seed", "11"])
    data = {"dataset_dir": str(tmp_path / "phantoms"), "output_dir": str(tmp_path / "run")}
    run("msk_sam", "train", **data, epochs=2, batch_size=4, loader_workers=0, amp=False)
    assert [bool(row["val_dice_own_boxes"]) for row in history(tmp_path / "run")] == [False, True]
    assert export(["bundles/msk_sam", str(tmp_path / "run" / "best.pt"), "--output", str(tmp_path / "copy")]) == 0
    load_bundle(tmp_path / "copy")
    run("msk_sam", "train", "evaluate", **data)
    assert (tmp_path / "run" / "metrics.csv").read_text("utf-8").startswith("val_dice")
