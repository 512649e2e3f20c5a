"""``app.yaml`` -> frozen settings; the one place that reads it and the environment."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operators.codes import unknown_terms
from operators.errors import OsteoMapError

CONFIG_VARIABLE = "HOLOSCAN_CONFIG_PATH"
ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ("sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam")
BOX_METHODS = ("components", "brightest_point")


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
    """Section ``classification``; ``bundle`` is one name or a list of them."""

    bundle: str | tuple[str, ...]

    @property
    def bundles(self) -> tuple[str, ...]:
        """The classifiers, the one that gives the heat map first."""
        return (self.bundle,) if isinstance(self.bundle, str) else self.bundle


@dataclass(frozen=True, slots=True)
class LocalizationSettings:
    """Section ``localization``."""

    boxes: str
    threshold: float | None
    expansion: float | None
    most: int
    fixed_side: int


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """Section ``segmentation``."""

    bundle: str
    checkpoint: str | None
    zoom: float | None


@dataclass(frozen=True, slots=True)
class DicomSegSettings:
    """Section ``dicom_seg``."""

    viewer_geometry: bool


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Section ``report``."""

    pictures: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The sections that OsteoMAP reads; ``application`` and ``resources`` are the packager's."""

    radiographs: RadiographSettings
    classification: ClassificationSettings
    localization: LocalizationSettings
    segmentation: SegmentationSettings
    dicom_seg: DicomSegSettings
    report: ReportSettings


def embedded_models() -> Path:
    """Return the folder of the embedded bundles."""
    return ROOT / "bundles"


def read_settings() -> Settings:
    """Read ``app.yaml``, or what HOLOSCAN_CONFIG_PATH names.

    Raises
    ------
    SettingsError
        If the file is missing or a key is unknown, missing or of the wrong kind.
    """
    path = Path(os.environ.get(CONFIG_VARIABLE) or ROOT / "app.yaml")
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
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise SettingsError(f"{where}: unknown key {key!r}; known are {', '.join(names)}")
    for name in names:
        if name not in values:
            raise SettingsError(f"{where}: key {name!r} is missing")
    return kind(**{name: _value(hints[name], values[name], f"{where}: {name}") for name in names})


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _fill(typing.cast("type[Any]", hint), value, where)
    if isinstance(hint, types.UnionType):
        kinds = typing.get_args(hint)
        if value is None and types.NoneType in kinds:
            return None
        hint = next((kind for kind in kinds if isinstance(value, list) and typing.get_origin(kind) is tuple), kinds[0])
    if typing.get_origin(hint) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise SettingsError(f"{where}: {value!r} is not a list of words")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise SettingsError(f"{where}: {value!r} is not {hint.__name__}")
    return value


def _check(settings: Settings, where: str) -> None:
    """Raise SettingsError for values that are of the right kind but impossible."""
    localization, segmentation = settings.localization, settings.segmentation
    limits = settings.radiographs
    bundles = settings.classification.bundles
    positive = (limits.smallest_side, limits.largest_megapixels, limits.decoder_timeout_s, limits.decoder_memory_mib)
    problems = {
        f"radiographs: body_parts: {unknown_terms(limits.body_parts)} are not terms that OsteoMAP knows": bool(
            unknown_terms(limits.body_parts)
        ),
        "radiographs: sizes, time-out and memory must be positive": min(positive) <= 0,
        f"localization: boxes must be one of {', '.join(BOX_METHODS)}": localization.boxes not in BOX_METHODS,
        "localization: threshold must be above 0 and at most 1": localization.threshold is not None
        and not 0 < localization.threshold <= 1,
        "localization: expansion must not be negative": (localization.expansion or 0) < 0,
        "localization: most and fixed_side must be at least 1": min(localization.most, localization.fixed_side) < 1,
        f"segmentation: checkpoint must be null or one of {', '.join(CHECKPOINTS)}": segmentation.checkpoint
        not in (None, *CHECKPOINTS),
        "segmentation: zoom must be null or at least 1": segmentation.zoom is not None and segmentation.zoom < 1,
        "report: pictures must not be negative": settings.report.pictures < 0,
        "classification: bundle names no classifier": not bundles,
        "classification: bundle names a classifier twice": len(set(bundles)) < len(bundles),
        "a bundle is named by a folder name": any(
            not name or Path(name).name != name for name in (*bundles, segmentation.bundle)
        ),
    }
    for problem, is_so in problems.items():
        if is_so:
            raise SettingsError(f"{where}: {problem}")
