"""Run the application as a user does: a process of its own, its log and its output folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Run:
    code: int
    log: str
    output: Path

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.output / "result.json").read_text("utf-8"))

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        return {image["file"]: image for study in self.result["studies"] for image in study["images"]}

    @property
    def objects(self) -> list[Path]:
        return sorted(self.output.glob("*/*.dcm"))


def run(
    source: Path, output: Path, *flags: str, command: tuple[str, ...] = ("-m", "monai_app"), **environment: str
) -> Run:
    done = subprocess.run(
        [sys.executable, *command, "-i", str(source), "-o", str(output), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=os.environ | environment,
    )
    return Run(done.returncode, done.stdout + done.stderr, output)
