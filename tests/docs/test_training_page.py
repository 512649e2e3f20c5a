"""Every command of docs/training.md, in order, in a folder with nothing but the bundles and three small data sets.

Bash reads the command lines, so that a function, a variable or a pattern of the page is what a user's shell makes of
it. The commands run in one process, which saves the start of Python for each, with a small network, small images and
options that make them short.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image

from operators.networks.configuration import read_config
from tests.docs.recipes import FENCE, ROOT
from tests.phantoms import radiograph, save, stored_phantom
from training.describe import main as describe
from training.mura_phantoms import main as write_mura

PAGE = ROOT / "docs" / "training.md"
COPIED = ("msk_resnet50", "msk_sam")
SIDE = 160  # pixels that images are scaled to, instead of 640
NETWORK = "resnet18"  # instead of resnet50
SPLITS = {"train": 24, "val": 14, "test": 10}
# What the page leaves to the reader.
NAMES = {"DATA": "data/fracatlas", "DIR": "dicom", "IMAGES": "data/fracatlas/images", "boxes.csv": "data/boxes.csv"}
LEARNED = {"epochs": 1, "batch_size": 4, "images_per_epoch": 64, "crop_size": 64, "learning_rate": 0.002}
SHORT = {"epochs": 1, "batch_size": 2, "loader_workers": 0, "amp": False}
# Options that make a command short, by a word of it: the first that fits.
OPTIONS = {
    "train_localization.json": SHORT | {"images_per_epoch": 4, "image_size": 64},
    "train_weak.json": SHORT | {"images_per_epoch": 4, "image_size": 64},
    "train_paper.json": SHORT,
    "train_decoder.json": SHORT,
    "msk_sam/configs/train.json": SHORT | {"batch_size": 4},
    "evaluate.json": {"loader_workers": 0},
    "train.json": SHORT | LEARNED,
    "training.phantoms": {"count": 20},
    "training.evaluate": {"bundle": ROOT / "bundles" / "msk_resnet50"},  # whose weights the application has
    "training.localization_benchmark": {"limit": 1, "timed": 1, "resamples": 10, "arms": "cam"},
}


def commands() -> list[str]:
    """Return the command lines of the page; the first block defines what the others use."""
    blocks = [code for language, code in FENCE.findall(PAGE.read_text("utf-8")) if not language]
    lines = "".join(blocks[1:]).replace("\\\n", " ").splitlines()
    assert len(lines) > 20
    return lines


def words_of(line: str, folder: Path) -> list[list[str]]:
    """Return what bash makes of a command line: the programs that it starts, with their arguments."""
    _, definitions = FENCE.findall(PAGE.read_text("utf-8"))[0]
    told = "".join(f'{name}() {{ printf "%s\\0" {name} "$@"; echo; }}\n' for name in ("python", "osteomap", "cp"))
    script = f"{told}{definitions}{line}\n"
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=True)
    return [started.split("\0")[:-1] for started in done.stdout.splitlines()]


def shortened(words: list[str]) -> list[str]:
    """Return a command with the reader's names and the options that make it short."""
    words = [NAMES.get(word, word) for word in words]
    chosen = next((options for part, options in OPTIONS.items() if any(part in word for word in words)), {})
    return words + [text for name, value in chosen.items() for text in (f"--{name}", str(value))]


def start(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command as the shell would; it has to end with exit code 0."""
    if words[:2] == ["python", "-m"]:
        monkeypatch.setattr(sys, "argv", words[2:])
        try:
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            assert ended.code in (0, None), f"{' '.join(words)}: {ended.code}"
        return
    program = [str(Path(sys.executable).parent / "osteomap")] if words[0] == "osteomap" else [words[0]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, " ".join(words) + "\n" + done.stdout + done.stderr


# --- what the reader has


def write_fracatlas(folder: Path) -> None:
    """Write a data set that is learned in seconds: what is abnormal has a patch of noise, and its mask."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    random = np.random.default_rng(5)
    rows = []
    for number, split in enumerate(name for name, count in SPLITS.items() for _ in range(count)):
        pixels = np.tile(np.linspace(40, 120, 128), (160, 1)) + random.normal(0, 2, (160, 128))
        row = {"file": f"images/{number}.png", "split": split, "label": "normal", "body_part": "wrist"}
        if number % 2:
            top, left = (int(place) for place in random.integers(8, 60, 2))
            area = slice(top, top + 64), slice(left, left + 60)
            pixels[area] += random.normal(0, 60, (64, 60))
            mask = np.zeros(pixels.shape, bool)
            mask[area] = True
            Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
            box = [left, top, left + 60, top + 64]
            row |= {"label": "abnormal", "mask_file": f"masks/{number}.png", "boxes_xyxy": json.dumps([box])}
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / row["file"])
        rows.append(row)
    write_rows(folder / "manifest.csv", rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    names = ["file", "split", "label", "body_part", "mask_file", "boxes_xyxy"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [name for name in names if any(name in row for row in rows)], restval="")
        writer.writeheader()
        writer.writerows(rows)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def make_small(folder: Path) -> None:
    """Make the classifier a small network on small images, and put one in the place of the published segmenter."""
    classifier = folder / "bundles" / "msk_resnet50"
    for config in (classifier / "configs" / "inference.json", classifier / "configs" / "paper.json"):
        text = config.read_text("utf-8").replace('"resnet50"', f'"{NETWORK}"')
        config.write_text(text.replace('"spatial_size": 640', f'"spatial_size": {SIDE}'), "utf-8")
    network = read_config(classifier).get_parsed_content("network_def")
    torch.save({"network": network.state_dict()}, folder / "random.pt")
    sam = folder / "bundles" / "msk_sam"
    network = json.loads((sam / "configs" / "inference.json").read_text("utf-8"))["network_def"]
    network["embedding_size"] = 16
    edit(sam / "configs" / "sam_vit_b.json", image_size=128, network_def=network)
    state = read_config(sam, "sam_vit_b").get_parsed_content("network_def").state_dict()
    listing = yaml.safe_load((sam / "large_files.yml").read_text("utf-8"))
    entry = next(item for item in listing["large_files"] if "sam_vit_b" in item["path"])
    torch.save(state, sam / entry["path"])
    entry["hash_val"] = hashlib.sha256((sam / entry["path"]).read_bytes()).hexdigest()
    (sam / "large_files.yml").write_text(yaml.safe_dump(listing), "utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in COPIED:
        shutil.copytree(ROOT / "bundles" / name, tmp_path / "bundles" / name)
    make_small(tmp_path)
    write_fracatlas(tmp_path / "data" / "fracatlas")
    (tmp_path / "data" / "mine").symlink_to("fracatlas")
    assert (
        write_mura([str(tmp_path / "data"), "--patients", "16", "--parts", "XR_WRIST", "XR_HAND", "--seed", "11"]) == 0
    )
    with (tmp_path / "data" / "fracatlas" / "manifest.csv").open(encoding="utf-8") as file:
        abnormal = [row for row in csv.DictReader(file) if row["boxes_xyxy"]][:2]
    write_rows(
        tmp_path / "data" / "boxes.csv",
        [{"file": f"fracatlas/{row['file']}", "boxes_xyxy": row["boxes_xyxy"]} for row in abnormal],
    )
    save(radiograph("a", stored=stored_phantom(3, "gap"), BitsStored=12, HighBit=11), tmp_path / "dicom" / "a.dcm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def random_weights(encoder):
    torch.manual_seed(0)
    name = encoder.pretrained_cfg["architecture"]
    return timm.create_model(name, pretrained=False, num_classes=0).state_dict()


@pytest.mark.slow
def test_every_command_of_the_page_works_in_order(folder, monkeypatch):
    monkeypatch.setattr("training.learning.initialise.download_imagenet", random_weights)
    for name, checkpoints in (("msk_resnet50", ["random.pt"]), ("msk_sam", [])):
        start(["python", "-m", "training.export", f"bundles/{name}", *checkpoints], folder, monkeypatch)
    done = [words for line in commands() for words in words_of(line, folder) if run(words, folder, monkeypatch)]
    assert {"describe", "phantoms", "mura_phantoms", "export", "fit", "compare", "evaluate"} <= {
        word.removeprefix("training.") for words in done for word in words[2:3]
    }
    for name in ("msk_resnet50", "msk_resnet50_paper", "msk_sam"):
        assert {"best.pt", "history.csv", "checkpoint.pt"} <= {path.name for path in (folder / "runs" / name).iterdir()}
    assert describe(["data/mura_shaped"]) == 0
    for page in ("runs/val/evaluation.html", "runs/comparison/comparison.html", "build/evaluation/evaluation.html"):
        assert (folder / page).is_file()
    assert (folder / "OUT" / "result.json").is_file()
    assert (folder / "OUT" / "scores.csv").is_file()
    assert (folder / "runs" / "localization" / "localization.md").is_file()


def run(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run one command of the page and return it."""
    start(shortened(words), folder, monkeypatch)
    return words
