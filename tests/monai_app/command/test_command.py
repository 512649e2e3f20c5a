"""``osteomap``: what is typed is what the application is given, and mistakes are told at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from monai_app.command import COMMANDS
from monai_app.command import main as osteomap
from tests.monai_app.application import ROOT

HEAVY = ("torch", "monai", "holoscan", "timm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in"], "osteomap IN OUT"),
        (["in", "out", "-i", "other"], "IN and OUT, or -i and -o"),
        (["in", "out", "x"], "IN OUT"),
        (["-i", "."], "give an output folder, too"),
        (["-o", "out"], "give an input and an output folder"),
        ([], "give an input and an output folder"),
        (["no_such_folder", "out"], "no input at no_such_folder"),
    ],
)
def test_a_command_that_is_wrong_is_refused_with_its_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        osteomap(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def given(monkeypatch, tmp_path):
    """What the application is given, which does not run; in a folder with an input."""
    calls = []
    monkeypatch.setattr("monai_app.runtime.prepare", lambda: None)
    application = SimpleNamespace(run=lambda argv, **options: calls.append((argv[1:], options)) or 0)
    monkeypatch.setitem(sys.modules, "monai_app.run", application)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return calls


def test_folders_may_stand_without_flags(given):
    assert osteomap(["in", "out", "-l", "DEBUG"]) == osteomap(["-i", "in", "-o", "out", "-l", "DEBUG"]) == 0
    assert given[0][0] == given[1][0]
    assert given[0][0] == ["-i", "in", "-o", "out", "-l", "DEBUG"]


def test_the_table_can_be_left_out(given):
    osteomap(["in", "out"])
    osteomap(["in", "out", "--quiet"])
    assert [options["tell"] is None for _, options in given] == [False, True]


def test_an_interrupted_run_is_gone_on_with_if_asked_for(given):
    osteomap(["in", "out"])
    osteomap(["in", "out", "--resume"])
    assert [options["resume"] for _, options in given] == [False, True]


def test_the_variables_of_the_sdk_stand_for_the_folders(given, monkeypatch):
    monkeypatch.setenv("HOLOSCAN_INPUT_PATH", "in")
    monkeypatch.setenv("HOLOSCAN_OUTPUT_PATH", "out")
    assert osteomap([]) == 0
    assert given[0][0] == []


def test_a_mistake_in_the_settings_is_told_before_anything_heavy_is_imported(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "my.yaml").write_text((ROOT / "app.yaml").read_text().replace("check_turned", "check_turnt"))
    done = in_a_new_process(["in", "out"], tmp_path, HOLOSCAN_CONFIG_PATH=str(tmp_path / "my.yaml"))
    assert done.returncode == 2
    assert "unknown key 'check_turnt'" in done.stderr
    assert "heavy: []" in done.stdout
    assert not (tmp_path / "out").exists()


def in_a_new_process(arguments: list[str], folder, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its last line says what is heavy among the modules that it imported."""
    code = (
        "import sys\nfrom monai_app.command import main\ncode = 1\n"
        f"try:\n    code = main({arguments})\nexcept SystemExit as ended:\n    code = ended.code\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])\nsys.exit(code)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--version"], 0), (["in"], 2), (["in", "out"], 2), (["models", "--help"], 0), (["models"], 0)],
)
def test_answers_need_nothing_heavy(arguments, code, tmp_path):
    started = time.perf_counter()
    done = in_a_new_process(arguments, tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert time.perf_counter() - started < 20  # under a second on an idle machine


def test_help_says_what_a_user_asks(capsys):
    with pytest.raises(SystemExit):
        osteomap(["--help"])
    told = capsys.readouterr().out
    for words in ("examples:", "exit codes: 0 done", "app.yaml", "HOLOSCAN_CONFIG_PATH", *COMMANDS):
        assert words in told
    assert max(len(line) for line in told.splitlines()) <= 140


@pytest.mark.parametrize("name", COMMANDS)
def test_every_sub_command_has_its_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        osteomap([name, "--help"])
    assert ended.value.code == 0
    assert f"osteomap {name}" in capsys.readouterr().out
