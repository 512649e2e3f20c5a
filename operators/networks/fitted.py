"""What was fitted for a classifier on validation data, and is part of its bundle's metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operators.records.errors import BundleError
from operators.records.operating_points import Calibration, OperatingPoints
from operators.records.rules import BoxRule, MapRule

# Numbers that the metadata of a classifier must hold; ``training.fit`` writes them.
_NUMBERS = (
    "operating_points.temperature",
    *(f"operating_points.{level}.{point}" for level in ("image", "study") for point in ("rule_out", "rule_in")),
    "localization.threshold",
    "localization.expansion",
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a classifier decides with.

    Parameters
    ----------
    calibration
        How the network's logit becomes a probability.
    image_points, study_points
        Where an image and a study are ruled out and in.
    maps, boxes
        How its activation map is made, and how boxes are found on the map.
    stages
        Names of the modules of the network whose outputs a map of several stages uses, beside the last features.
    """

    calibration: Calibration
    image_points: OperatingPoints
    study_points: OperatingPoints
    maps: MapRule
    boxes: BoxRule
    stages: tuple[str, ...] = ()


def parse_fitted(bundle: str, metadata: Mapping[str, Any]) -> Fitted:
    """Return what the metadata of a bundle say was fitted.

    Raises
    ------
    BundleError
        If a section or a number is missing, or a value is impossible; the text names it.
    """
    lacking = [section for section in ("operating_points", "localization") if section not in metadata]
    if lacking:
        raise BundleError(f"bundle {bundle} is no classifier: metadata.json lacks {', '.join(lacking)}")
    unusable = [name for name in _NUMBERS if not _is_number(metadata, name)]
    if unusable or metadata["operating_points"]["temperature"] <= 0:
        what = ", ".join(unusable) or "operating_points.temperature"
        raise BundleError(f"bundle {bundle}: metadata.json has no usable {what}; run training.fit on the bundle")
    points, found = metadata["operating_points"], metadata["localization"]
    try:
        maps, boxes, stages = _map_rule(found), _box_rule(found), tuple(found.get("stages", ()))
    except (TypeError, ValueError) as error:
        raise BundleError(f"bundle {bundle}: localization of metadata.json cannot be used ({error})") from error
    calibration = Calibration(float(points["temperature"]), float(points.get("bias", 0.0)))
    return Fitted(calibration, _points(points["image"]), _points(points["study"]), maps, boxes, stages)


def _is_number(metadata: Mapping[str, Any], name: str) -> bool:
    """Say whether a value of the metadata, named by its keys with dots between, is a finite number."""
    value: Any = metadata
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return isinstance(value, int | float) and math.isfinite(value)


def _points(fitted: Mapping[str, Any]) -> OperatingPoints:
    return OperatingPoints(float(fitted["rule_out"]), float(fitted["rule_in"]))


def _map_rule(fitted: Mapping[str, Any]) -> MapRule:
    return MapRule(
        method=fitted.get("map", "cam"),
        stages=fitted.get("stages_used", 1),
        flips=fitted.get("flips", False),
        scales=tuple(fitted.get("scales", (1.0,))),
    )


def _box_rule(fitted: Mapping[str, Any]) -> BoxRule:
    return BoxRule(
        method=fitted.get("boxes", "components"),
        threshold=fitted["threshold"],
        expansion=fitted["expansion"],
        cut=fitted.get("cut", "fraction"),
        minimum_score=fitted.get("least_score", 0.0),
    )
