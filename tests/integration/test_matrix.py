"""Every kind of object, of every header variant and in every state, before judges that we did not write."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.built_studies import STATES
from tests.integration import validators
from tests.integration.judges import KINDS, LABELMAP_UNKNOWN, PIXELMED, kind_of
from tests.integration.matrix import EVERY_STATE, JUDGED

pytestmark = pytest.mark.external


def test_the_matrix_is_large_enough(matrix):
    assert len(EVERY_STATE) >= 40
    assert {(cell.variant, cell.state) for cells in matrix.values() for cell in cells} >= {
        (name, state) for name in EVERY_STATE for state in STATES
    }


@pytest.mark.parametrize("name", JUDGED)
def test_no_judge_finds_an_error(matrix, name):
    wrong = [f"{cell.state}: {text}" for cell in matrix[name] for text in cell.wrong]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", EVERY_STATE)
def test_every_state_has_its_objects(matrix, name):
    of_states = {cell.state: {kind_of(path) for path in cell.objects.paths} for cell in matrix[name]}
    assert all("sr" in kinds for kinds in of_states.values())
    assert of_states["declined"] <= {"sr", "pdf"}
    if len(of_states["abnormal_3"]) > len(of_states["declined"]):  # else the image is out of scope
        assert of_states["abnormal_3"] == set(KINDS)
        assert of_states["normal"] == set(KINDS) - {"seg", "labelmap", "heatmap"}


def test_pixelmed_finds_no_error_in_reports(matrix, tally):
    """All states of one variant and one state of every fifth: PixelMed takes three seconds for a report."""
    chosen = [*matrix["dx"], *(matrix[name][-1] for name in JUDGED[::5])]
    paths = sorted({path for cell in chosen for path in cell.objects.of("sr")})
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(validators.pixelmed, (paths[::2], paths[1::2])))
    assert list(tally.add(PIXELMED, halves[0] | halves[1])) == []


def test_what_is_allowed_of_labelmaps_is_what_is_said(matrix):
    """The two allowed lines are those of a LABELMAP and no wider."""
    path = next(path for cells in matrix.values() for cell in cells for path in cell.objects.of("labelmap"))
    said = validators.dciodvfy(path).errors
    assert said
    assert all(any(pattern.search(line) for pattern in LABELMAP_UNKNOWN) for line in said), json.dumps(said)
