"""Patient Orientation tells how a picture is turned; a mirrored one is not turned."""

from __future__ import annotations

import itertools

import pytest
from pydicom.dataset import Dataset

from operators.reading.plausibility.orientation import is_upright, upright_turns

OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H", "A": "P", "P": "A"}


def header(along_row: str, down_column: str) -> Dataset:
    ds = Dataset()
    ds.PatientOrientation = [along_row, down_column]
    return ds


def turned(along_row: str, down_column: str) -> tuple[str, str]:
    """The directions of a picture that is turned by a quarter, counter-clockwise: what lay right lies above."""
    return down_column, OPPOSITE[along_row]


@pytest.mark.parametrize("across", "LRAP")
@pytest.mark.parametrize("quarters", range(4))
def test_any_turn_of_an_upright_picture_is_undone(across, quarters):
    directions = (across, "F")
    for _ in range(quarters):
        directions = turned(*directions)
    assert (quarters + upright_turns(header(*directions), "KNEE")) % 4 == 0
    assert is_upright(header(*directions), "KNEE") == (quarters == 0)


@pytest.mark.parametrize(("along_row", "down_column"), [*itertools.product("LRAP", "LRAP")])
def test_an_axial_picture_stays_as_it_is(along_row, down_column):
    assert upright_turns(header(along_row, down_column), "KNEE") == 0
    assert is_upright(header(along_row, down_column), "KNEE")


@pytest.mark.parametrize("value", [None, "L", ["L", "F", "A"], ["", ""], ["H", "F"]])
def test_what_cannot_be_understood_turns_nothing(value):
    ds = Dataset()
    ds.PatientOrientation = value
    assert upright_turns(ds, "KNEE") == 0


def test_the_main_direction_of_an_oblique_picture_counts():
    assert upright_turns(header("LH", "FR"), "KNEE") == 0
    assert upright_turns(header("HL", "LF"), "KNEE") == 1
