"""docs/bundles.md, followed in an empty folder: every block of Python and every command below the installation."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from operators.networks.loading import load_bundle
from tests.phantoms import stored_phantom

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "bundles.md").read_text("utf-8")
STANDS_IN = "msk_cnn"  # for the larger bundle that the page names


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    shutil.copytree(ROOT / "bundles" / STANDS_IN, tmp_path / "bundles" / "msk_resnet50")
    (tmp_path / "images").mkdir()
    Image.fromarray(stored_phantom(bits=8).astype(np.uint8)).save(tmp_path / "images" / "wrist.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks() -> list[tuple[str, str]]:
    """Return (language, text) of the blocks after the installation."""
    followed = PAGE[PAGE.index("## A workflow") :]
    return re.findall(r"^```(\w*)\n(.*?)^```", followed, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_can_be_followed(folder, monkeypatch):
    names: dict[str, object] = {}
    for language, text in blocks():
        if language == "python":
            exec(compile(text, "docs/bundles.md", "exec"), names)  # noqa: S102 - what the page says
        else:
            for line in text.replace("\\\n", " ").splitlines():
                follow(line, monkeypatch)
    shipped = load_bundle(ROOT / "bundles" / STANDS_IN).network.state_dict()
    assert len((folder / "results" / "scores.csv").read_text("utf-8").splitlines()) == 2
    found = names["network"].state_dict()
    assert all(torch.equal(tensor.cpu(), shipped[name]) for name, tensor in found.items())
    assert (folder / "network.ts").is_file()
    assert names["logit"].shape == (1, 1)


def follow(command: str, monkeypatch) -> None:
    python, module, name, *arguments = shlex.split(command)
    assert (python, module) == ("python", "-m")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=False)
    except SystemExit as ended:
        assert not ended.code, command
