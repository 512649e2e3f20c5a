"""Fetch what is published elsewhere, checked against its checksum; an interrupted download goes on when run again.

``python -m training.download fracatlas`` fetches the data set FracAtlas (340 MB) from figshare into ``data/fracatlas``.
``sam_vit_b`` (375 MB), ``sam_vit_l`` (1.2 GB), ``sam_vit_h`` (2.6 GB) and ``mobile_sam`` (40 MB) are published Segment
Anything checkpoints, which are put into the bundle.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.datasets.downloads.figshare import ARTICLE, fetch_fracatlas
from training.datasets.errors import or_exit
from training.learning.published_checkpoints import fetch

FRACATLAS = "fracatlas"
CHECKPOINTS = ("sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam")


def main(arguments: list[str] | None = None) -> int:
    """Fetch a data set or a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m training.download", description=__doc__)
    parser.add_argument("name", choices=[FRACATLAS, *CHECKPOINTS])
    parser.add_argument("--output", type=Path, default=Path("data/fracatlas"), help="where FracAtlas is put")
    parser.add_argument("--bundle", type=Path, default=Path("bundles/msk_sam"), help="where a checkpoint is put")
    options = parser.parse_args(arguments)
    if options.name == FRACATLAS:
        sys.stdout.write(
            f"{or_exit(fetch_fracatlas, options.output, ARTICLE)}\nuse it with --dataset_dir {options.output}\n"
        )
        return 0
    file = or_exit(fetch, options.bundle, options.name)
    sys.stdout.write(
        f"{file}\nset segmentation: checkpoint: {options.name} in app.yaml; zoom: null shows it the whole image\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
