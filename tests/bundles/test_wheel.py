"""``pip install .`` is enough for the bundles: without Holoscan and the SDK, outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.phantoms import stored_phantom

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("monai_app", "operators", "training", "pyproject.toml", "README.md", "LICENSE")
# Python imports sitecustomize when it starts: it makes the packages of the extra `app` absent.
ABSENT = ("holoscan", "holoscan_cli", "monai.deploy", "cuda.pathfinder")
WITHOUT_APP = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH: the installed wheel, and no package of the application."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = (sys.executable, "-W", "ignore", "-m", "pip", "--quiet", "--disable-pip-version-check")
    made = (*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(source / "dist"))
    subprocess.run([*made, str(source)], check=True, capture_output=True, cwd=source)
    wheel = next((source / "dist").glob("osteomap-*.whl"))
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    (folder / "sitecustomize.py").write_text(WITHOUT_APP, "utf-8")
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """Run Python in an empty folder with the wheel."""
    (tmp_path / "empty").mkdir()
    environment = {"PYTHONPATH": str(installed), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path / "empty",
            env=environment,
        )

    return run_python


def test_a_copied_bundle_runs_with_the_wheel(run, installed, tmp_path):
    shutil.copytree(ROOT / "bundles" / "msk_cnn", tmp_path / "copy")
    Image.fromarray(stored_phantom(bits=8).astype(np.uint8)).save(tmp_path / "wrist.png")
    program = (
        "import operators, sys, monai.bundle; assert operators.__file__.startswith(sys.argv[1]); "
        "monai.bundle.run(config_file=sys.argv[2], dataset_dir=sys.argv[3], output_dir='out'); "
        "assert not [name for name in sys.modules if name.startswith('training')]"
    )
    config = tmp_path / "copy" / "configs" / "inference.json"
    done = run("-c", program, str(installed), str(config), str(tmp_path / "wrist.png"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "empty" / "out" / "scores.csv").read_text("utf-8").splitlines()[1].startswith("wrist.png,0.")


def test_the_python_interface_needs_no_holoscan(run):
    done = run("-c", "import monai_app; monai_app.open_analyser")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["monai_app.command", "monai_app", "monai_app.deploy_command"])
def test_the_application_names_the_command_that_installs_the_rest(module, run, tmp_path):
    (tmp_path / "empty" / "in").mkdir()
    arguments = ["-m", "monai_app", "-i", "in", "-o", "out"]
    if module != "monai_app":
        arguments = ["-c", f"import sys; from {module} import main; sys.exit(main())", "in", "out"]
    done = run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "pip install '.[app]'" in done.stderr


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    constraints = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {normalised(line.split("=")[0]) for line in constraints if "==" in line}
    named = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    assert {normalised(name.split(">")[0]) for name in named} <= pins
    heavy = ("holoscan", "monai-deploy", "nvidia", "cuda")
    assert not [name for name in project["dependencies"] if name.startswith(heavy)]


def normalised(name: str) -> str:
    return name.strip().lower().replace("_", "-")
