"""The images of a study -> the objects that are about all of it: the structured report that refers to every other."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from operators.dicom_sr import encode_report
from operators.errors import EncodingError
from operators.provenance import Provenance
from operators.records import EncodedImage, ExcludedImage, OperatingPoints
from operators.study import ReportedStudy, Study, StudyOutcome, summarise_study

logger = logging.getLogger(__name__)


def report_study(study: Study[EncodedImage], points: OperatingPoints, provenance: Provenance) -> ReportedStudy:
    """Return a study with its outcome and its report; if the report cannot be built, all its images have failed."""
    outcome = _outcome(study, points)
    try:
        return ReportedStudy(study, outcome, _objects(study, outcome, provenance))
    except EncodingError as error:
        logger.error("study %s: failed, %s: %s", study.study_instance_uid, error.reason, error.detail)
        failed = tuple(
            image
            if isinstance(image, ExcludedImage)
            else ExcludedImage(image.source, error.state, str(error.reason), error.detail)
            for image in study.images
        )
        study = Study(study.study_instance_uid, failed)
        return ReportedStudy(study, _outcome(study, points), {})


def _outcome(study: Study[EncodedImage], points: OperatingPoints) -> StudyOutcome:
    classifications = [image.segmentation.localization.classification for image in study.included]
    return summarise_study(classifications, [image.state for image in study.excluded], points)


def _objects(study: Study[EncodedImage], outcome: StudyOutcome, provenance: Provenance) -> dict[str, Dataset]:
    """Build the objects of a study by kind, the report last, as it refers to the others."""
    objects: dict[str, Dataset] = {}
    report = encode_report(study, outcome, objects, provenance)
    return objects if report is None else {"sr": report} | objects
