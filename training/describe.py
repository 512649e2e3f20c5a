"""``python -m training.describe DATA`` prints what is in a data set, ``--output DIR`` writes it, with a picture.

Counts by body part, split and class, image sizes, class balance, views, hardware, masks and boxes, images that cannot
be used, and images that are the same to the pixel. DATA is anything that ``training.datasets.dataset`` reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.datasets.dataset import is_manifest, read_table
from training.datasets.description import describe
from training.datasets.description_page import markdown, write_description
from training.datasets.errors import or_exit
from training.datasets.manifest import ManifestError, check_for_training
from training.datasets.mura import PROTOCOLS


def main(arguments: list[str] | None = None) -> int:
    """Describe a data set."""
    parser = argparse.ArgumentParser(prog="python -m training.describe", description=__doc__)
    parser.add_argument("data", type=Path, help="a manifest, or the folder of a data set")
    parser.add_argument("--parts", nargs="+", default=[], help="only these body parts")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="official", help="how MURA is split")
    parser.add_argument("--output", type=Path, help="folder for description.md, .json and .png")
    return or_exit(describe_dataset, parser.parse_args(arguments))


def describe_dataset(options: argparse.Namespace) -> int:
    """Print and write the description.

    Returns
    -------
    The exit code: 0 if a training can start, 1 if it cannot, 2 if the data set cannot be read at all.
    """
    try:
        table = read_table(options.data, options.parts, options.protocol)
    except ManifestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    description = describe(table, options.data.parent if options.data.is_file() else options.data)
    sys.stdout.write(markdown(description))
    if options.output:
        write_description(description, options.output)
    try:
        check_for_training(table.records, options.data)
    except ManifestError as error:
        sys.stderr.write(f"not fit for training: {error}\n")
        return 1
    # A training leaves out the files of a published data set that are cut off; at all others it stops.
    set_aside = 0 if is_manifest(options.data) else len(table.problems)
    if stops := len(description.problems) - set_aside:
        sys.stderr.write(f"not fit for training: {stops} images cannot be used; see the list above\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
