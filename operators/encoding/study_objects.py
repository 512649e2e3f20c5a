"""The images of a study -> the objects that are about all of it: the structured report that refers to every other."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from operators.classification.study_outcome import summarise_study
from operators.encoding.encapsulated_pdf import encode_pdf
from operators.encoding.sr.report import encode_report
from operators.records.errors import EncodingError
from operators.records.images import EncodedImage
from operators.records.operating_points import OperatingPoints
from operators.records.sources import ExcludedImage
from operators.records.study import ReportedStudy, Study, StudyOutcome
from operators.reporting.page import Page
from operators.reporting.pdf_document import render_pdf

logger = logging.getLogger(__name__)


def report_study(study: Study[EncodedImage], page: Page, pdf: bool) -> ReportedStudy:
    """Return a study with its outcome and its report; if the report cannot be built, all its images have failed.

    Parameters
    ----------
    study
        The images with their objects.
    page
        What every report says of the run.
    pdf
        Whether there is an encapsulated PDF too.
    """
    outcome = _outcome(study, page.points)
    try:
        return ReportedStudy(study, outcome, _objects(study, outcome, page, pdf))
    except EncodingError as error:
        logger.error("study %s: failed, %s: %s", study.study_instance_uid, error.reason, error.detail)
        failed = tuple(
            image
            if isinstance(image, ExcludedImage)
            else ExcludedImage(image.source, error.state, str(error.reason), error.detail)
            for image in study.images
        )
        study = Study(study.study_instance_uid, failed)
        return ReportedStudy(study, _outcome(study, page.points), {})


def _outcome(study: Study[EncodedImage], points: OperatingPoints) -> StudyOutcome:
    classifications = [image.segmentation.localization.classification for image in study.included]
    return summarise_study(classifications, [image.state for image in study.excluded], points)


def _objects(study: Study[EncodedImage], outcome: StudyOutcome, page: Page, pdf: bool) -> dict[str, Dataset]:
    """Build the objects of a study by kind; the structured report is built last, as it refers to all others."""
    document = _document(study, outcome, page) if pdf else None
    others = {} if document is None else {"pdf": document}
    report = encode_report(study, outcome, others, page.provenance)
    return others if report is None else {"sr": report} | others


def _document(study: Study[EncodedImage], outcome: StudyOutcome, page: Page) -> Dataset | None:
    """Return the report as a document; a layout that fails costs the document only."""
    try:
        return encode_pdf(render_pdf(study, outcome, page), study, page.provenance, page.patient_data)
    except Exception as error:  # noqa: BLE001 - reportlab raises what it likes, and may quote
        kind = type(error).__name__
        logger.error("study %s: the pdf object cannot be built (%s)", study.study_instance_uid, kind)  # noqa: TRY400
        return None
