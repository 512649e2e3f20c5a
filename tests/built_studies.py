"""Whole studies without a model run: headers and drawn masks -> objects, as the application builds and writes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from operators.encoding.object_kinds import OPTIONAL_KINDS
from operators.pipeline import object_stages, run
from operators.reading.normalised_header import check_identity
from operators.reading.scope import check_scope
from operators.records.codes import BODY_PARTS
from operators.records.errors import ImageError
from operators.records.geometry import PixelBox
from operators.records.images import Localization, Opinion, Radiograph, Segmentation
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import Model, Provenance
from operators.records.reasons import DeclinedReason
from operators.records.rules import ObjectRule, Scope
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.states import State
from operators.records.study import ReportedStudy, Study
from operators.reporting.output_folder import write_study
from operators.reporting.spool import Spool
from tests.header_variants import VARIANTS, put
from tests.phantoms import classification, source_image, stored_phantom
from training.datasets.dicom_wrapping import derived_uid
from training.datasets.phantoms import mask_box

PROVENANCE = Provenance(
    "0.1.0",
    (Model("msk_a", "1", "a" * 64, (("rule_in", "0.8"),)), Model("msk_c", "3", "c" * 64)),
    Model("msk_b", "2", "b" * 64),
    datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC),
)
EVERY_OBJECT = ObjectRule(frozenset(OPTIONAL_KINDS) - {"summary"})
POINTS = OperatingPoints(0.2, 0.8)
DESCRIPTION = RunDescription(PROVENANCE, POINTS, POINTS, ("Made for tests.",))
PROBABILITIES = {"normal": 0.05, "doubt": 0.5, "abnormal": 0.93}


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in an image: the state of its classification, or declined, and the number of findings."""

    state: State
    findings: int = 0


STATES: Mapping[str, tuple[Look, ...]] = {
    "normal": (Look("normal"),),
    "doubt": (Look("doubt", 1),),
    "abnormal_1": (Look("abnormal", 1),),
    "abnormal_3": (Look("abnormal", 3),),
    "declined": (Look("declined"),),
    "two_views": (Look("abnormal", 1), Look("normal")),  # of one series
    "two_series": (Look("abnormal", 2), Look("doubt", 1)),
}


@dataclass(frozen=True, slots=True, eq=False)
class BuiltStudy:
    """A study as the archive holds it afterwards: the files that were sent and all that was made of them."""

    files: tuple[bytes, ...]
    reported: ReportedStudy

    @property
    def sources(self) -> list[Dataset]:
        return [dcmread(BytesIO(file), force=True) for file in self.files]

    def write(self, folder: Path) -> list[Path]:
        """Write the sources, and the objects as the application does; return the paths of the objects."""
        folder.mkdir(parents=True)
        for number, file in enumerate(self.files, start=1):
            (folder / f"source_{number}.dcm").write_bytes(file)
        return [folder / item.file for item in write_study(self.reported, folder).outputs]


def build_study(name: str, state: str, rule: ObjectRule = EVERY_OBJECT) -> BuiltStudy:
    """Return the study of a variant of ``header_variants`` in one of STATES."""
    stored = stored_phantom(3, "gap")
    study = f"{name} {state}"
    changes = VARIANTS[name].changes
    if state == "two_views":
        changes = (put("SeriesInstanceUID", derived_uid(study)), *changes)
    variant = replace(VARIANTS[name], changes=changes)
    files = tuple(variant.file_bytes(f"{study} {number}", study, stored) for number in range(1, len(STATES[state]) + 1))
    sources = [dcmread(BytesIO(file), force=True) for file in files]
    pixels = stored.astype(np.float32) / stored.max()
    return BuiltStudy(files, report(sources, [pixels] * len(files), STATES[state], rule))


def report(
    sources: Sequence[Dataset], pixels: Sequence[NDArray[np.float32]], looks: Sequence[Look], rule: ObjectRule
) -> ReportedStudy:
    """Take images of one study, found to be as the looks say, through the last stages of the application."""
    images: list[Segmentation | ExcludedImage] = []
    for ds, array, look in zip(sources, pixels, looks, strict=True):
        source = source_image(ds)
        seen = {image.source.sop_instance_uid for image in images}
        images.append(_excluded(source, look, seen) or segment(Radiograph(source, array), look))
    study = Study(images[0].source.header.StudyInstanceUID, tuple(images))
    return run(study, object_stages(rule, DESCRIPTION, Spool()))


def _excluded(source: SourceImage, look: Look, seen: Collection[str]) -> ExcludedImage | None:
    if look.state == "declined":
        return ExcludedImage(source, State.DECLINED, DeclinedReason.TOO_SMALL, "declined by the test")
    if source.sop_instance_uid in seen:
        return ExcludedImage(source, State.DECLINED, DeclinedReason.DUPLICATE_INSTANCE, "")
    try:
        check_identity(source.header)
        check_scope(source.header, Scope(tuple(BODY_PARTS), False, 64, 10**8))
    except ImageError as error:
        return ExcludedImage(source, *error.outcome)
    return None


def segment(radiograph: Radiograph, look: Look) -> Segmentation:
    """Return what the last model would: an ellipse in each box, a heat map that peaks in them."""
    rows, columns = radiograph.pixels.shape
    ellipses = [_ellipse(rows, columns, index) for index in range(look.findings)]
    masks = tuple(ellipse > 0 for ellipse in ellipses)
    return outline(radiograph, look.state, masks, np.max([np.zeros((rows, columns)), *ellipses], axis=0))


def outline(
    radiograph: Radiograph, state: str, masks: tuple[NDArray[np.bool_], ...], heatmap: NDArray[np.float64]
) -> Segmentation:
    """Return the record of given masks, each in a box that it fills."""
    rows, columns = radiograph.pixels.shape
    record = classification(
        state=state,
        rows=rows,
        columns=columns,
        source=radiograph.source,
        radiograph=radiograph,
        probability=PROBABILITIES[state],
        opinions=tuple(Opinion(model.name, 1.0, PROBABILITIES[state], state) for model in PROVENANCE.classifiers),
    )
    boxes = tuple(PixelBox(*mask_box(mask)) for mask in masks)
    localization = Localization(record, heatmap.astype(np.float32), boxes, (0.9,) * len(boxes))
    return Segmentation(localization, masks, (0.8,) * len(boxes))


def _ellipse(rows: int, columns: int, index: int) -> NDArray[np.float64]:
    """One at the middle, zero at the edge of a finding's outline, negative beyond (rows, columns)."""
    row, column = np.mgrid[:rows, :columns]
    middle = (rows * (0.25 + 0.25 * index), columns * (0.3 + 0.2 * index))
    return 1 - np.hypot((row - middle[0]) / (rows * 0.1), (column - middle[1]) / (columns * 0.16))
