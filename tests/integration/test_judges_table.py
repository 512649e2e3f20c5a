"""docs/judges.md lists every kind of object and every judge that the tests run, and no error."""

from __future__ import annotations

from operators.encoding.object_kinds import OBJECT_KINDS
from tests.integration.judges import KINDS
from tests.integration.judges_table import NAMES, PAGE, judges, render
from tests.readers.programs import READERS, version


def rows(after: str = "## Object by judge") -> list[list[str]]:
    lines = PAGE.read_text("utf-8").split(after)[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_every_kind_of_object_has_a_name():
    assert {kind.name for kind in OBJECT_KINDS} == set(NAMES)


def test_the_table_lists_every_object_and_judge():
    head, _, *body = rows()
    assert head[1:] == list(judges())
    assert [row[0] for row in body] == [NAMES[kind] for kind in KINDS]


def test_every_cell_holds_a_result_without_errors():
    _, _, *body = rows()
    for kind, (_, *cells) in zip(KINDS, body, strict=True):
        for judge, cell in zip(judges(), cells, strict=True):
            assert cell == "–" if kind not in judges()[judge] else cell.endswith(", 0 errors"), (kind, judge, cell)
            assert not cell.startswith("0,")


def test_every_reader_reads_every_object_that_it_knows_rightly():
    listed = {tuple(row[:2]): row[2:] for row in rows("## Readers")}
    for name, reader in READERS.items():
        for kind in reader.kinds:
            said = listed[f"{name} {version(reader)}", NAMES[kind]]
            assert all(answer.startswith("yes: ") and not answer.startswith("yes: 0") for answer in said), (name, kind)


def test_a_judge_that_did_not_run_is_named():
    assert "not run" in render({"versions": {}})
