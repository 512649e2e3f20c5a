"""What the last model would give, without a model: segmentations with drawn masks, and who made them."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from operators.encoding.image_objects import encode_image
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage, Localization, Opinion, Segmentation
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import Model, Provenance
from operators.records.rules import ObjectRule
from operators.reporting.page import Page
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
RULE = ObjectRule(heatmap=False, sc=False, gsps=False, labelmap=False, viewer_geometry=True)
POINTS = OperatingPoints(0.2, 0.8)
PAGE = Page(PROVENANCE, POINTS, POINTS, ("Made for tests.",))


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


def encode(segmentation: Segmentation, provenance: Provenance = PROVENANCE, rule: ObjectRule = RULE) -> EncodedImage:
    return encode_image(segmentation, 1, rule, provenance)


def reread(ds: Dataset) -> Dataset:
    """Write an object to a file and read it."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    assert buffer.getvalue()[:132] == b"\0" * 128 + b"DICM"
    buffer.seek(0)
    return dcmread(buffer)
