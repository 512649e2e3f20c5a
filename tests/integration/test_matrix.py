"""Every kind of object, of every header variant and in every state, before judges that we did not write."""

from __future__ import annotations

import json

import pytest

from tests.built_studies import STATES
from tests.integration import validators
from tests.integration.judges import KINDS, LABELMAP_UNKNOWN, MATRIX, PIXELMED, kind_of
from tests.integration.matrix import (
    EVERY_STATE,
    JUDGED,
    PLAIN,
    WITH_FINDINGS,
    cells,
    chosen_cells,
    full_cells,
    pairs,
    states_of,
)


def test_the_matrix_is_large_enough():
    assert len(EVERY_STATE) >= 40
    assert set(full_cells()) >= {(name, state) for name in EVERY_STATE for state in STATES}
    assert {name for name, _ in full_cells()} == set(JUDGED)


def test_the_part_for_every_day_holds_every_variant_state_and_pair():
    full, chosen = set(full_cells()), set(chosen_cells())
    assert chosen < full
    assert {name for name, state in chosen if state in WITH_FINDINGS} == set(JUDGED)
    assert {state for name, state in chosen if name == PLAIN} == set(STATES)
    assert {pair for cell in chosen for pair in pairs(*cell)} == {pair for cell in full for pair in pairs(*cell)}


def test_all_states_are_judged():
    assert {state for _, state in cells()} == set(STATES)
    assert {name for name, _ in cells()} == set(JUDGED)


@pytest.mark.external
@pytest.mark.parametrize("name", JUDGED)
def test_no_judge_finds_an_error(matrix, name):
    judged = matrix.judged(name)
    assert [cell.state for cell in judged] == list(states_of(name))
    wrong = [f"{cell.state}: {text}" for cell in judged for text in cell.wrong]
    assert not wrong, "\n".join(wrong)


@pytest.mark.external
@pytest.mark.parametrize("name", [name for name in JUDGED if set(states_of(name)) == set(STATES)])
def test_every_state_has_its_objects(matrix, name):
    of_states = {state: {kind_of(path) for path in matrix.written(name, state).paths} for state in STATES}
    assert all("sr" in kinds for kinds in of_states.values())
    assert of_states["declined"] <= {"sr", "pdf"}
    if len(of_states["abnormal_3"]) > len(of_states["declined"]):  # else the image is out of scope
        assert of_states["abnormal_3"] == set(KINDS)
        assert of_states["normal"] == set(KINDS) - {"seg", "labelmap", "heatmap"}


@pytest.mark.external
@pytest.mark.parametrize("part", [0, 1])
def test_pixelmed_finds_no_error_in_reports(matrix, tally, part):
    """All states of one variant and, of the full matrix, one of every fifth: it takes three seconds for a report."""
    chosen = [(PLAIN, state) for state in STATES]
    if MATRIX == "full":
        chosen += [(name, states_of(name)[-1]) for name in JUDGED[::5]]
    paths = sorted({path for cell in chosen for path in matrix.written(*cell).of("sr")})
    assert list(tally.add(PIXELMED, validators.pixelmed(paths[part::2]))) == []


@pytest.mark.external
def test_what_is_allowed_of_labelmaps_is_what_is_said(matrix):
    """The two allowed lines are those of a LABELMAP and no wider."""
    (path,) = matrix.written(PLAIN, "abnormal_1").of("labelmap")
    said = validators.dciodvfy(path).errors
    assert said
    assert all(any(pattern.search(line) for pattern in LABELMAP_UNKNOWN) for line in said), json.dumps(said)
