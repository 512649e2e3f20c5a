"""Independent judges of DICOM objects."""

from __future__ import annotations

import subprocess
from pathlib import Path


def dciodvfy_errors(path: Path) -> list[str]:
    """David Clunie's IOD validator; it writes to standard error and always ends with 0."""
    done = subprocess.run(
        ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False, errors="replace"
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def dcentvfy_errors(paths: list[Path]) -> list[str]:
    """Whether the objects of one study agree on patient and study."""
    done = subprocess.run(["dcentvfy", *map(str, paths)], capture_output=True, text=True, check=False, errors="replace")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def dsrdump_errors(path: Path) -> list[str]:
    """OFFIS DCMTK's reader of structured reports."""
    done = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=False, errors="replace")
    lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
    return lines or ([] if done.returncode == 0 else [f"exit code {done.returncode}"])
