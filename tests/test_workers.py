"""Tests that look at the same things run in one worker."""

from __future__ import annotations

from tests.workers import group

MATRIX, ORTHANC = "tests/integration/test_matrix.py", "tests/integration/test_orthanc.py"


def test_a_header_variant_stays_together():
    assert group(f"{MATRIX}::test_a[dx]") == group(f"{ORTHANC}::test_b[dx]") != group(f"{ORTHANC}::test_b[cr]")


def test_what_looks_at_one_run_stays_together():
    assert group("tests/integration/test_real_files.py::test_a") == group(
        "tests/integration/test_validators.py::test_b"
    )


def test_other_tests_stay_with_their_file():
    assert group("tests/test_a.py::test_a[x-y]") == group("tests/test_a.py::test_b") == "tests/test_a.py"
