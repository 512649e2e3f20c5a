"""Programs of others that read the objects as a client does: which there are, and how they are asked.

A program gets ``{"studies": [{"images", "reports", "segmentations", "pictures"}]}``, lists of paths, on its standard
input, and prints a reading of each path that it knows: ``{path: reading}``, which is one of

- ``{"boxes": [{"uid", "image", "points"}]}``: tracking UID, SOP Instance UID, corners in pixels of the image (x, y);
- ``{"groups": [{"uid", "values"}]}``: the measurement groups of a report, their tracking UIDs and measured values;
- ``{"segments": {number: {"image", "rows", "columns", "sha256"}}}``: of the pixels as bytes, row by row;
- ``{"picture": {"rows", "columns", "sha256"}}``: the same of a Secondary Capture;
- ``{"error": text}``: it cannot read the object.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "build" / "readers"  # what ``make readers`` sets up
PYTHON = FOLDER / "venv" / "bin" / "python"
GROUP_OF_KIND = {
    "sr": "reports",
    "seg": "segmentations",
    "heatmap": "segmentations",
    "labelmap": "segmentations",
    "sc": "pictures",
}
Reading = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """``kinds`` of objects that it reads, ``unknown``: that it says it cannot read; ``compared``: what with what."""

    package: str
    program: str
    kinds: tuple[str, ...]
    unknown: tuple[str, ...]
    compared: str


READERS: Mapping[str, Reader] = {
    "dcmqi": Reader(
        *("dcmqi", "read_with_dcmqi.py", ("sr", "seg", "heatmap", "labelmap"), ()),
        "`tid1500reader`: a group with the probability of each image; groups with tracking UID, peak and area of each "
        "finding. `segimage2itkimage`: every pixel of every segment",
    ),
    "pydicom-seg": Reader(
        *("pydicom-seg", "read_with_pydicom_seg.py", ("seg", "heatmap"), ("labelmap",)),
        "every pixel of every segment, the image that it belongs to",
    ),
    "cornerstone adapters": Reader(
        *("@cornerstonejs/adapters", "read_with_cornerstone.mjs", ("sr", "seg", "labelmap"), ("heatmap",)),
        "the box of each finding on its image, within a pixel, with its tracking UID; every pixel of every segment on "
        "the image that it belongs to",
    ),
    "dwv": Reader(
        *("dwv", "read_with_dwv.mjs", ("sr", "seg", "sc"), ("heatmap", "labelmap")),
        "the same of boxes and segments that do not overlap; every pixel of the picture",
    ),
}


def read(reader: Reader, studies: Sequence[Mapping[str, Sequence[Path]]]) -> dict[Path, Reading]:
    """Return what a program reads of the objects of studies."""
    asked = [{name: [str(path) for path in paths] for name, paths in study.items()} for study in studies]
    script = HERE / reader.program
    command = [PYTHON, script]
    if script.suffix == ".mjs":  # Node looks for packages in the folders above a script
        command = ["node", shutil.copy(script, FOLDER)]
    done = subprocess.run(
        command, input=json.dumps({"studies": asked}), capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError(f"{reader.program}: {done.stderr[-2000:]}")
    return {Path(path): reading for path, reading in json.loads(done.stdout.splitlines()[-1]).items()}


def version(reader: Reader) -> str:
    """Return the version that is pinned."""
    if reader.program.endswith(".mjs"):
        packages = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]
        return str(packages[f"node_modules/{reader.package}"]["version"])
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (HERE / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    return str(pins[reader.package])
