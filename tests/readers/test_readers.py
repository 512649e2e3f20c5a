"""Programs that clients use read the objects, and what they read is what ``result.json`` and the masks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.readers.cases import CASES, WrittenStudy, write_case
from tests.readers.comparison import wrong
from tests.readers.programs import GROUP_OF_KIND, READERS, Reading, read

pytestmark = pytest.mark.readers

SEGMENTATIONS = ("seg", "heatmap", "labelmap")


# dwv draws one mask of all segments, and decodes compressed pictures only in the workers of a browser.
NOT_BY_DWV = {("seg", "overlapping_outlines"), ("sc", "compressed")}


def combinations() -> Iterator[tuple[str, str, str]]:
    """Yield what each reader is to read."""
    for name, reader in READERS.items():
        for kind in reader.kinds:
            for case, (state, _) in CASES.items():
                nothing = state == "normal" and kind in SEGMENTATIONS
                if not nothing and not (name == "dwv" and (kind, case) in NOT_BY_DWV):
                    yield name, kind, case


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Mapping[str, WrittenStudy]:
    folder = tmp_path_factory.mktemp("readers")
    return {name: write_case(name, folder / name) for name in CASES}


@pytest.fixture(scope="module")
def readings_of(studies) -> Callable[[str], Mapping[Path, Reading]]:
    """What a reader reads of all studies, read once."""
    return cache(lambda reader: read(READERS[reader], [study.paths() for study in studies.values()]))


@pytest.mark.parametrize("combination", combinations(), ids="-".join)
def test_a_reader_reads_what_is_so(readings_of, studies, tally, combination):
    reader, kind, case = combination
    paths, readings = studies[case].of(kind), readings_of(reader)
    assert paths
    found = {path: wrong(kind, path, readings[path], studies[case].expected) for path in paths}
    for path, said in found.items():
        tally.count_reading(reader, kind, was_read="error" not in readings[path], errors=len(said))
    assert not any(found.values()), found


@pytest.mark.parametrize(("reader", "kind"), [(name, kind) for name in READERS for kind in READERS[name].unknown])
def test_what_a_reader_does_not_know_it_refuses(readings_of, studies, reader, kind):
    """Nothing of it is read as something else; docs/judges.md says so."""
    paths = [path for study in studies.values() for path in study.of(kind)]
    assert paths
    assert all("error" in readings_of(reader)[path] for path in paths)


def test_every_kind_of_object_is_read(studies):
    for kind in GROUP_OF_KIND:
        assert any(study.of(kind) for study in studies.values()), kind
        assert any(kind in reader.kinds for reader in READERS.values()), kind
