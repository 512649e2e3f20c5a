"""The application starts as any user, without a home, on a file system that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from monai_app import __main__, command
from tests.monai_app.application import ROOT

NOBODY = "54321"  # a user ID without a name
IMPORT = (
    "from monai_app.runtime import prepare; prepare(); import monai_app.run, getpass, os, pathlib\n"
    "print(getpass.getuser(), os.path.expanduser('~'), list(pathlib.Path.cwd().iterdir()))"
)


def as_nobody() -> list[str]:
    """What starts a command as a user ID without a name that may read everything, where we can change ours."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        return []
    capability = "+dac_read_search"  # the interpreter may lie in the home of another user
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return [setpriv, *user, f"--inh-caps={capability}", f"--ambient-caps={capability}"]


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/proc"])
def test_any_user_can_start_it_without_a_home(home, tmp_path):
    tmp_path.chmod(0o555)
    temporary = tempfile.mkdtemp()
    os.chmod(temporary, 0o1777)  # noqa: PTH101, S103 - as the system's own
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": temporary, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*as_nobody(), sys.executable, "-W", "ignore", "-c", IMPORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment | ({} if home is None else {"HOME": home}),
    )
    assert done.returncode == 0, done.stderr
    if as_nobody():
        user, folder, left = done.stdout.split()
        assert (user, left) == ("osteomap", "[]")
        assert folder.startswith(temporary)
    assert not list(Path(temporary).glob("osteomap-*"))  # the home is gone with the process
    shutil.rmtree(temporary)


@pytest.mark.parametrize("main", [__main__.main, command.main])
def test_without_a_folder_for_temporary_files_it_says_which_variable_to_set(main, monkeypatch, capsys, tmp_path):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr("monai_app.runtime._raise_stack_limit", lambda: None)
    assert main(["-i", str(tmp_path), "-o", "out"]) == 2
    assert "set TMPDIR" in capsys.readouterr().err
