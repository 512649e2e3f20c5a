"""Build the image with the tool that is there: docker, podman or buildah."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from monai_app.packaging.errors import PackagingError
from monai_app.packaging.requirements import read_pins

BUILDERS = ("docker", "podman", "buildah")
TAG = re.compile(r"[a-z0-9][a-z0-9._/:-]*[a-z0-9]")


def builder(name: str | None) -> str:
    """Return the builder that is asked for, or the first that is installed.

    Raises
    ------
    PackagingError
        If it is not installed, or none is.
    """
    if name is not None and name not in BUILDERS:
        raise PackagingError(f"{name!r} is no builder; there are {', '.join(BUILDERS)}")
    found = next((tool for tool in ([name] if name else BUILDERS) if shutil.which(tool)), None)
    if found is None:
        raise PackagingError(
            f"{name or 'no builder'} is {'not ' if name else ''}installed; install one of {', '.join(BUILDERS)}, "
            "or build build/map elsewhere"
        )
    return found


def download_wheels(context: Path) -> None:
    """Download the packages of the context into it, with pip's own settings, for this version of Python.

    Raises
    ------
    PackagingError
        If one cannot be had.
    """
    wheels = context.parent / "map-wheels"  # kept between builds
    for name in ("requirements.txt", "sbom.txt"):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--find-links", str(wheels), "--dest", str(wheels)]
        done = subprocess.run(  # noqa: S603 - pip
            [*command, "--requirement", str(context / "pip" / name)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            cause = done.stderr.strip().splitlines()[-1:] or ["pip ended without a message"]
            raise PackagingError(f"the packages cannot be downloaded ({cause[0]})")
    wanted = {
        (name, Version(pin.partition("==")[2]))
        for file in ("requirements.txt", "sbom.txt")
        for name, pin in read_pins((context / "pip" / file).read_text("utf-8")).items()
    }
    (context / "wheels").mkdir()
    for path in sorted(wheels.glob("*.whl")):
        if parse_wheel_filename(path.name)[:2] in wanted:
            (context / "wheels" / path.name).hardlink_to(path)


def build_command(tool: str, context: Path, tag: str, base_image: str | None, timestamp: int) -> list[str]:
    """Return the command that builds a context into an image."""
    arguments = ["--build-arg", f"BASE_IMAGE={base_image}"] if base_image else []
    arguments += ["--tag", tag, "--file", str(context / "Containerfile")]
    if tool == "docker":
        return ["docker", "build", *arguments, "--build-arg", f"SOURCE_DATE_EPOCH={timestamp}", str(context)]
    same = ["--format", "docker", "--timestamp", str(timestamp), *arguments, str(context)]
    return [tool, "build", *same] if tool == "podman" else ["buildah", "build", "--isolation", "chroot", *same]


def build(command: Sequence[str]) -> None:
    """Run the builder; its messages go to the terminal.

    Raises
    ------
    PackagingError
        If it fails; it tags nothing then.
    """
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - the builder that was found
        raise PackagingError(
            f"{command[0]} could not build the image, as it says above; check its rights, the base image and the space"
        )


def check_tag(tag: str) -> str:
    """Return a tag that builders accept, or raise PackagingError."""
    if not TAG.fullmatch(tag):
        raise PackagingError(f"{tag!r} is no tag of an image; write name:version in lower case")
    return tag
