"""Adapter of ``dicom_report``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.deploy.stage_operator import StageOperator
from operators.encoding.study_objects import report_study
from operators.records.images import EncodedImage
from operators.records.study import ReportedStudy, Study
from operators.reporting.page import Page


class DicomReportOperator(StageOperator):
    """Summarise a study and build its report."""

    input_port = "encoded_images"
    output_port = "reported_studies"

    def __init__(self, fragment: Fragment, *args: Any, page: Page, pdf: bool, name: str = "dicom_report") -> None:
        self.page = page
        self.pdf = pdf
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[EncodedImage]) -> ReportedStudy:
        """Return the study with its outcome and its report in memory."""
        return report_study(study, self.page, self.pdf)
