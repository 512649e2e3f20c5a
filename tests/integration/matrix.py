"""The matrix: header variants x states, every object built, written and judged, as fast as two cores allow."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.built_studies import STATES, build_study
from tests.header_variants import NO_OBJECTS, VARIANTS
from tests.integration import validators
from tests.integration.judges import JUDGES, KNOWN_IN_2022, Objects, Tally
from tests.integration.validators import Verdict

# Variants that have no valid identity give no objects (tests/operators/reading); all others are here.
JUDGED = tuple(name for name, variant in VARIANTS.items() if variant.outcome not in ("header_invalid", NO_OBJECTS))
EVERY_STATE = JUDGED[::3]  # these in all states, the others in one with findings, in turn


@dataclass(frozen=True, slots=True)
class Cell:
    """One study of the matrix, and what was found wrong with it."""

    variant: str
    state: str
    objects: Objects
    wrong: tuple[str, ...]


def cells() -> Iterator[tuple[str, str]]:
    """Yield the variant and state of each study."""
    with_findings = [state for state in STATES if state not in ("normal", "declined")]
    for index, name in enumerate(JUDGED):
        for state in STATES if name in EVERY_STATE else [with_findings[index % len(with_findings)]]:
            yield name, state


def build_matrix(folder: Path, tally: Tally) -> Mapping[str, list[Cell]]:
    """Build all studies; while one is built, the judges look at those before it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = []
        for name, state in cells():
            objects = write_cell(name, state, folder / name / state)
            running.append((name, state, objects, pool.submit(judge, objects), pool.submit(_judge_source, objects)))
        matrix = defaultdict(list)
        for name, state, objects, verdicts, of_sources in running:
            wrong = [text for name_of, found in verdicts.result().items() for text in tally.add(name_of, found)]
            wrong += [f"dcentvfy with the source: {line}" for line in of_sources.result().errors]
            matrix[name].append(Cell(name, state, objects, tuple(wrong)))
    return matrix


def write_cell(name: str, state: str, folder: Path) -> Objects:
    paths = build_study(name, state).write(folder)
    return Objects(tuple(paths), tuple(sorted(folder.glob("source_*.dcm"))), VARIANTS[name].tolerated)


def judge(objects: Objects) -> dict[str, Mapping[Path, Verdict]]:
    """Return what each judge says of the files of a study."""
    return {name: about.judge(objects) for name, about in JUDGES.items()}


def _judge_source(objects: Objects) -> Verdict:
    """Whether objects and image agree, where the header is copied byte by byte: dcentvfy knows no character sets."""
    variant = VARIANTS[objects.sources[0].parent.parent.name]
    if variant.emptied or variant.rewritten or not objects.paths:
        return Verdict()
    return validators.dcentvfy([*objects.sources[:1], *objects.of(*KNOWN_IN_2022)])
