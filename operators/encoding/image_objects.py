"""Segmentation -> the DICOM objects of one image, in memory."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from operators.drawing.layers import draw
from operators.encoding.compression import compress
from operators.encoding.object_kinds import OBJECT_KINDS, SOURCE
from operators.encoding.requests import ImageRequest, ObjectKind, SeriesSubject
from operators.reading.normalised_header import is_referable
from operators.records.errors import EncodingError
from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import Provenance, image_identity
from operators.records.rules import ObjectRule

logger = logging.getLogger(__name__)


def encode_image(
    segmentation: Segmentation,
    number: int,
    rule: ObjectRule,
    provenance: Provenance,
    subject: SeriesSubject | None = None,
) -> EncodedImage:
    """Build the objects of an image; none if its UIDs are invalid, as no valid object could refer to it.

    Of a picture that was wrapped, its own DICOM image is among them.

    Parameters
    ----------
    segmentation
        The image after the last stage of analysis.
    number
        By which results name the image in its study, from 1.
    rule
        Which objects.
    provenance
        Who makes them.
    subject
        What all images of the study show; None: the image is the only one.

    Raises
    ------
    EncodingError
        If a required object cannot be built; an optional one that cannot be is left out.
    """
    identity = image_identity(segmentation.localization.classification.radiograph)
    tracking = tuple(provenance.uid("tracking", *identity, str(index)) for index in range(len(segmentation.masks)))
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    numbers = tuple(outlined.index(index) + 1 if index in outlined else None for index in range(len(tracking)))
    objects: dict[str, Dataset] = {}
    own = SeriesSubject.of([segmentation.source])
    if is_referable(segmentation.source.header):
        for kind in (SOURCE, *OBJECT_KINDS):
            if kind.of_image is not None and (kind.required or kind.name in rule.kinds):
                alone = kind.segmentation and rule.segmentation_series_per_image
                series = (own if alone else subject or own, alone)
                local = provenance.in_zone_of(segmentation.source.header)
                request = ImageRequest(kind, segmentation, number, tracking, local, *series)
                ds = _build(request, rule.compression)
                if ds is not None:
                    objects[kind.name] = ds
    return EncodedImage(segmentation, objects, tracking, numbers, draw(segmentation))


def _build(request: ImageRequest, compression: str) -> Dataset | None:
    kind: ObjectKind = request.kind
    try:
        ds = None if kind.of_image is None else kind.of_image(request)
        if ds is not None:
            compress(ds, compression)
        return ds
    except Exception as error:
        # highdicom and pydicom raise a dozen kinds
        problem = f"the {kind.name} object cannot be built ({type(error).__name__})"
        if kind.required:
            raise EncodingError(problem) from error
        logger.error("%s: %s; the other results are written", request.source, problem)  # noqa: TRY400 - its text may quote
        return None
