"""The arms of the localization benchmark: ways of making the map, of cutting boxes from it, and of outlining them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from operators.classification.classify import classify
from operators.networks.bundle import Bundle
from operators.networks.configuration import read_config
from operators.records.errors import BundleError
from operators.records.images import Radiograph
from operators.records.rules import BoxRule, MapRule, PromptRule
from training.datasets.errors import InputError

logger = logging.getLogger(__name__)

MAPS, BOXES, OUTLINES = "maps", "boxes", "outlines"
SCALES = (0.75, 1.0)
FILLED, ELLIPSE = "filled", "ellipse"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of finding and outlining.

    Parameters
    ----------
    name, title
        As ``--arms`` takes it, and as the table shows it.
    kind
        ``maps`` and ``boxes`` are compared by the boxes that they find, ``outlines`` by the masks.
    prompt
        How SAM is prompted; None where nothing is outlined, or without a network.
    drawn
        ``filled`` or ``ellipse``: the outline is the box or the ellipse in it; empty: SAM's mask.
    """

    name: str
    title: str
    kind: str
    maps: MapRule
    boxes: BoxRule
    prompt: PromptRule | None = None
    drawn: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The application's way: the rules that were fitted for the classifier, and the segmenter's own prompt."""

    maps: MapRule
    boxes: BoxRule
    prompt: PromptRule


def application_defaults(classifier: Bundle, prompt: PromptRule) -> Defaults:
    """Return what the application does with a classifier; ``prompt`` as ``segmenter_prompt`` gives it."""
    return Defaults(classifier.fitted.maps, classifier.fitted.boxes, prompt)


def segmenter_prompt(segmenter_root: Path, checkpoint: str | None = None) -> PromptRule:
    """Return the prompt that a segmenter's ``inference.json`` names."""
    config = read_config(segmenter_root, checkpoint)
    named = {name: config.content[name] for name in ("zoom", "prompt", "votes", "masks") if name in config.content}
    return PromptRule(**named)


def all_arms(defaults: Defaults) -> list[Arm]:
    """Return every arm, by kind; where the application's own way is none of a kind, it comes first as ``default``."""
    families = ((MAPS, _map_arms(defaults)), (BOXES, _box_arms(defaults)), (OUTLINES, _outline_arms(defaults)))
    arms: list[Arm] = []
    for kind, family in families:
        if not any(is_default(arm, defaults) for arm in family):
            prompt = defaults.prompt if kind == OUTLINES else None
            name = f"default_{kind}"
            arms.append(Arm(name, "as the application has it", kind, defaults.maps, defaults.boxes, prompt))
        arms += family
    return arms


def is_default(arm: Arm, defaults: Defaults) -> bool:
    """Say whether an arm is what the application does."""
    if (arm.maps, arm.boxes) != (defaults.maps, defaults.boxes):
        return False
    return arm.kind != OUTLINES or (arm.prompt == defaults.prompt and not arm.drawn)


def _map_arms(defaults: Defaults) -> list[Arm]:
    rules = {
        "cam": ("CAM", MapRule("cam")),
        "grad_cam": ("Grad-CAM", MapRule("grad_cam")),
        "grad_cam_plus_plus": ("Grad-CAM++", MapRule("grad_cam_plus_plus")),
        "layer_cam": ("LayerCAM", MapRule("layer_cam")),
        "hires_cam": ("HiResCAM", MapRule("hires_cam")),
        "cam_2_stages": ("CAM, 2 stages fused", MapRule("cam", stages=2)),
        "cam_3_stages": ("CAM, 3 stages fused", MapRule("cam", stages=3)),
        "layer_cam_2_stages": ("LayerCAM, 2 stages fused", MapRule("layer_cam", stages=2)),
        "layer_cam_3_stages": ("LayerCAM, 3 stages fused", MapRule("layer_cam", stages=3)),
        "cam_flips": ("CAM, mirrored too", MapRule("cam", flips=True)),
        "cam_flips_scales": ("CAM, mirrored, 2 sizes", MapRule("cam", flips=True, scales=SCALES)),
    }
    return [Arm(name, title, MAPS, rule, defaults.boxes) for name, (title, rule) in rules.items()]


def _box_arms(defaults: Defaults) -> list[Arm]:
    fitted = defaults.boxes
    rules = {
        "peaks": ("about each peak, fitted", replace(fitted, method="peaks")),
        "components": ("regions above the fitted cut", replace(fitted, method="components", cut="fraction")),
        "otsu": ("regions above Otsu's cut", replace(fitted, method="components", cut="otsu")),
        "brightest_point": ("50 x 50 original pixels", replace(fitted, method="brightest_point", fixed_side=50)),
        "brightest_point_224": (
            "50 x 50 at 224 px (paper 2)",
            replace(fitted, method="brightest_point_224", fixed_side=50),
        ),
        "no_expansion": ("fitted, not enlarged", replace(fitted, expansion=0.0)),
    }
    return [Arm(name, title, BOXES, defaults.maps, rule) for name, (title, rule) in rules.items()]


def _outline_arms(defaults: Defaults) -> list[Arm]:
    maps, boxes = defaults.maps, defaults.boxes
    plain = replace(defaults.prompt, prompt="box", votes=1, masks="one")
    rules = {
        "sam_box": ("SAM: box", plain),
        "sam_box_centre": ("SAM: box, centre", replace(plain, prompt="box_centre")),
        "sam_box_points": ("SAM: box, map's points", replace(plain, prompt="box_points")),
        "sam_votes_5": ("SAM: box, 5 votes", replace(plain, votes=5)),
        "sam_best_of_three": ("SAM: box, best of 3 masks", replace(plain, masks="best_of_three")),
        "sam_whole_image": ("SAM: box, whole image", replace(plain, zoom=None)),
        "sam_zoom_2": ("SAM: box, window of 2 sides", replace(plain, zoom=2.0)),
        "sam_zoom_4": ("SAM: box, window of 4 sides", replace(plain, zoom=4.0)),
        "sam_automatic": ("SAM: no prompt", replace(plain, prompt="automatic")),
    }
    drawn = [
        Arm("filled_box", "filled box, no network", OUTLINES, maps, boxes, None, FILLED),
        Arm("ellipse", "ellipse in box, no network", OUTLINES, maps, boxes, None, ELLIPSE),
    ]
    return drawn + [Arm(name, title, OUTLINES, maps, boxes, rule) for name, (title, rule) in rules.items()]


def _distinct(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms without those that do what an earlier one does, for example enlarge no box by a fitted zero."""
    seen: dict[tuple[object, ...], Arm] = {}
    for arm in arms:
        seen.setdefault((arm.kind, arm.maps, arm.boxes, arm.prompt, arm.drawn), arm)
    return list(seen.values())


def choose_arms(arms: Sequence[Arm], names: Sequence[str]) -> list[Arm]:
    """Return the arms named, or all that differ where none is named; raise InputError for a name that is none."""
    unknown = set(names) - {arm.name for arm in arms}
    if unknown:
        known = ", ".join(arm.name for arm in arms)
        raise InputError(f"--arms: {', '.join(sorted(unknown))} is no arm; they are {known}")
    return [arm for arm in arms if arm.name in names] if names else _distinct(arms)


def feasible_arms(arms: Sequence[Arm], classifier: Bundle, radiograph: Radiograph) -> list[Arm]:
    """Return the arms whose map a classifier can make of a radiograph; a warning names what the others lack."""
    able = {}
    for rule in dict.fromkeys(arm.maps for arm in arms):
        try:
            classify(radiograph, classifier, rule, everything=True)
            able[rule] = True
        except BundleError as error:
            logger.warning("%s left out: %s", ", ".join(arm.name for arm in arms if arm.maps == rule), error)
            able[rule] = False
    return [arm for arm in arms if able[arm.maps]]


def joint_rules(rules: Iterable[MapRule]) -> list[MapRule]:
    """Return the fewest rules to classify by so that every map can be made: with gradients, and without.

    Each holds every view and stage that one of its maps needs; ``activation_map`` takes what belongs to its rule.
    """
    joint = []
    distinct = list(dict.fromkeys(rules))
    for gradients in (False, True):
        members = [rule for rule in distinct if rule.needs_gradients is gradients]
        if members:
            scales = {scale for rule in members for scale in rule.scales}
            joint.append(
                MapRule(
                    method=next((rule.method for rule in members if rule.method != "cam"), "cam"),
                    stages=max(rule.stages for rule in members),
                    flips=any(rule.flips for rule in members),
                    scales=tuple(sorted(scales | {1.0}, key=lambda scale: (scale != 1.0, scale))),
                )
            )
    return joint
