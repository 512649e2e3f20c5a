"""How long an arm takes alone: nothing is shared with another, as the application would run it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from operators.networks.bundle import Bundle
from operators.pipeline import classification, localization
from operators.records.images import Classification, Localization, Radiograph
from operators.records.rules import BoxRule, MapRule
from operators.records.states import State
from training.localization.arms import OUTLINES, Arm
from training.localization.masks import Mask
from training.localization.measuring import outlines
from training.localization.rows import Case, Tools

Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Seconds:
    """Median seconds per image of what one arm needs alone; ``outline`` is None where it outlines nothing."""

    find: float
    outline: float | None


def time_arms(cases: Sequence[Case], tools: Tools, arms: Sequence[Arm]) -> dict[str, Seconds]:
    """Return {arm: seconds}, each arm run alone as the application would; the first image is run once more to warm up.

    Classification with the map's views, map and boxes; the outlines, in the arm's own boxes, are timed apart.
    """
    finding: dict[tuple[MapRule, BoxRule], float] = {}
    outlining: dict[str, float] = {}
    for maps in dict.fromkeys(arm.maps for arm in arms):
        radiographs = [case.radiograph for case in cases]
        records, classify_seconds = _timed(radiographs, partial(_classified, tools.classifier, maps))
        for arm in (arm for arm in arms if arm.maps == maps):
            found, find_seconds = _timed(records, partial(_localized, arm))
            finding.setdefault((arm.maps, arm.boxes), classify_seconds + find_seconds)  # the same way has one time
            if arm.kind == OUTLINES:
                outlining[arm.name] = _timed(found, partial(_outlined, arm, tools))[1]
    return {arm.name: Seconds(finding[arm.maps, arm.boxes], outlining.get(arm.name)) for arm in arms}


def _classified(bundle: Bundle, rule: MapRule, radiograph: Radiograph) -> Classification:
    classified: Classification = classification((bundle,), rule, everything=True).step(radiograph)
    return replace(classified, state=State.ABNORMAL)  # the gate is open


def _localized(arm: Arm, classified: Classification) -> Localization:
    localized: Localization = localization(arm.boxes).step(classified)
    return localized


def _outlined(arm: Arm, tools: Tools, localized: Localization) -> Sequence[Mask]:
    return outlines(arm, localized, tools)


def _timed(inputs: Sequence[Given], function: Callable[[Given], Result]) -> tuple[list[Result], float]:
    function(inputs[0])
    results, seconds = [], []
    for each in inputs:
        started = time.perf_counter()
        results.append(function(each))
        seconds.append(time.perf_counter() - started)
    return results, statistics.median(seconds)
