"""``osteomap check``: what is sound passes, and what is broken is named with what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from monai_app.command import check
from monai_app.command.sample_images import LOSSY, SYNTAXES, sample
from monai_app.conformance.statement import transfer_syntaxes
from operators.reading.codestreams import decoding_plugins
from operators.reading.decoder import Decoder
from tests.monai_app.application import ROOT


def test_every_transfer_syntax_that_is_read_is_checked():
    assert set(SYNTAXES) == set(transfer_syntaxes())
    assert set(decoding_plugins.PLUGINS) <= set(SYNTAXES)


def test_the_decoders_of_this_installation_pass(capsys):
    assert check._passes("decoders", check._decoders)
    assert capsys.readouterr().out.count("ok ") == len(SYNTAXES)


def test_a_decoder_that_is_broken_is_named(monkeypatch, capsys):
    real = Decoder.pixels

    def broken(self, data):
        reply = real(self, data)
        if data == sample(LOSSY[0]):
            reply.picture[:] = 1 - np.asarray(reply.picture)
        return reply

    monkeypatch.setattr(Decoder, "pixels", broken)
    assert not check._passes("decoders", check._decoders)
    assert f"FAILED  decoders   {LOSSY[0].name}: the picture is not the one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (["no-such-package>=1"], "no-such-package is missing; run pip install '.[app]' in the repository of OsteoMAP"),
        (["numpy<1"], "is not <1"),
        (['no-such-package; extra == "app"'], "no-such-package is missing"),
    ],
)
def test_a_package_that_is_missing_or_too_old_is_named(needed, told, monkeypatch, capsys):
    monkeypatch.setattr(check, "requires", lambda _: needed)
    assert not check._passes("libraries", check._libraries)
    assert told in capsys.readouterr().out


def test_packages_of_other_extras_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(check, "requires", lambda _: ["numpy", 'no-such-package; extra == "training"'])
    assert check._passes("libraries", check._libraries)


def test_too_little_memory_is_told(monkeypatch, tmp_path, capsys):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(check, "_CGROUP_LIMITS", (tmp_path / "absent", limit))
    limit.write_text("max\n")
    assert check._memory_limit() > 2**28
    limit.write_text(f"{2**30}\n")
    assert not check._passes("memory", check._memory)
    assert "1.0 GiB, app.yaml declares 6.0 GiB" in capsys.readouterr().out


@pytest.mark.slow
def test_an_installation_is_checked_from_beginning_to_end(tmp_path, bundles):
    """One model is damaged: what does not need it passes, the exit code is 1, and nothing is left behind."""
    shutil.copytree(bundles, tmp_path / "models", ignore=shutil.ignore_patterns("*.pth", "*.pt"))
    (tmp_path / "models" / "msk_sam" / "SHA256SUMS").unlink()
    (tmp_path / "temporary").mkdir()
    runs = {
        "sound": (*("-m", str(bundles)),),
        "damaged": (*("-m", str(tmp_path / "models")),),
    }
    done = {
        name: subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "monai_app.command", "check", *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        for name, flags in runs.items()
    }
    assert done["sound"].returncode == 0, done["sound"].stdout + done["sound"].stderr
    assert "FAILED" not in done["sound"].stdout
    assert "objects" in done["sound"].stdout
    assert done["sound"].stderr == ""
    assert done["damaged"].returncode == 1
    assert "FAILED  models     bundle msk_sam: no SHA256SUMS" in done["damaged"].stdout
    assert "does not work: models, phantom" in done["damaged"].stdout
