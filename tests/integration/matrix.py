"""The matrix: header variants x states, every object built, written and judged.

``OSTEOMAP_MATRIX`` says how much of it: ``full``, which CI takes, or ``pairs``, the part for every day, by this rule:

- every variant in one state with findings, so that every judge sees every kind of object of it;
- the plain header in every state, so that every judge sees every state;
- of the other studies each, in their order, that shows a characteristic of a header (``characteristics``) in a state in
  which no study before it showed it: every pair of the full matrix occurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.built_studies import STATES, build_study
from tests.header_variants import NO_OBJECTS, VARIANTS
from tests.integration import validators
from tests.integration.judges import JUDGES, KNOWN_IN_2022, MATRIX, Objects, Tally
from tests.integration.validators import Verdict

# Variants that have no valid identity give no objects (tests/operators/reading); all others are here.
JUDGED = tuple(name for name, variant in VARIANTS.items() if variant.outcome not in ("header_invalid", NO_OBJECTS))
EVERY_STATE = JUDGED[::3]  # these in all states, the others in one with findings, in turn
PLAIN = "dx"
WITH_FINDINGS = tuple(state for state in STATES if state not in ("normal", "declined"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One study of the matrix, and what was found wrong with it."""

    variant: str
    state: str
    objects: Objects
    wrong: tuple[str, ...]


def state_with_findings(name: str) -> str:
    return WITH_FINDINGS[JUDGED.index(name) % len(WITH_FINDINGS)]


def full_cells() -> Iterator[tuple[str, str]]:
    """Yield the variant and state of each study of the full matrix."""
    for name in JUDGED:
        for state in STATES if name in EVERY_STATE else [state_with_findings(name)]:
            yield name, state


def characteristics(name: str) -> tuple[object, ...]:
    """Return what ``tests.header_variants`` says of a variant beside its changes."""
    variant = VARIANTS[name]
    of_header = (bool(variant.emptied), bool(variant.rewritten), bool(variant.tolerated))
    return (variant.outcome, variant.kind, variant.syntax, variant.with_meta, *of_header)


def pairs(name: str, state: str) -> set[tuple[int, object, str]]:
    """Return every characteristic of a variant with a state."""
    return {(place, value, state) for place, value in enumerate(characteristics(name))}


def chosen_cells() -> Iterator[tuple[str, str]]:
    """Yield the part of the full matrix that holds every variant, state and pair, by the rule of this module."""
    full = list(full_cells())
    chosen = {cell for cell in full if cell[0] == PLAIN or cell[1] == state_with_findings(cell[0])}
    seen = {pair for cell in chosen for pair in pairs(*cell)}
    for cell in full:
        if not pairs(*cell) <= seen:
            chosen.add(cell)
            seen |= pairs(*cell)
    yield from (cell for cell in full if cell in chosen)


def cells() -> tuple[tuple[str, str], ...]:
    """Return the variant and state of each study that is judged in this session."""
    return tuple({"full": full_cells, "pairs": chosen_cells}[MATRIX]())


def states_of(name: str) -> tuple[str, ...]:
    return tuple(state for variant, state in cells() if variant == name)


@dataclass
class Matrix:
    """The studies of the matrix, built and judged, once, when a test asks for them."""

    folder: Path
    tally: Tally
    _written: dict[tuple[str, str], Objects] = field(default_factory=dict)
    _judged: dict[str, list[Cell]] = field(default_factory=dict)

    def written(self, name: str, state: str) -> Objects:
        """Return the objects of one study."""
        if (name, state) not in self._written:
            self._written[name, state] = write_cell(name, state, self.folder / name / state)
        return self._written[name, state]

    def judged(self, name: str) -> list[Cell]:
        """Return the studies of a variant; while one is built, the judges look at those before it."""
        if name not in self._judged:
            with ThreadPoolExecutor(2) as pool:
                running = []
                for state in states_of(name):
                    objects = self.written(name, state)
                    verdicts = {judge: pool.submit(about.judge, objects) for judge, about in JUDGES.items()}
                    running.append((state, objects, verdicts, pool.submit(_judge_source, objects)))
                self._judged[name] = [self._cell(name, *cell) for cell in running]
        return self._judged[name]

    def _cell(
        self,
        name: str,
        state: str,
        objects: Objects,
        verdicts: Mapping[str, Future[Mapping[Path, Verdict]]],
        of_source: Future[Verdict],
    ) -> Cell:
        wrong = [text for judge, found in verdicts.items() for text in self.tally.add(judge, found.result())]
        wrong += [f"dcentvfy with the source: {line}" for line in of_source.result().errors]
        return Cell(name, state, objects, tuple(wrong))


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
