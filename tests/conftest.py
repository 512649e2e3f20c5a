"""Fixtures and the rules of the markers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from monai_app.runtime import prepare
from operators.networks.bundle import Bundle
from operators.networks.loading import load_bundle
from tests.integration.judges import Tally

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
# What the markers need, by the Debian package that holds it. Debian puts servers where only root's PATH looks.
TOOLS = {
    "external": {
        "dciodvfy": "dicom3tools",
        "dcentvfy": "dicom3tools",
        "dcmdump": "dcmtk",
        "dsrdump": "dcmtk",
        "dcm2pnm": "dcmtk",
        "dcmp2pgm": "dcmtk",
        "gdcmdump": "libgdcm-tools",
        "/usr/share/java/pixelmed.jar": "pixelmed-apps",
        "javac": "default-jdk-headless",
        "Orthanc": "orthanc",
        "/usr/share/orthanc/plugins/libOrthancDicomWeb.so": "orthanc-dicomweb",
    },
    "viewer": {"chromium": "chromium", "npm": "npm"},
}
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


def pytest_configure(config: pytest.Config) -> None:
    prepare(restart=False)
    torch.set_num_threads(2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = os.environ.get("OSTEOMAP_EXTERNAL") == "required"
    missing = {marker: missing_packages(marker) for marker in TOOLS}
    for item in items:
        if item.get_closest_marker("shared_data") and not (SHARED / "data").is_dir():
            item.add_marker(pytest.mark.skip(reason="the folder ../shared is not beside the checkout"))
        for marker, packages in missing.items():
            if item.get_closest_marker(marker) and packages and not required:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(packages)}"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no GPU"))


def missing_packages(marker: str) -> list[str]:
    """Return the Debian packages that the tests of a marker need and do not find."""
    return sorted({package for tool, package in TOOLS[marker].items() if shutil.which(tool, os.F_OK, PATH) is None})


@pytest.fixture(scope="session")
def bundles() -> Path:
    return ROOT / "bundles"


@pytest.fixture(scope="session")
def classifier(bundles: Path) -> Bundle:
    return load_bundle(bundles / "msk_resnet50")


@pytest.fixture(scope="session")
def segmenter(bundles: Path) -> Bundle:
    return load_bundle(bundles / "msk_sam")


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED / "data"


@pytest.fixture(scope="session")
def tally() -> Iterator[Tally]:
    counted = Tally()
    yield counted
    counted.write()
