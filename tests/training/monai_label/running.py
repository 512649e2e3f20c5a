"""MONAI Label's server on a folder of phantoms, on loopback, and its client; both in the environment of the server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import nibabel
import numpy as np
import requests
from PIL import Image

from training.datasets.phantoms import draw_phantom

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PYTHON = ROOT / "build" / "monai_label" / "bin" / "python"
START_S = 300  # a few seconds on an idle machine
PHANTOMS = {"step": (900_001, "step"), "gap": (900_003, "gap"), "normal": (900_002, "none")}


class Running:
    """The server on a folder of phantoms, and its client."""

    def __init__(self, folder: Path) -> None:
        self.studies, self.results, self.log = folder / "studies", folder / "results", folder / "log.txt"
        self.studies.mkdir()
        self.results.mkdir()
        for name, (seed, finding) in PHANTOMS.items():
            grey = np.round(draw_phantom(seed, finding).pixels * 255).astype(np.uint8)
            Image.fromarray(grey).save(self.studies / f"{name}.png")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [PYTHON, "-W", "ignore", "-m", "training.monai_label", "serve", self.studies, "--port", self.port]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*map(str, command)], cwd=folder, env=environment(), stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                requests.get(f"{self.url}/info/", timeout=60)
            except requests.ConnectionError:
                time.sleep(0.2)
            else:
                return
        self.end()
        raise TimeoutError(self.log.read_text())

    def ask(self, *calls: list[object]) -> list[dict[str, object]]:
        done = subprocess.run(
            [PYTHON, "-W", "ignore", Path(__file__).parent / "client.py", self.url, self.results],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def infer(self, model: str, image: str, **request: object) -> tuple[np.ndarray, dict[str, object]]:
        (answered,) = self.ask(["infer", model, image, request])
        file, facts = answered["reply"]
        return np.asarray(nibabel.load(file).dataobj)[..., 0].T, facts

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
