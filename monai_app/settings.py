"""``app.yaml`` -> frozen settings; the one place that reads it and the environment."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operators.encoding.object_kinds import OPTIONAL_KINDS
from operators.records.codes import unknown_terms
from operators.records.errors import OsteoMapError
from operators.records.reasons import DoubtReason
from operators.records.rules import BOX_METHODS, COMPRESSIONS, CUTS, MAP_METHODS, MASKS, MOST_VOTES, PROMPTS

CONFIG_VARIABLE = "HOLOSCAN_CONFIG_PATH"
ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ("sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam")
_BUNDLE = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,63}")  # it is written into DICOM objects, VR LO
_SHA256 = re.compile("[0-9a-f]{64}")


class SettingsError(OsteoMapError):
    """The configuration cannot be used; raised before any data is read."""


@dataclass(frozen=True, slots=True)
class RadiographSettings:
    """Section ``radiographs``."""

    body_parts: tuple[str, ...]
    secondary_capture: bool
    smallest_side: int
    largest_megapixels: float
    decoder_timeout_s: float
    decoder_memory_mib: int


@dataclass(frozen=True, slots=True)
class ClassificationSettings:
    """Section ``classification``; ``bundle`` is one name or a list, ``accepted_doubts`` values of ``DoubtReason``."""

    bundle: str | tuple[str, ...]
    accepted_doubts: tuple[str, ...]
    check_turned: bool

    @property
    def bundles(self) -> tuple[str, ...]:
        """The classifiers, the one that gives the heat map first."""
        return (self.bundle,) if isinstance(self.bundle, str) else self.bundle


@dataclass(frozen=True, slots=True)
class LocalizationSettings:
    """Section ``localization``; None: as fitted for the bundle that gives the heat map."""

    map: str | None
    stages: int | None
    flips: bool | None
    scales: tuple[float, ...] | None
    boxes: str | None
    cut: str | None
    threshold: float | None
    expansion: float | None
    minimum_score: float | None
    overlap: float
    maximum_boxes: int
    fixed_side: int


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """Section ``segmentation``."""

    bundle: str
    checkpoint: str | None
    zoom: float | None
    prompt: str
    votes: int
    masks: str


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Section ``outputs``: a switch for every optional kind of object, off if absent; ``kinds``: those switched on."""

    kinds: frozenset[str]
    segmentation_series_per_image: bool = False
    copy_descriptions: bool = False
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Section ``report``."""

    pictures: int
    patient_data: bool


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Section ``models``; ``trusted``: the sha256 of the SHA256SUMS of every bundle that may be loaded, by name."""

    trusted: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The sections that OsteoMAP reads; ``application`` and ``resources`` are the packager's.

    A section that an earlier version did not know may be absent.
    """

    radiographs: RadiographSettings
    classification: ClassificationSettings
    localization: LocalizationSettings
    segmentation: SegmentationSettings
    outputs: OutputSettings
    report: ReportSettings
    models: ModelSettings = ModelSettings(trusted=None)


# Keys that an earlier version knew by another name.
_RENAMED = {LocalizationSettings: {"most": "maximum_boxes", "least_score": "minimum_score"}}


def embedded_models() -> Path:
    """Return the folder of the embedded bundles."""
    return ROOT / "bundles"


def read_settings(path: str | Path | None = None) -> Settings:
    """Read a configuration.

    Parameters
    ----------
    path
        None: what HOLOSCAN_CONFIG_PATH names, or ``app.yaml``.

    Raises
    ------
    SettingsError
        If the file is missing or a key is unknown, missing or of the wrong kind.
    """
    path = Path(path or os.environ.get(CONFIG_VARIABLE) or ROOT / "app.yaml")
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read ({type(error).__name__}); check {CONFIG_VARIABLE}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: not a mapping of sections")
    sections = {name: value for name, value in content.items() if name not in ("application", "resources")}
    settings: Settings = _fill(Settings, sections, str(path))
    _check(settings, str(path))
    return settings


def _fill(kind: type[Any], values: object, where: str) -> Any:
    """Build a settings class from a mapping; every key must be known, present and of its kind."""
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: not a mapping of keys")
    if kind is OutputSettings:
        return _outputs(values, where)
    for key, name in _RENAMED.get(kind, {}).items():
        if key in values:
            raise SettingsError(f"{where}: key {key!r} is now called {name!r}")
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    for key in values:
        if key not in names:
            raise SettingsError(f"{where}: unknown key {key!r}; known are {', '.join(names)}")
    for field in fields:
        if field.name not in values and field.default is dataclasses.MISSING:
            raise SettingsError(f"{where}: key {field.name!r} is missing")
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _outputs(values: dict[Any, Any], where: str) -> OutputSettings:
    """Build the section, most keys of which are switches named as in the table of objects."""
    ways = {"segmentation_series_per_image": False, "copy_descriptions": False, "compression": "none"}
    names = (*OPTIONAL_KINDS, *ways)
    for key, value in values.items():
        if key == "viewer_geometry":
            raise SettingsError(
                f"{where}: key {key!r} is gone: every segmentation has a plane geometry; remove the line"
            )
        if key not in names:
            raise SettingsError(f"{where}: unknown key {key!r}; known are {', '.join(names)}")
        if key == "compression" and value not in COMPRESSIONS:
            raise SettingsError(f"{where}: compression must be one of {', '.join(COMPRESSIONS)}")
        if key != "compression" and not isinstance(value, bool):
            raise SettingsError(f"{where}: {key}: {value!r} is not bool")
    kinds = frozenset(name for name in OPTIONAL_KINDS if values.get(name))
    return OutputSettings(kinds, **{name: values.get(name, off) for name, off in ways.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _fill(typing.cast("type[Any]", hint), value, where)
    if isinstance(hint, types.UnionType):
        kinds = typing.get_args(hint)
        if value is None and types.NoneType in kinds:
            return None
        hint = next((kind for kind in kinds if isinstance(value, list) and typing.get_origin(kind) is tuple), kinds[0])
    if typing.get_origin(hint) is dict:
        if isinstance(value, dict) and all(isinstance(word, str) for pair in value.items() for word in pair):
            return value
        raise SettingsError(f"{where}: {value!r} is not a mapping of words")
    if typing.get_origin(hint) is tuple:
        kind, words = (str, "words") if typing.get_args(hint)[0] is str else (float | int, "numbers")
        if isinstance(value, list) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value):
            return tuple(value)
        raise SettingsError(f"{where}: {value!r} is not a list of {words}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise SettingsError(f"{where}: {value!r} is not {hint.__name__}")
    return value


def _check(settings: Settings, where: str) -> None:
    """Raise SettingsError for values that are of the right kind but impossible."""
    problems = _general_problems(settings) | _localization_problems(settings.localization)
    for problem, is_so in (problems | _segmentation_problems(settings.segmentation)).items():
        if is_so:
            raise SettingsError(f"{where}: {problem}")


def _general_problems(settings: Settings) -> dict[str, bool]:
    limits, bundles = settings.radiographs, settings.classification.bundles
    named, trusted = {*bundles, settings.segmentation.bundle}, settings.models.trusted
    positive = (limits.smallest_side, limits.largest_megapixels, limits.decoder_timeout_s, limits.decoder_memory_mib)
    unknown = unknown_terms(limits.body_parts)
    return {
        f"radiographs: body_parts: {unknown} are not terms that OsteoMAP knows": bool(unknown),
        "radiographs: sizes, time-out and memory must be positive": min(positive) <= 0,
        "report: pictures must not be negative": settings.report.pictures < 0,
        "classification: bundle names no classifier": not bundles,
        f"classification: accepted_doubts must be some of {', '.join(DoubtReason)}": not set(
            settings.classification.accepted_doubts
        )
        <= set(DoubtReason),
        "classification: bundle names a classifier twice": len(set(bundles)) < len(bundles),
        "a bundle is named by a folder name": not all(_BUNDLE.fullmatch(name) for name in named),
        "models: trusted: a sha256 is 64 hexadecimal digits, what sha256sum prints of SHA256SUMS": not all(
            _SHA256.fullmatch(digest) for digest in (trusted or {}).values()
        ),
    }


def _localization_problems(chosen: LocalizationSettings) -> dict[str, bool]:
    shares = {"threshold": chosen.threshold, "overlap": chosen.overlap}
    scales = (1.0,) if chosen.scales is None else chosen.scales
    return {
        f"localization: map must be null or one of {', '.join(MAP_METHODS)}": chosen.map not in (None, *MAP_METHODS),
        f"localization: boxes must be null or one of {', '.join(BOX_METHODS)}": chosen.boxes
        not in (None, *BOX_METHODS),
        f"localization: cut must be null or one of {', '.join(CUTS)}": chosen.cut not in (None, *CUTS),
        "localization: stages must be at least 1": chosen.stages is not None and chosen.stages < 1,
        "localization: scales must be numbers from 0.25 to 4, and at least one": not scales
        or not all(0.25 <= scale <= 4 for scale in scales),
        **{
            f"localization: {name} must be above 0 and at most 1": share is not None and not 0 < share <= 1
            for name, share in shares.items()
        },
        "localization: minimum_score must be from 0 to 1": not 0 <= (chosen.minimum_score or 0) <= 1,
        "localization: expansion must not be negative": (chosen.expansion or 0) < 0,
        "localization: maximum_boxes and fixed_side must be at least 1": min(chosen.maximum_boxes, chosen.fixed_side)
        < 1,
    }


def _segmentation_problems(chosen: SegmentationSettings) -> dict[str, bool]:
    return {
        f"segmentation: checkpoint must be null or one of {', '.join(CHECKPOINTS)}": chosen.checkpoint
        not in (None, *CHECKPOINTS),
        "segmentation: zoom must be null or at least 1": chosen.zoom is not None and chosen.zoom < 1,
        f"segmentation: prompt must be one of {', '.join(PROMPTS)}": chosen.prompt not in PROMPTS,
        f"segmentation: votes must be from 1 to {MOST_VOTES}": not 1 <= chosen.votes <= MOST_VOTES,
        f"segmentation: masks must be one of {', '.join(MASKS)}": chosen.masks not in MASKS,
    }
