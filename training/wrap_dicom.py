"""PNG or JPEG radiographs -> CR or DX objects "for presentation", for running the application on image collections.

``python -m training.wrap_dicom IMAGES OUT --body-part WRIST`` wraps a folder or one file; a folder with a
``manifest.csv`` (or a manifest) gives body parts, studies and splits: ``python -m training.wrap_dicom data/fracatlas
OUT --split test``. The pixels stay as they are. Patient data are made up from a hash, and the header says so. Nothing
else is made up: of body part, side, view and orientation the header holds what is known. Such an object is a valid CR
image; a DX image also needs the detector's pixel spacing, a side and an orientation, which collections rarely tell.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from operators.records.codes import BODY_PARTS
from training.datasets.dicom_wrapping import KINDS, Description, list_images, read_stored, wrap
from training.datasets.errors import or_exit


def main(arguments: list[str] | None = None) -> int:
    """Wrap images."""
    parser = argparse.ArgumentParser(prog="python -m training.wrap_dicom", description=__doc__)
    parser.add_argument("source", type=Path, help="an image, a folder of images, or a folder with manifest.csv")
    parser.add_argument("output", type=Path, help="output folder")
    parser.add_argument("--kind", choices=sorted(KINDS), default="CR", help="kind of image; default: CR")
    parser.add_argument(
        "--body-part", choices=["", *sorted(BODY_PARTS)], default="", help="Body Part Examined of all images"
    )
    parser.add_argument("--spacing-mm", type=float, help="pixel spacing at the detector, mm, of all images")
    parser.add_argument("--split", choices=["train", "val", "test"], help="only this split of a manifest")
    options = parser.parse_args(arguments)
    if not options.source.exists():
        parser.error(f"{options.source}: no such file or folder")
    images = or_exit(lambda: list(list_images(options.source, options.body_part, options.split)))
    keys = Counter(description.key for _, description in images)
    for path, description in images:
        if keys[description.key] > 1:
            parser.error(f"{path}: another image is named {description.key} too; rename one")
    or_exit(write_images, images, options)
    sys.stdout.write(f"{len(images)} images wrapped in {options.output}\n")
    return 0 if images else 1


def write_images(images: Sequence[tuple[Path, Description]], options: argparse.Namespace) -> None:
    """Wrap every image and write it into the output folder."""
    for path, description in tqdm(images, unit="image", disable=not sys.stderr.isatty()):
        file = options.output / f"{description.key}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        stored = read_stored(path)
        ratio = None if path.suffix.lower() == ".png" else stored.nbytes / path.stat().st_size
        described = replace(description, kind=options.kind, spacing_mm=options.spacing_mm, jpeg_ratio=ratio)
        wrap(stored, described).save_as(file, enforce_file_format=True)


if __name__ == "__main__":
    sys.exit(main())
