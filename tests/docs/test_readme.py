"""The commands and the Python of the README do what it says, on files outside the repository."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from monai_app import __version__
from tests.monai_app.application import ROOT
from tests.phantoms import radiograph, save

README = (ROOT / "README.md").read_text("utf-8")
FILES = {"report.html", "result.json", "result.csv"}


def blocks(language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [text for written_in, text in found if written_in == language]


def commands() -> list[str]:
    """Return the lines of the shell, without their comments."""
    text = "\n".join(blocks()).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line.strip()]


ANALYSES = [line for line in commands() if re.search(r"\bIN\b", line) and not line.startswith("docker")]


@pytest.fixture
def quick(tmp_path, monkeypatch) -> dict[str, str]:
    """Return an environment in which the README's commands run, with the classifier that takes least time."""
    save(radiograph("a"), tmp_path / "IN" / "a.dcm")
    text = (ROOT / "app.yaml").read_text("utf-8").replace("bundle: msk_resnet50", "bundle: msk_random_baseline")
    (tmp_path / "app.yaml").write_text(text, "utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return os.environ | {"HOLOSCAN_CONFIG_PATH": str(tmp_path / "app.yaml"), "PATH": path}


def test_the_commands_are_found():
    assert [shlex.split(line)[0] for line in ANALYSES] == ["osteomap", "python", "monai-deploy"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ANALYSES)
def test_an_analysis_writes_what_the_table_of_files_names(line, quick, tmp_path):
    words = [str(tmp_path / word) if word in ("IN", "OUT") else word for word in shlex.split(line)]
    done = subprocess.run(words, cwd=ROOT, env=quick, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "a.dcm" in done.stdout or words[0] != "osteomap"
    written = {path.name for path in (tmp_path / "OUT").rglob("*") if path.is_file()}
    assert written >= FILES | {"sr.dcm", "sc_1.dcm", "gsps_1.dcm"}
    named = set(re.findall(r"^\| `(?:<study>/)?([a-z_]+(?:_<n>)?\.[a-z]+)`", README, re.MULTILINE))
    assert written <= {name.replace("<n>", "1") for name in named}


@pytest.mark.slow
def test_the_python_analyses_a_folder(quick, tmp_path):
    (code,) = blocks("python")
    save(radiograph("b"), tmp_path / "folder" / "b.dcm")
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=quick | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"(normal|doubt|abnormal) 0\.\d+ ", done.stdout)


def test_the_targets_of_make_exist():
    targets = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert {"demo", "test", "map"} <= targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_container_that_is_run_is_the_one_that_is_made():
    (line,) = [line for line in commands() if line.startswith("docker run")]
    assert shlex.split(line)[-1] == f"osteomap:{__version__}"
    assert {"--read-only", "--network", "--cap-drop"} <= set(shlex.split(line))
