"""What dcmqi's programs read; run by the Python that has it. Standard input and output: ``tests.readers.programs``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

PROGRAMS = Path(sys.executable).parent


def run(program: str, *arguments: str) -> None:
    done = subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise ValueError(" ".join((done.stdout + done.stderr).splitlines()[-2:]))


def groups(path: str) -> list[dict[str, Any]]:
    """Return the measurement groups of a report."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        run("tid1500reader", "--inputDICOM", path, "--outputMetadata", str(output))
        report = json.loads(output.read_text("utf-8"))
    return [
        {
            "uid": group["TrackingUniqueIdentifier"],
            "values": [float(item["value"]) for item in group.get("measurementItems", ())],
        }
        for group in report["Measurements"]
    ]


def segments(path: str) -> dict[int, dict[str, Any]]:
    """Return the pixels of each segment; the levels of a heat map are one segment."""
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd")
        described = json.loads((Path(folder) / "meta.json").read_text("utf-8"))["segmentAttributes"]
        labels = [segment["labelID"] for file in described for segment in file]
        for file in sorted(Path(folder).glob("*.nrrd")):
            (pixels,) = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file))  # one slice
            fractional = not set(np.unique(pixels)) <= {0, *labels}
            for label in [labels[0]] if fractional else set(np.unique(pixels)) - {0}:
                levels = pixels if fractional else pixels == label
                rows, columns = levels.shape
                digest = sha256(levels.astype(np.uint8).tobytes()).hexdigest()
                found[int(label)] = {"image": None, "rows": rows, "columns": columns, "sha256": digest}
    return found


def reading(kind: str, path: str) -> dict[str, Any]:
    try:
        return {"groups": groups(path)} if kind == "reports" else {"segments": segments(path)}
    except (ValueError, KeyError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    studies = json.load(sys.stdin)["studies"]
    kinds = ("reports", "segmentations")
    json.dump({path: reading(kind, path) for study in studies for kind in kinds for path in study[kind]}, sys.stdout)
