"""What a killed run left is removed, what another process writes is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from operators.records.errors import InternalError, system_error
from operators.reporting.output_folder import remove_unfinished, write_atomically
from operators.reporting.spool import Spool
from tests.monai_app.application import ROOT
from tests.segmentations import encode, segmentation

STUDY = "0123456789abcdef"
WRITER = """
import sys, time
from pathlib import Path
from operators.reporting.output_folder import write_atomically
def slow(file):
    file.write(b"Doe"); file.flush(); print("writing", flush=True); time.sleep(600)
write_atomically(Path(sys.argv[1]), slow)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that is writing an object."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / STUDY / "seg_1.dcm")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        yield process
        process.kill()


def test_a_killed_run_s_files_go_and_another_process_s_stay(writer, tmp_path):
    (temporary,) = (tmp_path / STUDY).iterdir()
    remove_unfinished(tmp_path)
    assert temporary.read_bytes() == b"Doe"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert temporary.exists()
    remove_unfinished(tmp_path)
    assert not temporary.exists()


def test_only_our_own_leftovers_are_removed(tmp_path):
    study = tmp_path / STUDY
    study.mkdir()
    own = [
        tmp_path / ".report.html.7.tmp",
        tmp_path / ".result.json.7.tmp",
        study / ".sr.dcm.7.tmp",
        study / ".sc_12.dcm.7.tmp",
    ]
    others = [tmp_path / "notes.tmp", tmp_path / ".notes.7.tmp", study / "seg_1.dcm", study / ".mine.dcm.7.tmp"]
    linked = tmp_path / ".osteomap-link"
    for path in (*own, *others):
        path.write_text("x")
    linked.symlink_to(study)
    (tmp_path / ".osteomap-old" / ".osteomap-image").mkdir(parents=True)
    remove_unfinished(tmp_path)
    assert not [path for path in own if path.exists()]
    assert all(path.exists() for path in others)
    assert not (tmp_path / ".osteomap-old").exists()


def test_a_spool_in_use_stays_and_one_that_is_left_goes(tmp_path):
    (tmp_path / ".osteomap-left").mkdir()
    stored = Spool(tmp_path).store(encode(segmentation()).objects, {})
    assert len(list(tmp_path.iterdir())) == 1
    remove_unfinished(tmp_path)
    assert stored.path_of("seg").exists()


def test_a_full_disk_is_told_whatever_a_library_makes_of_it(tmp_path):
    def full(_):
        try:
            raise OSError(28, os.strerror(28))
        except OSError as error:
            raise OSError("With tag (7FE0,0010): SMITH") from error

    with pytest.raises(OSError, match="SMITH") as caught:
        write_atomically(tmp_path / "a.dcm", full)
    assert list(tmp_path.iterdir()) == []
    assert system_error(caught.value).errno == 28
    assert "No space left on device" in InternalError(caught.value).detail
    assert "SMITH" not in InternalError(caught.value).detail
    assert system_error(ValueError("x")) is None
