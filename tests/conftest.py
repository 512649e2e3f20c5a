"""Fixtures and the rules of the markers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from monai_app.runtime import prepare
from operators.bundle import load_bundle
from operators.records import Bundle

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
VALIDATORS = ("dciodvfy", "dsrdump")


def pytest_configure(config: pytest.Config) -> None:
    prepare(restart=False)
    torch.set_num_threads(2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = [tool for tool in VALIDATORS if shutil.which(tool) is None]
    for item in items:
        if item.get_closest_marker("shared_data") and not (SHARED / "data").is_dir():
            item.add_marker(pytest.mark.skip(reason="the folder ../shared is not beside the checkout"))
        if item.get_closest_marker("external") and missing and os.environ.get("OSTEOMAP_EXTERNAL") != "required":
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)} (dicom3tools, dcmtk)"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no GPU"))


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
