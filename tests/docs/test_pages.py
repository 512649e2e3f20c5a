"""The pages: their links lead somewhere, their Python can be compiled, and their example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.recipes import FENCE, ROOT
from tests.phantoms import radiograph, save, stored_phantom
from training.datasets.phantoms import draw_phantom

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "bundles/*/docs/*.md")
    for path in ROOT.glob(pattern)
)
LINKS = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def text_of(page: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return what GitHub calls the headings of a page; a heading that comes again gets a number."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *$", text_of(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = sum(other == name or re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None for other in found)
        found.add(f"{name}-{number}" if number else name)
    return found


def test_the_pages_are_found():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/extending.md"} <= set(PAGES)
    assert len([page for page in PAGES if page.startswith("bundles/")]) >= len([*ROOT.glob("bundles/*/")])


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_repository_leads_somewhere(name):
    page = ROOT / name
    for target in (markdown or html for markdown, html in LINKS.findall(text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        aim = (page.parent / file).resolve() if file else page
        assert aim.exists(), f"{name}: no file {target}"
        assert aim.is_relative_to(ROOT), f"{name}: {target} is outside the repository"
        assert not anchor or anchor in anchors(aim), f"{name}: no heading {target}"


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_python_on_the_pages_compiles(name):
    blocks = [code for language, code in FENCE.findall((ROOT / name).read_text("utf-8")) if language == "python"]
    assert blocks
    for code in blocks:
        compile(code, name, "exec")


@pytest.mark.parametrize("name", PAGES)
def test_no_page_holds_a_note_to_its_writer(name):
    assert not re.search(r"<!-- *(check|todo|fixme)", (ROOT / name).read_text("utf-8"), re.IGNORECASE)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.slow
def test_the_example_analyses_a_folder(tmp_path):
    stored = stored_phantom(900_001, "step", rows=640, columns=512)
    save(radiograph("a", stored=stored, BitsStored=12, HighBit=11), tmp_path / "in" / "a.dcm")
    command = [sys.executable, "docs/examples/analyse_folder.py", str(tmp_path / "in"), "--save", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    study, image = done.stdout.splitlines()
    assert re.fullmatch(r"study [\d.]+: abnormal, probability \d\.\d\d", study)
    assert re.fullmatch(r"  a\.dcm: abnormal, probability \d\.\d\d; boxes: \(\d+, \d+\) to \(\d+, \d+\).*", image)
    assert {path.name for path in (tmp_path / "out").rglob("*.dcm")} >= {"sr.dcm", "seg_1.dcm"}


@pytest.mark.slow
def test_the_example_draws_and_fine_tunes(tmp_path):
    """One epoch of two steps; the pictures show what was found, and the trained bundle is another one."""
    phantom = draw_phantom(900_001, "step")
    Image.fromarray(np.round(phantom.pixels * 255).astype(np.uint8)).save(tmp_path / "wrist.png")
    script = ROOT / "docs" / "examples" / "outline_and_fine_tune.py"
    command = [sys.executable, "-W", "ignore", script, "wrist.png", "out", "--epochs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^abnormal, probability 0\.9\d$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^Dice (?:before|after): [01]\.\d{3} ", done.stdout, re.MULTILINE)) == 2
    plain = np.round(phantom.pixels * 255).astype(int)
    for name in ("before.png", "after.png"):
        picture = np.asarray(Image.open(tmp_path / "out" / name)).astype(int)
        changed = (np.abs(picture - plain[..., None]) > 60).any(axis=-1)
        assert changed[phantom.mask].mean() > 0.2
        assert changed.mean() < 0.1
    sums = [
        (folder / "SHA256SUMS").read_text() for folder in (ROOT / "bundles" / "msk_sam", tmp_path / "out" / "msk_sam")
    ]
    assert sums[0] != sums[1]
