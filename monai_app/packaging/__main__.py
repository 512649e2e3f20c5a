"""``osteomap map build|context``: make the container image, or only what it is built from."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from monai_app import __version__
from monai_app.packaging.builders import build, build_command, builder, check_tag, download_wheels
from monai_app.packaging.context import write_context
from monai_app.packaging.errors import PackagingError
from monai_app.packaging.requirements import VARIANTS
from operators.records.errors import OsteoMapError

ROOT = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Write the context and, for ``build``, make the image."""
    options = _parser().parse_args(arguments)
    try:
        tool = builder(options.builder) if options.command == "build" else ""
        tag = check_tag(options.tag or f"osteomap:{__version__}")
        commit, timestamp = _commit()
        write_context(ROOT, options.folder, options.bundles, options.variant, commit)
        sys.stdout.write(f"{options.folder}: the build context of {tag}\n")
        if tool:
            download_wheels(options.folder)
            build(build_command(tool, options.folder, tag, options.base_image, timestamp))
            sys.stdout.write(f"{tag} is built; run it as docs/packaging.md says\n")
    except (PackagingError, OsteoMapError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osteomap map", description="Make the container image, or what it is built from."
    )
    parser.add_argument("command", choices=("context", "build"))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "map", help="where the build context goes")
    parser.add_argument("--bundles", nargs="*", default=[], help="default: those that app.yaml names")
    parser.add_argument("--variant", choices=VARIANTS, default="cpu", help="cuda keeps the libraries for GPUs")
    parser.add_argument("--tag", help="prefix/name:version of the image")
    parser.add_argument("--base-image", help="with Python 3.11 to 3.13 and glibc 2.35 or newer")
    parser.add_argument("--builder", help="docker, podman or buildah; default: the first that is installed")
    return parser


def _commit() -> tuple[str, int]:
    """Return the commit of the checkout and its time; of a folder that is no checkout "unknown" and 0."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%H %ct"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown", 0
    commit, seconds = done.stdout.split()
    return commit, int(seconds)


if __name__ == "__main__":
    sys.exit(main())
