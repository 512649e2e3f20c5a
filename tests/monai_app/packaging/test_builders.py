"""Which tool builds, with which command, and what is said when it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from monai_app.packaging import __main__, builders
from monai_app.packaging.builders import build_command, builder, check_tag
from monai_app.packaging.errors import PackagingError


def tools(folder: Path, *names: str, code: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("installed", "asked", "found"),
    [
        (("buildah", "podman", "docker"), None, "docker"),
        (("buildah", "podman"), None, "podman"),
        (("buildah",), None, "buildah"),
        (("docker", "buildah"), "buildah", "buildah"),
    ],
)
def test_the_builder_that_is_there(installed, asked, found, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", *installed))
    assert builder(asked) == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [(None, "no builder is installed"), ("podman", "podman is not installed"), ("make", "no builder")],
)
def test_no_builder_is_one_line(asked, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["build", "--folder", str(tmp_path / "map"), *(["--builder", asked] if asked else [])]
    assert __main__.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "map").exists()


def test_a_builder_that_fails_is_told_after_its_own_messages(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", "buildah", code=125) + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(__main__, "download_wheels", lambda folder: None)
    assert __main__.main(["build", "--folder", str(tmp_path / "map"), "--builder", "buildah"]) == 2
    assert "buildah could not build the image" in capsys.readouterr().err


def test_packages_that_cannot_be_downloaded(tmp_path, monkeypatch):
    (tmp_path / "map" / "pip").mkdir(parents=True)
    for name in ("requirements.txt", "sbom.txt"):
        (tmp_path / "map" / "pip" / name).write_text("osteomap-does-not-exist==1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PackagingError, match="cannot be downloaded"):
        builders.download_wheels(tmp_path / "map")


def test_only_the_packages_of_this_context_are_taken_from_what_is_kept(tmp_path, monkeypatch):
    (tmp_path / "map" / "pip").mkdir(parents=True)
    (tmp_path / "map" / "pip" / "requirements.txt").write_text("ruamel.yaml==0.18\nzope.event==6.2\n")
    (tmp_path / "map" / "pip" / "sbom.txt").write_text("# zope.event==5.0 was before\n")
    (tmp_path / "map-wheels").mkdir()
    for name in ("ruamel_yaml-0.18.0", "zope_event-6.2", "zope_event-5.0", "other-1"):
        (tmp_path / "map-wheels" / f"{name}-py3-none-any.whl").touch()
    monkeypatch.setattr(builders.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    builders.download_wheels(tmp_path / "map")
    taken = {path.name.partition("-py3")[0] for path in (tmp_path / "map" / "wheels").iterdir()}
    assert taken == {"ruamel_yaml-0.18.0", "zope_event-6.2"}


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_base_image_and_tag_are_arguments(tool):
    command = build_command(tool, Path("/context"), "example/osteomap:1", "debian:bookworm", 1_700_000_000)
    assert command[:2] == [tool, "build"]
    assert command[-1] == "/context"
    assert "BASE_IMAGE=debian:bookworm" in command
    assert "example/osteomap:1" in command
    assert any("1700000000" in word for word in command)


@pytest.mark.parametrize("tag", ["", "OsteoMAP", "osteo map", "-x", "osteomap:"])
def test_a_tag_that_no_builder_takes(tag):
    with pytest.raises(PackagingError, match="lower case"):
        check_tag(tag)
