"""The entry point of the image: its commands, the exit code of the application, signals."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRY = Path(__file__).resolve().parents[3] / "monai_app" / "container" / "entry.py"


@pytest.fixture
def image(tmp_path) -> dict[str, str]:
    """Return the environment of a package whose application does what its arguments say."""
    application, models, docs, export = (tmp_path / name for name in ("app", "models", "docs", "export"))
    for folder in (application, models / "msk_cnn", docs, export):
        folder.mkdir(parents=True)
    (application / "__main__.py").write_text(
        "import os, signal, sys, time\n"
        "if sys.argv[1] == 'exit': sys.exit(int(sys.argv[2]))\n"
        "if sys.argv[1] == 'die': os.kill(os.getpid(), signal.SIGKILL)\n"
        "if sys.argv[1] == 'orphan':\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0: time.sleep(0.2)\n"
        "        os._exit(9)\n"
        "    time.sleep(0.6)\n"
        "if sys.argv[1] == 'stop': signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "if sys.argv[1] in ('stop', 'wait'): print('ready', flush=True); time.sleep(60)\n"
    )
    (models / "msk_cnn" / "SHA256SUMS").write_text("weights")
    (docs / "LICENSE").write_text("Apache\n")
    (docs / "THIRD_PARTY_LICENSES.txt").write_text("torch\n")
    environment = {
        "HOLOSCAN_APPLICATION": str(application),
        "HOLOSCAN_MODEL_PATH": str(models),
        "HOLOSCAN_DOCS_PATH": str(docs),
        "HOLOSCAN_EXPORT_PATH": str(export),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path),
        "HOLOSCAN_CONFIG_PATH": str(tmp_path / "app.yaml"),
        "HOLOSCAN_APP_MANIFEST_PATH": str(tmp_path / "app.json"),
        "HOLOSCAN_PKG_MANIFEST_PATH": str(tmp_path / "pkg.json"),
    }
    (tmp_path / "app.yaml").write_text("application: {}\n")
    for name in ("app", "pkg"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name}))
    return os.environ | environment


def call(image, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ENTRY), *arguments]
    return subprocess.run(command, env=image, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_the_exit_code_is_that_of_the_application(code, image):
    assert call(image, "exit", str(code)).returncode == code


def test_an_application_that_is_killed_is_told_as_a_shell_does(image):
    assert call(image, "die").returncode == 128 + signal.SIGKILL


def as_the_first_process() -> None:
    """Let orphans below this process come to it (PR_SET_CHILD_SUBREAPER), as they come to the first of a container."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def test_it_reaps_orphans_whose_code_is_not_that_of_the_application(image):
    command = [sys.executable, str(ENTRY), "orphan"]
    done = subprocess.run(command, env=image, check=False, timeout=60, preexec_fn=as_the_first_process)  # noqa: PLW1509
    assert done.returncode == 0


@pytest.mark.parametrize(("mode", "code"), [("stop", 1), ("wait", 128 + signal.SIGTERM)])
def test_what_docker_stop_sends_reaches_the_application(mode, code, image):
    command = [sys.executable, str(ENTRY), mode]
    with subprocess.Popen(command, env=image, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.terminate()
        assert process.wait(30) == code
    assert time.monotonic() - started < 10


def test_show_prints_the_manifests(image):
    assert [json.loads(call(image, "show", name).stdout) for name in ("app", "pkg")] == [
        {"name": "app"},
        {"name": "pkg"},
    ]
    assert call(image, "show").stdout.count('"name"') == 2
    wrong = call(image, "show", "all")
    assert wrong.returncode == 2
    assert "neither app nor pkg" in wrong.stderr


def test_extract_copies_everything_or_what_is_mounted(image, tmp_path):
    assert call(image, "extract").returncode == 0
    copied = {path.relative_to(tmp_path / "export").as_posix() for path in (tmp_path / "export").rglob("*.*")}
    assert copied == {
        *("app/__main__.py", "config/app.json", "config/app.yaml", "config/pkg.json"),
        *("docs/THIRD_PARTY_LICENSES.txt",),
    }
    assert (tmp_path / "export" / "models" / "msk_cnn" / "SHA256SUMS").read_text() == "weights"
    mounted = tmp_path / "mounted"
    (mounted / "config").mkdir(parents=True)
    assert call(image | {"HOLOSCAN_EXPORT_PATH": str(mounted)}, "extract").returncode == 0
    assert [path.name for path in mounted.iterdir()] == ["config"]


def test_extract_without_a_mount_says_where(image, tmp_path):
    done = call(image | {"HOLOSCAN_EXPORT_PATH": str(tmp_path / "none")}, "extract")
    assert done.returncode == 2
    assert "mount a folder there" in done.stderr


def test_license_and_help(image):
    assert call(image, "license").stdout == "Apache\ntorch\n"
    assert "extract" in call(image, "help").stdout


def test_health_is_that_results_can_be_written(image, tmp_path):
    assert call(image, "health").returncode == 0
    assert call(image | {"HOLOSCAN_OUTPUT_PATH": str(tmp_path / "none")}, "health").returncode == 1
