"""What several judges look at: one run on the real files, and the matrix of header variants and states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.matrix import Cell, build_matrix
from tests.monai_app.application import Run, run


@pytest.fixture(scope="session")
def real_run(shared, tmp_path_factory) -> Run:
    return run(shared / "dicom", tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def matrix(tmp_path_factory, tally) -> dict[str, list[Cell]]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    return build_matrix(folder, tally)
