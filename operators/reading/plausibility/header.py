"""What a header gives reason to doubt, whatever the picture shows."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from operators.reading.plausibility.orientation import is_upright
from operators.reading.scope import PROJECTION_MODALITIES, stated_sides
from operators.records.reasons import DoubtReason
from operators.records.sources import SourceImage


def header_doubts(source: SourceImage) -> tuple[DoubtReason, ...]:
    """Return what a header gives reason to doubt."""
    header = source.header
    found = {
        DoubtReason.BODY_PART_ABSENT: source.body_part is None,
        DoubtReason.LATERALITY_CONFLICT: len(set(stated_sides(header))) > 1,
        DoubtReason.MODALITY_CONFLICT: _contradicts_its_class(header),
        DoubtReason.NOT_UPRIGHT: not is_upright(header, source.body_part),
    }
    return tuple(reason for reason, holds in found.items() if holds)


def _contradicts_its_class(header: Dataset) -> bool:
    """Say whether the Modality is none of those that write CR or DX images, though the object is stored as one."""
    stored_as = (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)
    modality = header.get("Modality")
    return header.get("SOPClassUID") in stored_as and bool(modality) and modality not in PROJECTION_MODALITIES
