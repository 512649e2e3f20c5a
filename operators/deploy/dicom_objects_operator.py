"""Adapter of ``dicom_objects``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.deploy.stage_operator import StageOperator
from operators.encoding.image_objects import encode_image
from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import Provenance
from operators.records.rules import ObjectRule
from operators.records.study import Study


class DicomObjectsOperator(StageOperator):
    """Build the DICOM objects of every image."""

    input_port = "segmentations"
    output_port = "encoded_images"

    def __init__(
        self, fragment: Fragment, *args: Any, provenance: Provenance, rule: ObjectRule, name: str = "dicom_objects"
    ) -> None:
        self.provenance = provenance
        self.rule = rule
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[Segmentation]) -> Study[EncodedImage]:
        """Return the study with its objects in memory."""
        return study.map(
            lambda segmentation: encode_image(segmentation, study.number(segmentation), self.rule, self.provenance)
        )
