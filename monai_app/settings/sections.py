"""The sections of ``app.yaml`` as they are passed on."""

from __future__ import annotations

from dataclasses import dataclass


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
