"""Settings and what was fitted for a model -> the rules that the stages work by."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from monai_app.settings import Settings, SettingsError
from operators.networks.bundle import Bundle
from operators.records.reasons import DoubtReason
from operators.records.rules import BoxRule, MapRule, ObjectRule, PromptRule, Rules, Scope, TurnRule


def rules_of(settings: Settings, classifier: Bundle) -> Rules:
    """Return how every stage works; ``classifier`` is the one that gives the heat map."""
    return Rules(
        scope(settings),
        map_rule(settings, classifier),
        box_rule(settings, classifier),
        prompt_rule(settings),
        object_rule(settings),
        settings.report.patient_data,
        turn_rule(settings),
    )


def scope(settings: Settings) -> Scope:
    """Return which images are analysed."""
    limits = settings.radiographs
    area = int(limits.largest_megapixels * 1_000_000)
    accepted = tuple(DoubtReason(name) for name in settings.classification.accepted_doubts)
    return Scope(frozenset(limits.body_parts), limits.secondary_capture, limits.smallest_side, area, accepted)


def turn_rule(settings: Settings) -> TurnRule:
    """Return whether a picture that seems normal is looked at turned, too."""
    chosen = settings.classification
    return TurnRule(chosen.check_turned, DoubtReason.ABNORMAL_WHEN_TURNED in chosen.accepted_doubts)


def map_rule(settings: Settings, classifier: Bundle) -> MapRule:
    """Return how the activation map is made; what the settings leave open was fitted for the bundle that gives it.

    Raises
    ------
    SettingsError
        If more stages are asked for than the bundle names.
    """
    chosen = settings.localization
    given = {"method": chosen.map, "stages": chosen.stages, "flips": chosen.flips, "scales": chosen.scales}
    rule = dataclasses.replace(classifier.fitted.maps, **_given(given))
    named = 1 + len(classifier.fitted.stages)
    if rule.stages > named:
        raise SettingsError(f"localization: stages: {rule.stages} asked for, bundle {classifier.name} names {named}")
    return rule


def box_rule(settings: Settings, classifier: Bundle) -> BoxRule:
    """Return how boxes are found on the map; what the settings leave open was fitted, as above."""
    chosen = settings.localization
    given = {
        "method": chosen.boxes,
        "cut": chosen.cut,
        "threshold": chosen.threshold,
        "expansion": chosen.expansion,
        "minimum_score": chosen.minimum_score,
        "overlap": chosen.overlap,
        "maximum_boxes": chosen.maximum_boxes,
        "fixed_side": chosen.fixed_side,
    }
    return dataclasses.replace(classifier.fitted.boxes, **_given(given))


def object_rule(settings: Settings) -> ObjectRule:
    """Return which DICOM objects are written."""
    outputs = settings.outputs
    return ObjectRule(outputs.kinds, outputs.segmentation_series_per_image, outputs.compression)


def prompt_rule(settings: Settings) -> PromptRule:
    """Return how SAM is prompted."""
    chosen = settings.segmentation
    return PromptRule(zoom=chosen.zoom, prompt=chosen.prompt, votes=chosen.votes, masks=chosen.masks)


def shaping(settings: Settings) -> str:
    """Return a digest of the settings by which the same image could get another result: its objects get other UIDs.

    Which optional objects are written is none of them.
    """
    shaped = (settings.classification, settings.localization, settings.segmentation)
    text = repr((*shaped, settings.report.patient_data, settings.outputs.copy_descriptions))
    return hashlib.sha256(text.encode()).hexdigest()


def _given(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
