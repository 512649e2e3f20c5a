"""What several judges look at: one run on the real files, and the matrix of header variants and states."""

from __future__ import annotations

import pytest

from tests.integration.matrix import Matrix
from tests.monai_app.application import Run, run


@pytest.fixture(scope="session")
def real_run(shared, tmp_path_factory) -> Run:
    return run(shared / "dicom", tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def matrix(tmp_path_factory, tally) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("matrix"), tally)
