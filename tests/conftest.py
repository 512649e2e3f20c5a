"""Fixtures, the rules of the markers, and what the workers of pytest-xdist share. It imports nothing that is slow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from operators.networks.bundle import Bundle
    from tests.integration.judges import Tally
    from tests.workers import SharedWork

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
# What the markers need, by the Debian package that holds it or the command that installs it.
# Debian puts servers where only root's PATH looks.
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
    "readers": {str(ROOT / "build" / "readers" / ".installed"): "make readers", "node": "nodejs"},
    "monai_label": {str(ROOT / "build" / "monai_label" / ".installed"): "make monai-label"},
}
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
TALLY = pytest.StashKey["Tally"]()


def pytest_configure(config: pytest.Config) -> None:
    _share_the_cores()
    from monai_app.runtime import prepare  # noqa: PLC0415 - it loads a library of CUDA

    prepare(restart=False)


def _share_the_cores() -> None:
    """Give each worker, and what it starts, its part of the cores; torch and NumPy look when they are imported."""
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
        share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ["OMP_NUM_THREADS"] = str(min(2, max(1, share)))
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "2")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = os.environ.get("OSTEOMAP_EXTERNAL") == "required"
    missing = {marker: missing_packages(marker) for marker in TOOLS}
    for item in items:
        if item.get_closest_marker("shared_data") and not (SHARED / "data").is_dir():
            item.add_marker(pytest.mark.skip(reason="the folder ../shared is not beside the checkout"))
        for marker, packages in missing.items():
            if item.get_closest_marker(marker) and packages and not required:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(packages)}"))
        if item.get_closest_marker("gpu") and not has_gpu():
            item.add_marker(pytest.mark.skip(reason="no GPU"))


def missing_packages(marker: str) -> list[str]:
    """Return what the tests of a marker need and do not find."""
    return sorted({package for tool, package in TOOLS[marker].items() if shutil.which(tool, os.F_OK, PATH) is None})


def has_gpu() -> bool:
    import torch  # noqa: PLC0415 - seconds, for the few tests that ask

    return torch.cuda.is_available()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedWork:
    """Hand out the tests as ``tests.workers`` says, in the order of the files; a hook of pytest-xdist."""
    from tests.workers import SharedWork  # noqa: PLC0415 - only where pytest-xdist is used

    config.option.loadscopereorder = False  # the slow ones come first as it is
    return SharedWork(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add what a worker has counted to the record of all workers; a hook of pytest-xdist."""
    counted = getattr(node, "workeroutput", {}).get("tally")
    if counted is not None:
        from tests.integration.judges import Tally  # noqa: PLC0415

        node.config.stash.setdefault(TALLY, Tally()).merge(counted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if TALLY in session.config.stash:
        session.config.stash[TALLY].write()


@pytest.fixture(scope="session")
def bundles() -> Path:
    return ROOT / "bundles"


@pytest.fixture(scope="session")
def classifier(bundles: Path) -> Bundle:
    from operators.networks.loading import load_bundle  # noqa: PLC0415

    return load_bundle(bundles / "msk_resnet50")


@pytest.fixture(scope="session")
def segmenter(bundles: Path) -> Bundle:
    from operators.networks.loading import load_bundle  # noqa: PLC0415

    return load_bundle(bundles / "msk_sam")


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED / "data"


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    from tests.integration.judges import Tally  # noqa: PLC0415

    counted = Tally()
    yield counted
    if hasattr(request.config, "workeroutput"):  # a worker of pytest-xdist: the record is written once, of all
        request.config.workeroutput["tally"] = counted.counts()
    else:
        counted.write()
