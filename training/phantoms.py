"""Procedural radiographs of a limb with a known finding, for tests, the demonstration and training.

``python -m training.phantoms OUT --count 200`` writes PNG images, masks and a manifest, as
``training.datasets.manifest`` reads it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from training.datasets.errors import or_exit
from training.datasets.phantoms import FINDINGS, draw_phantom, mask_box

_SPLITS = ("train",) * 8 + ("val", "test")  # taken by pairs: one without and one with a finding


def write_phantoms(folder: Path, count: int, seed: int) -> Iterator[dict[str, str]]:
    """Write ``count`` phantoms as PNG, half of them without a finding, and yield their manifest rows."""
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        finding = "none" if index % 2 == 0 else FINDINGS[1 + (index // 2) % 3]
        phantom = draw_phantom(seed * 1_000_000 + index, finding)
        name = f"{index:05d}.png"
        Image.fromarray(np.round(phantom.pixels * 255).astype(np.uint8)).save(folder / "images" / name)
        row = {"file": f"images/{name}", "split": _SPLITS[(index // 2) % len(_SPLITS)]}
        row |= (
            {"label": "abnormal", "mask_file": f"masks/{name}"}
            if finding != "none"
            else {"label": "normal", "mask_file": ""}
        )
        if finding != "none":
            Image.fromarray(phantom.mask).save(folder / "masks" / name)
        boxes = [mask_box(phantom.mask)] if finding != "none" else []
        yield row | {"boxes_xyxy": json.dumps(boxes), "body_part": "phantom", "group_id": f"phantom-{seed}-{index}"}


def main(arguments: list[str] | None = None) -> int:
    """Write a folder of phantoms."""
    parser = argparse.ArgumentParser(prog="python -m training.phantoms", description=__doc__)
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    or_exit(write_data_set, options)
    sys.stdout.write(f"{options.count} phantoms in {options.folder}\n")
    return 0


def write_data_set(options: argparse.Namespace) -> None:
    """Write images, masks and the manifest."""
    options.folder.mkdir(parents=True, exist_ok=True)
    with (options.folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ["file", "split", "label", "mask_file", "boxes_xyxy", "body_part", "group_id"]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in write_phantoms(options.folder, options.count, options.seed):
            writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
