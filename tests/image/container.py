"""Run the image as a careful platform does: no network, no capabilities, any user, nothing writable but the results."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.monai_app.application import Run

TAG = os.environ.get("OSTEOMAP_MAP_TAG", "localhost/osteomap:test")
USER = "54321:0"  # a user ID without a name; group 0 as OpenShift gives it


def tool() -> str:
    """Return podman or docker, whichever has the image."""
    for name in ("podman", "docker"):
        if shutil.which(name):
            done = subprocess.run([name, "image", "inspect", TAG], capture_output=True, check=False)
            if done.returncode == 0:
                return name
    raise RuntimeError(f"no image {TAG}: make map-test builds it, or set OSTEOMAP_MAP_TAG")


def command(
    source: Path | None = None,
    output: Path | None = None,
    *arguments: str,
    mounts: Sequence[str] = (),
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command that runs the image; the output folder is made writable for everybody."""
    words = [tool(), "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--user", USER]
    if words[0] == "podman":
        words[1:1] = ["--runtime", "runc"]
        words += ["--no-healthcheck", "--read-only-tmpfs=false", "--ulimit", "nofile=1024:20000"]
        words += ["--ulimit", "nproc=4096:4096"]
    words += ["--security-opt", "no-new-privileges", "--ulimit", "stack=33554432:33554432"]
    words += ["--tmpfs", "/tmp:rw,size=64m,mode=1777", *options]  # noqa: S108 - a folder in the container
    if source is not None:
        words += ["--volume", f"{source}:/var/holoscan/input:ro"]
    if output is not None:
        output.mkdir(exist_ok=True)
        output.chmod(0o777)
        words += ["--volume", f"{output}:/var/holoscan/output"]
    for mount in mounts:
        words += ["--volume", mount]
    return [*words, TAG, *arguments]


def run(source: Path | None, output: Path, *arguments: str, **more: Sequence[str]) -> Run:
    """Run the image on a folder."""
    done = subprocess.run(
        command(source, output, *arguments, **more), capture_output=True, text=True, check=False, timeout=600
    )
    return Run(done.returncode, done.stdout + done.stderr, output)


def say(*arguments: str, **more: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run one of the image's own commands, such as show."""
    return subprocess.run(
        command(None, None, *arguments, **more), capture_output=True, text=True, check=False, timeout=600
    )
