"""Adapter of ``dicom_seg``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.dicom_seg import SegRule, encode_segmentation
from operators.provenance import Provenance
from operators.records import EncodedImage, Segmentation
from operators.stage_operator import StageOperator
from operators.study import Study


class DicomSegOperator(StageOperator):
    """Build the SEG object of every image with a finding."""

    input_port = "segmentations"
    output_port = "encoded_images"

    def __init__(
        self, fragment: Fragment, *args: Any, provenance: Provenance, rule: SegRule, name: str = "dicom_seg"
    ) -> None:
        self.provenance = provenance
        self.rule = rule
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[Segmentation]) -> Study[EncodedImage]:
        """Return the study with SEG objects in memory."""
        return study.map(lambda segmentation: encode_segmentation(segmentation, self.provenance, self.rule))
