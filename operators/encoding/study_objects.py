"""The images of a study -> the objects that are about all of it: the structured report that refers to every other."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from operators.encoding.compression import compress
from operators.encoding.object_kinds import OBJECT_KINDS
from operators.encoding.requests import DocumentRenderer, StudyRequest
from operators.records.images import EncodedImage
from operators.records.rules import ObjectRule
from operators.records.run_description import RunDescription
from operators.records.study import ReportedStudy, Study, StudyOutcome

logger = logging.getLogger(__name__)


def encode_study(
    study: Study[EncodedImage],
    outcome: StudyOutcome,
    rule: ObjectRule,
    description: RunDescription,
    render_document: DocumentRenderer,
) -> ReportedStudy:
    """Build the objects that are about a whole study.

    Parameters
    ----------
    study, outcome
        The images with their objects, and what the study comes to.
    rule
        Which objects.
    description
        What every report says of the run.
    render_document
        Returns the report as a PDF file.

    Raises
    ------
    EncodingError
        If a required object cannot be built; an optional one that cannot be is left out.
    """
    objects: dict[str, Dataset] = {}
    for kind in OBJECT_KINDS:
        if kind.of_study is not None and (kind.required or kind.name in rule.kinds):
            request = StudyRequest(kind, study, outcome, description, dict(objects), render_document)
            ds = _build(request, rule.compression)
            if ds is not None:
                objects[kind.name] = ds
    return ReportedStudy(study, outcome, dict(reversed(objects.items())))


def _build(request: StudyRequest, compression: str) -> Dataset | None:
    kind = request.kind
    if kind.of_study is None or kind.required:
        return None if kind.of_study is None else kind.of_study(request)
    try:
        ds = kind.of_study(request)
        if ds is not None:
            compress(ds, compression)
        return ds
    except Exception as error:  # noqa: BLE001 - reportlab raises what it likes, and may quote
        uid, problem = request.study.study_instance_uid, type(error).__name__
        logger.error("study %s: the %s object cannot be built (%s)", uid, kind.name, problem)  # noqa: TRY400
        return None
