"""One run on the real files, for all tests that look at it."""

from __future__ import annotations

import pytest

from tests.app.application import Run, run


@pytest.fixture(scope="session")
def real_run(shared, tmp_path_factory) -> Run:
    return run(shared / "dicom", tmp_path_factory.mktemp("real"))
