"""The demonstration: phantoms with known findings in, and a check that the application found them.

``python -m training.demo write FOLDER`` writes a normal forearm, a fractured one and a chest-like image;
``python -m training.demo check OUTPUT`` compares the application's results with the findings that were drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from operators.records.geometry import PixelBox, intersection_over_union
from training.datasets.dicom_wrapping import Description, wrap
from training.datasets.errors import or_exit
from training.datasets.phantoms import draw_phantom, mask_box

SPACING_MM = 0.4
FRACTURE_SEED, NORMAL_SEED, CHEST_SEED = 900_001, 900_002, 900_003
EXPECTED = {"fracture.dcm": "abnormal", "normal.dcm": "normal", "chest.dcm": "declined"}


def write(folder: Path) -> None:
    """Write the three images, each a study of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, finding, part in (
        ("normal", NORMAL_SEED, "none", "FOREARM"),
        ("fracture", FRACTURE_SEED, "step", "FOREARM"),
        ("chest", CHEST_SEED, "none", "CHEST"),
    ):
        phantom = draw_phantom(seed, finding)
        description = Description(
            f"demo-{name}",
            f"demo-{name}",
            "demo",
            kind="DX",
            body_part=part,
            laterality="L",
            patient_orientation=("L", "F"),
            view_position="AP",
            spacing_mm=SPACING_MM,
            burned_in_annotation="NO",
        )
        stored = np.round(phantom.pixels * 65535).astype(np.uint16)
        wrap(stored, description).save_as(folder / f"{name}.dcm", enforce_file_format=True)


def check(output: Path) -> list[str]:
    """Return what is wrong with the application's results on the three images."""
    result = json.loads((output / "result.json").read_text("utf-8"))
    images = {image["file"]: image for study in result["studies"] for image in study["images"]}
    problems = [
        f"{name} should be {state} and is {images[name]['state'] if name in images else 'missing'}"
        for name, state in EXPECTED.items()
        if name not in images or images[name]["state"] != state
    ]
    drawn = PixelBox(*mask_box(draw_phantom(FRACTURE_SEED, "step").mask))
    boxes = [
        PixelBox(box["left"], box["top"], box["right"], box["bottom"])
        for box in images.get("fracture.dcm", {}).get("boxes", [])
    ]
    best = max((intersection_over_union(box, drawn) for box in boxes), default=0.0)
    if best < 0.2:
        problems.append(f"no box lies on the fracture (best overlap {best:.2f}, at least 0.20 is expected)")
    missing = [
        name for study in result["studies"] for name in study["outputs"] if not (output / name["file"]).is_file()
    ]
    return problems + [f"{written['file']} was not written" for written in missing]


def main(arguments: list[str] | None = None) -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(prog="python -m training.demo", description=__doc__)
    parser.add_argument("action", choices=["write", "check"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if options.action == "write":
        or_exit(write, options.folder)
        return 0
    problems = or_exit(check, options.folder)
    for problem in problems:
        sys.stderr.write(f"demo: {problem}\n")
    if not problems:
        sys.stdout.write(f"demo: as expected. Open {options.folder / 'report.html'}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
