"""Fetch a published Segment Anything checkpoint into the bundle, checked against its sha256.

``python -m training.download sam_vit_b`` (375 MB), ``sam_vit_l`` (1.2 GB), ``sam_vit_h`` (2.6 GB) or ``mobile_sam``
(40 MB).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.datasets.errors import or_exit
from training.learning.published_checkpoints import fetch


def main(arguments: list[str] | None = None) -> int:
    """Fetch a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m training.download", description=__doc__)
    parser.add_argument("checkpoint", choices=["sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam"])
    parser.add_argument("--bundle", type=Path, default=Path("bundles/msk_sam"))
    options = parser.parse_args(arguments)
    file = or_exit(fetch, options.bundle, options.checkpoint)
    sys.stdout.write(
        f"{file}\nset segmentation: checkpoint: {options.checkpoint} in app.yaml; zoom: null shows it the whole image\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
