"""Mutants through the chain of a user: header, scope, pixels, classifier. What becomes of each is counted."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from monai_app.analyser import Analyser, open_analyser
from monai_app.settings import read_settings
from operators.records.images import Classification
from operators.records.sources import ExcludedImage, SourceFile
from tests.fuzz.lenient import LenientReader
from tests.fuzz.mutations import HEADER, Mutant

CLASSIFIER = "msk_cnn"
IGNORED, REFUSED, REMARK, VERDICT = "no DICOM", "refused", "with a remark", "without a remark"
LARGE_CHANGE = 0.1  # of the pixels


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; ``changed``: the share of pixels that differ from the sound ones, None for headers."""

    mutant: Mutant
    kind: str
    reason: str
    changed: float | None
    seconds: float


@dataclass
class Tally:
    """The outcomes of a campaign."""

    outcomes: list[Outcome] = field(default_factory=list)
    crashes: Counter[str] = field(default_factory=Counter)
    peak_mib: float = 0.0


@contextmanager
def analyser() -> Iterator[Analyser]:
    """The application in memory with the short classifier."""
    settings = read_settings()
    short = dataclasses.replace(settings.classification, bundle=CLASSIFIER)
    with open_analyser(settings=dataclasses.replace(settings, classification=short)) as opened:
        yield opened


def run(mutants: Iterable[Mutant]) -> Tally:
    """Take mutants through the chain, one after the other."""
    tally, lenient = Tally(), LenientReader()
    with analyser() as opened:

        @cache
        def sound(file: bytes) -> Classification:
            found = _analyse(opened, file)
            assert isinstance(found, Classification)
            assert not found.radiograph.doubts
            return found

        for mutant in mutants:
            reference = sound(mutant.seed.file)
            started = time.monotonic()
            try:
                found = _analyse(opened, mutant.file)
            except Exception as error:  # noqa: BLE001 - counted: there must be none
                tally.crashes[type(error).__name__] += 1
                continue
            seconds = time.monotonic() - started
            kind, reason = _describe(found)
            changed = None if mutant.kind == HEADER else _changed(found, reference, mutant, lenient)
            tally.outcomes.append(Outcome(mutant, kind, reason, changed, seconds))
            tally.peak_mib = max(tally.peak_mib, _peak_mib(opened))
    lenient.close()
    return tally


def _analyse(opened: Analyser, file: bytes) -> Classification | ExcludedImage | None:
    """What the chain says of a file, up to its classification; None: it is no image."""
    with opened.index([SourceFile(Path("mutant.dcm"), "mutant.dcm", file)]) as index:
        for study in index.studies(lambda: None):
            image = study.images[0]
            for stage in opened.stages[:2]:
                study = stage(study)  # noqa: PLW2901
                image = study.images[0]
            return image
    return None


def _describe(found: Classification | ExcludedImage | None) -> tuple[str, str]:
    if found is None:
        return IGNORED, ""
    if isinstance(found, ExcludedImage):
        return REFUSED, str(found.reason)
    return (REMARK, str(found.radiograph.doubts[0])) if found.radiograph.doubts else (VERDICT, str(found.state))


def _changed(found: object, reference: Classification, mutant: Mutant, lenient: LenientReader) -> float:
    """The share of pixels that differ: in our picture, or, of a mutant that is refused, in a lenient reader's."""
    if not isinstance(found, Classification):
        return lenient.changed(mutant.seed.file, mutant.file)
    before, after = reference.radiograph.pixels, found.radiograph.pixels
    return 1.0 if before.shape != after.shape else float(np.mean(before != after))


def _peak_mib(opened: Analyser) -> float:
    child = opened.decoder._child
    if child is None or child.poll() is not None:
        return 0.0
    status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
