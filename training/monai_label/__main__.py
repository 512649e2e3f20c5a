"""Label radiographs with MONAI Label, and make training data of what was corrected.

``python -m training.monai_label serve STUDIES`` starts the server, in the environment of ``make monai-label``;
``python -m training.monai_label manifest STUDIES OUT`` writes what was corrected as a data set with a manifest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.datasets.errors import or_exit
from training.monai_label.server import Server

BUNDLES = Path(__file__).resolve().parent.parent.parent / "bundles"


def main(arguments: list[str] | None = None) -> int:
    """Serve, or write a manifest."""
    parser = argparse.ArgumentParser(prog="python -m training.monai_label", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="start MONAI Label's server")
    serve.add_argument("studies", type=Path, help="folder of PNG, JPEG, NIfTI or DICOM files; labels are kept in it")
    serve.add_argument("--models", type=Path, default=BUNDLES, help="folder of the bundles")
    serve.add_argument("--classifier", default="msk_resnet50", help="bundle that makes the heat map")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; there is no password")
    serve.add_argument("--port", type=int, default=8000)
    manifest = commands.add_parser("manifest", help="write what was corrected as training data")
    manifest.add_argument("studies", type=Path, help="the server's folder")
    manifest.add_argument("output", type=Path, help="folder for images, masks and manifest.csv")
    options = parser.parse_args(arguments)
    if options.command == "serve":
        or_exit(Server(options.studies, options.models, options.classifier, options.host, options.port).run)
    else:
        write_manifest(options.studies, options.output)
    return 0


def write_manifest(studies: Path, output: Path) -> None:
    """Write what was corrected as a data set, and say what was left out."""
    from operators.image_files import Decoder  # noqa: PLC0415 - seconds, which --help need not take
    from training.monai_label.corrections import write_data_set  # noqa: PLC0415

    with Decoder(timeout_s=60, memory_mib=4096) as decoder:
        written = or_exit(write_data_set, studies, output, decoder)
    for problem in written.problems:
        sys.stderr.write(f"left out: {problem.path.name}: {problem.reason}\n")
    with_mask = sum(record.mask is not None for record in written.records)
    sys.stdout.write(
        f"{len(written.records)} corrected images in {output}, {with_mask} with a finding; images that are not DICOM "
        "count as patients of their own: where they are not, correct group_id and split in manifest.csv\n"
    )


if __name__ == "__main__":
    sys.exit(main())
