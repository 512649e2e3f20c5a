"""Analyse a folder of DICOM files in memory: one line per study and per image; files are written only with --save."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monai_app import open_analyser


def main() -> None:
    """Analyse the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder, searched recursively, or one DICOM file")
    parser.add_argument("--save", type=Path, metavar="OUT", help="also write the DICOM objects to this folder")
    options = parser.parse_args()
    with open_analyser() as analyser:
        for study in analyser.analyse(options.folder):
            write(f"study {study.study_instance_uid}: {study.state}, probability {shown(study.probability)}")
            for image in study.images:
                boxes = [f"({box.left}, {box.top}) to ({box.right}, {box.bottom})" for box in image.boxes]
                found = image.reason or f"probability {shown(image.probability)}; boxes: {', '.join(boxes) or 'none'}"
                write(f"  {image.file}: {image.state}, {found}")
            if options.save is not None:
                study.save(options.save)


def shown(probability: float | None) -> str:
    """Return a probability with two decimals; it is None where no image was classified."""
    return "unknown" if probability is None else f"{probability:.2f}"


def write(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
