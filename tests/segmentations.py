"""What the last model would give, without a model: segmentations with drawn masks, and who made them."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from operators.encoding.image_objects import encode_image
from operators.encoding.object_kinds import KIND_OF_NAME, OPTIONAL_KINDS
from operators.encoding.requests import ImageRequest, SeriesSubject, StudyRequest
from operators.pipeline import object_stages
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage, Localization, Opinion, Segmentation
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import Model, Provenance
from operators.records.rules import ObjectRule
from operators.records.run_description import RunDescription
from operators.records.study import ReportedStudy, Study, StudyOutcome
from operators.reporting.spool import Spool
from tests.phantoms import classification, source_image

PROVENANCE = Provenance(
    "0.1.0",
    (Model("msk_a", "1", "a" * 64, (("rule_in", "0.8"),)),),
    Model("msk_b", "2", "b" * 64),
    datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC),
)
SEVERAL = Provenance(
    "0.1.0", (*PROVENANCE.classifiers, Model("msk_c", "3", "c" * 64)), PROVENANCE.segmenter, PROVENANCE.now
)
RULE = ObjectRule(frozenset())
WITH_PDF = ObjectRule(frozenset({"pdf"}))
EVERY_OBJECT = ObjectRule(frozenset(OPTIONAL_KINDS) - {"summary"})
POINTS = OperatingPoints(0.2, 0.8)
DESCRIPTION = RunDescription(PROVENANCE, POINTS, POINTS, ("Made for tests.",))


def segmentation(
    masks: int = 1,
    state: str = "abnormal",
    ds: Dataset | None = None,
    opinions: tuple[Opinion, ...] = (Opinion("msk_a", 2.2, 0.9, "abnormal"),),
    **source: Any,
) -> Segmentation:
    boxes = tuple(PixelBox(10 + 30 * index, 20, 30 + 30 * index, 50) for index in range(masks))
    drawn = []
    for box in boxes:
        mask = np.zeros((160, 128), bool)
        mask[box.slices()] = np.random.default_rng(box.left).random((box.height, box.width)) > 0.3
        drawn.append(mask)
    record = classification(state=state, source=source_image(ds, **source), opinions=opinions)
    localization = Localization(record, np.zeros((160, 128), np.float32), boxes, (0.9,) * masks)
    return Segmentation(localization, tuple(drawn), (0.8,) * masks)


def build(
    kind: str, segmentation: Segmentation, number: int = 1, provenance: Provenance = PROVENANCE
) -> Dataset | None:
    """Build an object of a kind for an image, whatever the rule."""
    tracking = tuple(f"2.25.{index + 1}" for index in range(len(segmentation.masks)))
    subject = SeriesSubject.of([segmentation.source])
    request = ImageRequest(KIND_OF_NAME[kind], segmentation, number, tracking, provenance, subject, False)
    return request.kind.of_image(request)


def build_pdf(document: bytes, study: Study[EncodedImage], provenance: Provenance = PROVENANCE, **words: Any) -> Any:
    """Wrap a document as an object of a study."""
    description = replace(DESCRIPTION, provenance=provenance, **words)
    request = StudyRequest(
        KIND_OF_NAME["pdf"], study, StudyOutcome("abnormal", 0.9), description, {}, lambda *_: document
    )
    return request.kind.of_study(request)


def build_report(
    study: Study[EncodedImage], outcome: StudyOutcome, others: dict[str, Dataset], provenance: Provenance = PROVENANCE
) -> Dataset | None:
    """Build the structured report of a study."""
    description = replace(DESCRIPTION, provenance=provenance)
    request = StudyRequest(KIND_OF_NAME["sr"], study, outcome, description, others, lambda *_: b"")
    return request.kind.of_study(request)


def report(
    study: Study[EncodedImage], description: RunDescription = DESCRIPTION, rule: ObjectRule = RULE
) -> ReportedStudy:
    """Take a study through the last stage of the chain."""
    return object_stages(rule, description, Spool())[1](study)


def encode(segmentation: Segmentation, provenance: Provenance = PROVENANCE, rule: ObjectRule = RULE) -> EncodedImage:
    return encode_image(segmentation, 1, rule, provenance)


def reread(ds: Dataset) -> Dataset:
    """Write an object to a file and read it."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    assert buffer.getvalue()[:132] == b"\0" * 128 + b"DICM"
    buffer.seek(0)
    return dcmread(buffer)
