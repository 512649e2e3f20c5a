"""What was fitted for a classifier on validation data, and is part of its bundle's metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.sr.coding import Code

from operators.records.codes import ABNORMALITY
from operators.records.errors import BundleError
from operators.records.operating_points import Calibration, OperatingPoints
from operators.records.rules import BoxRule, MapRule

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}")  # it is written into DICOM objects, VR LO
_LONGEST_LIMIT = 1000  # characters
_LARGEST = 1e6
# The parts of a finding's code, and how many characters each may have (PS3.3 8.8; a meaning is part of labels too).
_CODE = {"code": 16, "scheme": 16, "meaning": 40}


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
    finding
        What "abnormal" means of this classifier: what it was trained to find.
    """

    calibration: Calibration
    image_points: OperatingPoints
    study_points: OperatingPoints
    maps: MapRule
    boxes: BoxRule
    stages: tuple[str, ...] = ()
    finding: Code = ABNORMALITY


def check_description(bundle: str, metadata: Mapping[str, Any]) -> None:
    """Check what results say of any bundle.

    Raises
    ------
    BundleError
        If ``version`` is no version, or ``limits``, where there are any, are no sentences.
    """
    version, limits = metadata.get("version"), metadata.get("limits", [])
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BundleError(f"bundle {bundle}: metadata.json has no usable version; write one like 0.1.0")
    if not _are_words(limits) or any(not text.strip() or len(text) > _LONGEST_LIMIT for text in limits):
        raise BundleError(f"bundle {bundle}: limits of metadata.json are no list of sentences")


def parse_fitted(bundle: str, metadata: Mapping[str, Any]) -> Fitted:
    """Return what the metadata of a bundle say was fitted.

    Raises
    ------
    BundleError
        If a section or a number is missing, or a value is of another kind or impossible; the text names it.
    """
    lacking = [section for section in ("operating_points", "localization") if section not in metadata]
    if lacking:
        raise BundleError(f"bundle {bundle} is no classifier: metadata.json lacks {', '.join(lacking)}")
    try:
        calibration = Calibration(
            _number(metadata, "operating_points.temperature", (1e-6, _LARGEST)),
            _number(metadata, "operating_points.bias", (-_LARGEST, _LARGEST), default=0.0),
        )
        image, study = (_points(metadata, f"operating_points.{level}") for level in ("image", "study"))
        maps, boxes, stages = _map_rule(metadata), _box_rule(metadata), _stages(metadata)
        finding = _finding(metadata)
    except (TypeError, ValueError) as error:
        remedy = "run training.fit on the bundle"
        raise BundleError(f"bundle {bundle}: metadata.json cannot be used ({error}); {remedy}") from error
    if maps.stages > 1 + len(stages):
        raise BundleError(f"bundle {bundle}: localization.stages of metadata.json names too few for stages_used")
    return Fitted(calibration, image, study, maps, boxes, stages, finding)


def _finding(metadata: Mapping[str, Any]) -> Code:
    """Return the code of what a classifier finds; a bundle of version 0.1 or 0.2 names none."""
    if "finding" not in metadata:
        return ABNORMALITY
    parts = [_value(metadata, f"finding.{part}") for part in _CODE]
    for (part, longest), text in zip(_CODE.items(), parts, strict=True):
        usable = isinstance(text, str) and text.strip() == text and 0 < len(text) <= longest
        if not usable or not text.isprintable() or "\\" in text:
            raise ValueError(f"finding.{part} is missing or no text of 1 to {longest} characters")
    return Code(*parts)


def _value(metadata: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return a value that is named by its keys with dots between."""
    *sections, key = name.split(".")
    section: Any = metadata
    for each in sections:
        section = section.get(each) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping):
        raise TypeError(f"{'.'.join(sections)} is missing or no section")
    return section.get(key, default)


def _number(metadata: Mapping[str, Any], name: str, limits: tuple[float, float], default: float | None = None) -> float:
    """Return a number within limits."""
    value = _value(metadata, name, default)
    if not _is_number(value) or not limits[0] <= value <= limits[1]:
        raise ValueError(f"{name} is missing or no number from {limits[0]:g} to {limits[1]:g}")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _are_words(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _points(metadata: Mapping[str, Any], level: str) -> OperatingPoints:
    # A threshold just above 1 calls no image abnormal: training.fit writes it where probabilities reach 1.
    limits = (0.0, math.nextafter(1.0, 2.0))
    rule_out, rule_in = (_number(metadata, f"{level}.{name}", limits) for name in ("rule_out", "rule_in"))
    if rule_out > rule_in:
        raise ValueError(f"{level}.rule_out is above rule_in")
    return OperatingPoints(rule_out, rule_in)


def _stages(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    stages = _value(metadata, "localization.stages", ())
    if not _are_words(stages):
        raise TypeError("localization.stages is no list of names")
    return tuple(stages)


def _map_rule(metadata: Mapping[str, Any]) -> MapRule:
    stages, flips = _value(metadata, "localization.stages_used", 1), _value(metadata, "localization.flips", False)
    scales = _value(metadata, "localization.scales", (1.0,))
    if not isinstance(stages, int) or isinstance(stages, bool):
        raise TypeError("localization.stages_used is no whole number")
    if not isinstance(flips, bool):
        raise TypeError("localization.flips is neither true nor false")
    if not isinstance(scales, list | tuple) or not all(_is_number(scale) and 0.25 <= scale <= 4 for scale in scales):
        raise TypeError("localization.scales is no list of numbers from 0.25 to 4")
    return MapRule(_value(metadata, "localization.map", "cam"), stages, flips, tuple(map(float, scales)))


def _box_rule(metadata: Mapping[str, Any]) -> BoxRule:
    return BoxRule(
        method=_value(metadata, "localization.boxes", "components"),
        threshold=_number(metadata, "localization.threshold", (0.0, 1.0)),
        expansion=_number(metadata, "localization.expansion", (0.0, 10.0)),
        cut=_value(metadata, "localization.cut", "fraction"),
        minimum_score=_number(metadata, "localization.least_score", (0.0, 1.0), default=0.0),
    )
