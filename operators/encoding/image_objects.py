"""Segmentation -> the DICOM objects of one image, in memory; each kind has a module of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydicom.dataset import Dataset

from operators.encoding.heatmap import encode_heatmap
from operators.encoding.presentation_state import encode_gsps
from operators.encoding.secondary_capture import encode_sc
from operators.encoding.seg import encode_labelmap, encode_seg
from operators.reading.normalised_header import is_referable
from operators.records.errors import EncodingError
from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import Provenance
from operators.records.rules import ObjectRule

logger = logging.getLogger(__name__)


def encode_image(segmentation: Segmentation, number: int, rule: ObjectRule, provenance: Provenance) -> EncodedImage:
    """Build the objects of an image; none if its UIDs are invalid, as no valid object could refer to it.

    Parameters
    ----------
    segmentation
        The image after the last stage.
    number
        By which results name the image in its study, from 1.
    rule
        Which objects.
    provenance
        Who makes them.

    Raises
    ------
    EncodingError
        If the SEG cannot be built; another object that cannot be is left out.
    """
    source = segmentation.source.sop_instance_uid
    tracking = tuple(provenance.uid("tracking", source, str(index)) for index in range(len(segmentation.masks)))
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    numbers = tuple(outlined.index(index) + 1 if index in outlined else None for index in range(len(tracking)))
    objects: dict[str, Dataset] = {}
    if is_referable(segmentation.source.header):
        for kind, build in _builders(segmentation, number, tracking, rule, provenance).items():
            try:
                ds = build()
            except Exception as error:
                # highdicom and pydicom raise a dozen kinds
                problem = f"the {kind} object cannot be built ({type(error).__name__})"
                if kind == "seg":
                    raise EncodingError(problem) from error
                logger.error("%s: %s; the other results are written", source, problem)  # noqa: TRY400 - may quote
                continue
            if ds is not None:
                objects[kind] = ds
    return EncodedImage(segmentation, objects, tracking, numbers)


def _builders(
    segmentation: Segmentation, number: int, tracking: tuple[str, ...], rule: ObjectRule, provenance: Provenance
) -> dict[str, Callable[[], Dataset | None]]:
    """Return how each kind of object that the rule asks for is built, in the order of the files."""
    localization, geometry = segmentation.localization, rule.viewer_geometry
    builders: dict[str, Callable[[], Dataset | None]] = {
        "seg": lambda: encode_seg(segmentation, tracking, provenance, geometry),
        "heatmap": lambda: encode_heatmap(localization, provenance, geometry),
        "sc": lambda: encode_sc(segmentation, number, provenance),
        "gsps": lambda: encode_gsps(segmentation, number, tracking, provenance),
        "labelmap": lambda: encode_labelmap(segmentation, tracking, provenance, geometry),
    }
    return {kind: build for kind, build in builders.items() if kind == "seg" or getattr(rule, kind)}
