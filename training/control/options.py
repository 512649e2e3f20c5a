"""The options of a training: the keys of the configurations that a user may set, as the table of docs/training.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.datasets.errors import InputError, or_exit

HEADING = "## Options"
INTRODUCTION = (
    "Written by `python -m training.control.options docs/training.md` from the configurations of the bundles. The\n"
    "defaults are those of `train.json`. An option is set on the command line, as in `--epochs 20`."
)
MEANINGS: Mapping[str, str] = {
    "dataset_dir": "The data: a manifest, or the folder of a data set.",
    "parts": "Body parts to use, such as `\"['wrist']\"`; none: all.",
    "protocol": "How MURA is split: `official` or `paper`.",
    "fold": "Which part of a cross-validation is `val`, such as `2/5`; null: the data's own splits.",
    "phantom_dir": "Phantoms whose split `train` is trained with, too.",
    "output_dir": "Where results go, and where an interrupted training is taken up again.",
    "cache_dir": "Where pre-processed images are kept.",
    "bundle_root": "The bundle, whose `inference.json` has the network and its pre-processing.",
    "initial_weights": "Where the encoder starts: `imagenet` to download its weights, or a file.",
    "initial_checkpoint": "A checkpoint of another training, such as its `best.pt`, to start from.",
    "relative_weights": "Weights of a MobileNetV2 to start from.",
    "teacher": "A bundle with a trained classifier to imitate.",
    "frozen": "Parts of the network that are not trained, by name.",
    "epochs": "Length of the training; the learning rate follows it.",
    "images_per_epoch": "Crops of an epoch; without effect where `abnormal_share` is null.",
    "batch_size": "Crops, images or findings of a step, of all processes together.",
    "crop_size": "Side of the crops, in pixels of the pre-processed image.",
    "image_size": "Side of the whole images that are trained on, in pixels of the pre-processed image.",
    "abnormal_share": "Share of abnormal images that are drawn, 0 to 1; null: each image once per epoch.",
    "learning_rate": "The highest rate of the schedule.",
    "weight_decay": "Weight decay of the optimizer.",
    "map_weight": "Weight of the loss that compares the map with the experts' masks; 0: labels alone.",
    "pointing_weight": "Weight of the loss on the brightest point of the map.",
    "validation_interval": "Epochs between two validations; the last epoch is always validated.",
    "patience": "Validations without improvement after which the training ends.",
    "checkpoint_minutes": "Longest time between two checkpoints; 0: one after each step.",
    "dry_run": "Check everything, compute one batch, and stop.",
    "seed": "Which images are drawn when, and how they are transformed.",
    "device": "Such as `cpu` or `cuda:0`.",
    "amp": "Whether the network runs in bfloat16.",
    "loader_workers": "Processes that prepare batches.",
    "mlflow": "Address of an MLflow server or data base to log to as well.",
    "zoom": "Side of the window, in longer sides of the box.",
    "edge_jitter": "Standard error of each edge of a box, in sides of the box.",
    "own_share": "Share of boxes with an error as our localizer makes it.",
    "own_shift": "Standard error of the centre of such a box, in sides of the box.",
    "own_log_size": "Standard error of the logarithm of its size.",
    "point_shares": "Shares of prompts with the box's centre, and with points in and about the finding.",
    "hard_power": "How much more often a finding with a low Dice is drawn; 0: each alike.",
    "checkpoint": "The model whose decoder is trained: `sam_vit_b`, `sam_vit_l`, `sam_vit_h` or `mobile_sam`.",
}
# What is computed where the user sets nothing.
COMPUTED: Mapping[str, str] = {
    "bundle_root": "the bundle of the configuration",
    "images_per_epoch": "as many as `train` has images",
    "device": "a GPU, or the processor where there is none",
    "amp": "where it is faster",
    "initial_checkpoint": "the published model",
    "output_dir": "`runs/CHECKPOINT_decoder`",
}
TRAIN = "train.json"
REPLACING = "multi_gpu_train.json"  # what it replaces is no option
NO_OPTIONS = ("imports", "+imports", "initialize", "run")


def settable(config: Mapping[str, Any], bundle: str, replaced: Iterable[str] = ()) -> dict[str, str]:
    """Return the keys of a configuration that a user may set -> default: plain values, and those of ``COMPUTED``."""
    options = {}
    for name, value in config.items():
        if name in {*replaced, *NO_OPTIONS} or "#" in name:
            continue
        if _is_plain(value):
            options[name] = f"`{value if isinstance(value, str) else json.dumps(value)}`".replace(bundle, "BUNDLE")
        elif name in COMPUTED:
            options[name] = COMPUTED[name]
    return options


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return not isinstance(value, dict) and not (isinstance(value, str) and value.startswith(("$", "@")))


def training_options(bundle_root: Path) -> dict[str, dict[str, str]]:
    """Return file name -> option -> default of a bundle's training configurations, ``train.json`` first."""
    configs = {
        path.name: json.loads(path.read_text("utf-8")) for path in (bundle_root / "configs").glob("*train*.json")
    }
    replaced = configs.pop(REPLACING, {})
    names = sorted(configs, key=lambda name: (name != TRAIN, name))
    return {name: settable(configs[name], bundle_root.name, replaced) for name in names}


def options_section(bundles: Path) -> str:
    """Return the section of docs/training.md on the options, in Markdown, made from the configurations of all bundles.

    Raises
    ------
    KeyError
        If an option has no meaning here.
    """
    options = {path.name: training_options(path) for path in sorted(bundles.iterdir()) if path.is_dir()}
    trained = {name: files for name, files in options.items() if "epochs" in files[TRAIN]}
    segmenters = {name: files for name, files in trained.items() if "zoom" in files[TRAIN]}
    classifiers = {name: files for name, files in trained.items() if name not in segmenters}
    parts = [
        f"{HEADING}\n\n{INTRODUCTION}",
        f"### Options of the classifiers\n\n{_table(classifiers)}",
        f"### Options of the segmenter\n\n{_table(segmenters)}",
        f"### What the other files set\n\n{_overlays(trained)}",
    ]
    return "\n\n".join(parts) + "\n"


def _table(bundles: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """Return the options of bundles of one kind with default and meaning."""
    names = dict.fromkeys(name for files in bundles.values() for options in files.values() for name in options)
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name in (name for name in MEANINGS if name in names):
        defaults = {bundle: files[TRAIN][name] for bundle, files in bundles.items() if name in files[TRAIN]}
        lines.append(f"| `--{name}` | {_default(defaults, bundles, name)} | {MEANINGS[name]} |")
    for name in names:
        MEANINGS[name]  # none is left out
    return "\n".join(lines)


def _default(defaults: Mapping[str, str], bundles: Mapping[str, Mapping[str, Mapping[str, str]]], name: str) -> str:
    """Return a default; where bundles differ, the most frequent one and those of the others."""
    if not defaults:
        files = sorted({file for own in bundles.values() for file, options in own.items() if name in options})
        return f"only in {', '.join(f'`{file}`' for file in files)}"
    (usual, count), *_ = Counter(defaults.values()).most_common()
    others = [f"{value} in `{bundle}`" for bundle, value in defaults.items() if value != usual]
    only = [f"`{bundle}`" for bundle in defaults] if count + len(others) < len(bundles) - 1 else []
    absent = [f"`{bundle}`" for bundle in bundles if bundle not in defaults] if not only else []
    notes = [
        *others,
        *([f"only in {' and '.join(only)}"] if only else []),
        *([f"not in {absent[0]}"] if absent else []),
    ]
    return "; ".join([usual, *notes])


def _overlays(bundles: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """Return what the configurations beside ``train.json`` set; one row for those that are alike."""
    rows: dict[tuple[str, str], list[str]] = {}
    for bundle, files in bundles.items():
        for file, options in files.items():
            if file != TRAIN:
                changed = ", ".join(f"`{name}` {value}" for name, value in options.items())
                rows.setdefault((file, changed), []).append(f"`{bundle}`")
    lines = ["| file | bundles | options |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{file}` | {', '.join(of)} | {changed} |" for (file, changed), of in rows.items())])


def main(arguments: list[str] | None = None) -> int:
    """Replace the section of a page, or print it."""
    parser = argparse.ArgumentParser(prog="python -m training.control.options", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="the page whose section is replaced")
    options = parser.parse_args(arguments)
    section = options_section(Path(__file__).resolve().parent.parent.parent / "bundles")
    if options.page is None:
        sys.stdout.write(section)
    else:
        or_exit(_replace_section, options.page, section)
    return 0


def _replace_section(page: Path, section: str) -> None:
    """Replace the section of a page, up to the next heading of its level; raise InputError if it has none."""
    before, found, rest = page.read_text("utf-8").partition(f"{HEADING}\n")
    if not found:
        raise InputError(f"{page} has no section {HEADING!r}; write the heading where the section is to stand")
    _, following, after = rest.partition("\n## ")
    page.write_text(before + section + following + after, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
