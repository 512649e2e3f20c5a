"""The list of images: what a spreadsheet reads back is what was found, and it calculates nothing."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from operators.records.geometry import PixelBox
from operators.records.reasons import DeclinedReason
from operators.records.states import State
from operators.reporting.result_list import COLUMNS, as_csv, as_table
from operators.reporting.summaries import ImageSummary, StudySummary

NAMES = st.text(st.characters(blacklist_categories=()), min_size=1).filter(lambda name: "\0" not in name)


def study(*names: str) -> StudySummary:
    images = tuple(
        ImageSummary(
            *(name, "1.2", State.ABNORMAL, None, None, "WRIST", "PA", "L", 0.91),
            boxes=((PixelBox(1, 2, 30, 40), 0.5), (PixelBox(5, 6, 70, 80), 0.25)),
        )
        for name in names
    )
    return StudySummary("1.2", "0" * 16, State.ABNORMAL, 0.91, (), images)


def rows(studies: list[StudySummary]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(studies).decode("utf-8"), newline="")))


def test_a_row_tells_what_an_image_came_to():
    declined = ImageSummary(
        "a/b.dcm", "1.3", State.DECLINED, DeclinedReason.COLOUR, "in colour", None, None, None, None
    )
    first, second = rows([study("c.dcm"), StudySummary("1.3", None, State.DECLINED, None, (), (declined,))])
    assert list(first) == list(COLUMNS)
    assert (first["file"], first["study_folder"], first["state"], first["probability"]) == (
        *("c.dcm", "0" * 16, "abnormal"),
        "0.910000",
    )
    assert first["boxes"] == "1 2 30 40 0.5000; 5 6 70 80 0.2500"
    assert (first["body_part"], first["view_position"], first["laterality"]) == ("WRIST", "PA", "L")
    assert (second["state"], second["reason"], second["probability"], second["boxes"]) == ("declined", "colour", "", "")


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_no_name_of_a_file_is_a_formula_or_breaks_the_list(names):
    told = [row["file"] for row in rows([study(*names)])]
    assert len(told) == len(names)
    for name, cell in zip(names, told, strict=True):
        assert cell[0] not in "=+-@\t\r\n＝＋－＠"
        assert cell.removeprefix("'") == name.encode("utf-8", "backslashreplace").decode() or cell == name


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_the_table_has_one_line_per_image_without_control_characters(names):
    lines = list(as_table([study(*names)]))
    assert len(lines) == 1 + len(names)
    assert all(line.isprintable() and len(line.splitlines()) == 1 for line in lines)
    assert all("0.910" in line and "(1, 2, 30, 40: 0.50)" in line for line in lines[1:])
