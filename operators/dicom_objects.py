"""Segmentation -> the DICOM objects of one image, in memory; each kind has a module of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from operators.dicom_seg import encode_seg
from operators.dicom_source import is_referable
from operators.errors import EncodingError
from operators.provenance import Provenance
from operators.records import EncodedImage, Segmentation


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """Which objects are written beside SEG and SR, and how; see ``app.yaml``, ``outputs``."""

    heatmap: bool
    sc: bool
    gsps: bool
    labelmap: bool
    viewer_geometry: bool


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
        If an object cannot be built.
    """
    source = segmentation.source.sop_instance_uid
    tracking = tuple(provenance.uid("tracking", source, str(index)) for index in range(len(segmentation.masks)))
    outlined = [index for index, mask in enumerate(segmentation.masks) if mask.any()]
    numbers = tuple(outlined.index(index) + 1 if index in outlined else None for index in range(len(tracking)))
    objects: dict[str, Dataset] = {}
    if is_referable(segmentation.source.header):
        kind = "seg"
        try:
            seg = encode_seg(segmentation, tracking, provenance, rule.viewer_geometry)
        except Exception as error:
            # highdicom and pydicom raise a dozen kinds
            raise EncodingError(f"the {kind} object cannot be built ({type(error).__name__})") from error
        if seg is not None:
            objects[kind] = seg
    return EncodedImage(segmentation, objects, tracking, numbers)
