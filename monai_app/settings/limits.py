"""What a value of ``app.yaml`` must be, beyond its kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from reprlib import repr as short  # a value in a message of one line
from typing import Any

from monai_app.settings.sections import Settings
from operators.records.codes import BODY_PARTS
from operators.records.errors import OsteoMapError
from operators.records.reasons import DoubtReason
from operators.records.rules import BOX_METHODS, COMPRESSIONS, CUTS, MAP_METHODS, MASKS, MOST_VOTES, PROMPTS

CHECKPOINTS = ("sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam")
_BUNDLE = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,63}")  # it is written into DICOM objects, VR LO
_NAMED = re.compile(r"(\w+): (\w+)")  # section and key at the beginning of what is wrong
_SHA256 = re.compile("[0-9a-f]{64}")
# What a number must lie between; the least memory is what the decoder needs to start.
_RANGES: Mapping[str, tuple[float, float]] = {
    "radiographs: smallest_side": (1, 65_535),
    "radiographs: largest_megapixels": (0.001, 4_295),
    "radiographs: decoder_timeout_s": (0.1, 86_400),
    "radiographs: decoder_memory_mib": (256, 1_048_576),
    "localization: stages": (1, 100),
    "localization: scales": (0.25, 4),
    "localization: threshold": (0.001, 1),
    "localization: expansion": (0, 10),
    "localization: minimum_score": (0, 1),
    "localization: overlap": (0.001, 1),
    "localization: maximum_boxes": (1, 1_000),
    "localization: fixed_side": (1, 65_535),
    "segmentation: zoom": (1, 100),
    "segmentation: votes": (1, MOST_VOTES),
    "report: pictures": (0, 1_000_000),
}
_WORDS: Mapping[str, Collection[str]] = {
    "radiographs: body_parts": BODY_PARTS,
    "classification: accepted_doubts": tuple(DoubtReason),
    "localization: map": MAP_METHODS,
    "localization: boxes": BOX_METHODS,
    "localization: cut": CUTS,
    "segmentation: checkpoint": CHECKPOINTS,
    "segmentation: prompt": PROMPTS,
    "segmentation: masks": MASKS,
    "outputs: compression": COMPRESSIONS,
}


class SettingsError(OsteoMapError):
    """The configuration cannot be used; raised before any data is read."""


class ValueFault(Exception):
    """What is wrong with a value; whoever knows the file adds where it stands.

    Parameters
    ----------
    keys
        Of the value that is at fault, or of the section that lacks it.
    fault
        What is wrong.
    named
        The keys that stand before the fault in the message; None: all.
    """

    def __init__(self, keys: Sequence[object], fault: str, named: Sequence[object] | None = None) -> None:
        super().__init__(": ".join((*(str(key) for key in (keys if named is None else named)), fault)))
        self.keys = keys


def check(settings: Settings) -> None:
    """Raise ValueFault for values that are of the right kind but impossible."""
    problems = dict(_problems(settings))
    for key, (least, most) in _RANGES.items():  # a value that is not a number is in no range
        fits = all(least <= value <= most for value in _values(settings, key))
        problems[f"{key} must be from {least:g} to {most:g}"] = not fits
    for key, words in _WORDS.items():
        unknown = [value for value in _values(settings, key) if value not in words]
        problems[f"{key} must be one of {', '.join(words)}; {short(unknown)} is not"] = bool(unknown)
    for problem, is_so in problems.items():
        if is_so:
            keys = _NAMED.match(problem)
            raise ValueFault(keys.groups() if keys else (), problem, ())


def _values(settings: Settings, key: str) -> tuple[Any, ...]:
    """Return the values of a key that is named ``section: name``; none where it is null."""
    section, name = key.split(": ")
    value = getattr(getattr(settings, section), name)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _problems(settings: Settings) -> dict[str, bool]:
    bundles, scales = settings.classification.bundles, settings.localization.scales
    named, trusted = {*bundles, settings.segmentation.bundle}, settings.models.trusted
    return {
        "radiographs: body_parts names no body part": not settings.radiographs.body_parts,
        "localization: scales names no scale": scales is not None and not scales,
        "classification: bundle names no classifier": not bundles,
        "classification: bundle names a classifier twice": len(set(bundles)) < len(bundles),
        "a bundle is named by a folder name": not all(_BUNDLE.fullmatch(name) for name in named),
        "models: trusted: a sha256 is 64 hexadecimal digits, what sha256sum prints of SHA256SUMS": not all(
            _SHA256.fullmatch(digest) for digest in (trusted or {}).values()
        ),
    }
