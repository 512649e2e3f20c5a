"""What the objects of an image have in common: series and maker, body part and side, the result in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from operators.encoding.remarks import phrase, unmarked_in_words
from operators.encoding.requests import ImageRequest, ObjectKind, SeriesSubject
from operators.records.codes import BODY_PARTS, in_sentence
from operators.records.images import Localization
from operators.records.provenance import Provenance, equipment, study_identity
from operators.records.sources import SourceImage
from operators.records.states import State

_STATES: Mapping[State, str] = {
    State.ABNORMAL: "abnormal",
    State.DOUBT: "doubt: neither ruled in nor ruled out",
    State.NORMAL: "normal: below the rule-out point",
}
_LONGEST_DESCRIPTION = 64  # characters of a LO


def identify(request: ImageRequest) -> dict[str, Any]:
    """Return series, instance and equipment of an image's object, as highdicom's constructors take them.

    A study has one series of each kind, in which the objects bear the numbers of their images; a request may ask for
    a series of the object's own. All that is told of a series is part of its UID, and the series is part of the UIDs
    of its instances: no instance is ever in two series, and no series is ever told of in two ways (PS3.3 C.7.3.1).
    """
    kind, source, provenance = request.kind, request.source, request.provenance
    of_object = (*request.identity, str(request.number))
    own_series = of_object if request.own_series else ()
    series_uid = derive_series_uid(provenance, kind, source.header, request.subject, *own_series)
    return {
        "series_instance_uid": series_uid,
        "series_number": kind.series_number,
        "series_description": describe_series(kind, request.subject),
        "sop_instance_uid": provenance.uid(kind.name, series_uid, *of_object),
        "instance_number": request.number,
        "contributing_equipment": provenance.contributing_equipment(),
        **equipment(provenance),
    }


def derive_series_uid(
    provenance: Provenance, kind: ObjectKind, header: Dataset, subject: SeriesSubject, *parts: str
) -> str:
    """Return the UID of a study's series of a kind; further ``parts`` tell several series of the kind apart.

    ``header`` is that of an image of the study.
    """
    shown = (str(value or "") for value in (subject.body_part, subject.laterality, subject.view_position))
    return provenance.uid(f"{kind.name} series", *study_identity(header), *shown, *parts)


def describe_series(kind: ObjectKind, subject: SeriesSubject) -> str:
    """Return the Series Description of a kind of object: side, body part and view as far as they fit, the part first.

    Body part, side and view are told as the header's own terms: they are short, and what a list of an archive shows of
    the source images.
    """
    part = subject.body_part if subject.body_part in BODY_PARTS else None
    side, view = subject.laterality, subject.view_position
    for words in ((side, part, view), (side, part), (part,)):
        shown = " ".join(word for word in words if word)
        text = f"OsteoMAP {kind.series_description}{': ' if shown else ''}{shown} (research use only)"
        if len(text) <= _LONGEST_DESCRIPTION:
            break
    return text


def add_body_part(ds: Dataset, subject: SeriesSubject) -> None:
    """Add body part and side to an object's series (PS3.3 C.7.3.1); an unknown side is told as unknown, empty."""
    if subject.body_part in BODY_PARTS:
        ds.BodyPartExamined = subject.body_part
    ds.Laterality = subject.laterality if subject.laterality in ("L", "R") else None


def add_image_laterality(ds: Dataset, source: SourceImage) -> None:
    """Add the side of an image whose series has none to tell: both sides, unpaired, or one of several (PS3.3 C.7.6.1).

    For objects that are images, after ``add_body_part``.
    """
    if not ds.Laterality and source.laterality in ("L", "R", "B", "U"):
        del ds.Laterality
        ds.ImageLaterality = source.laterality


def describe_state(localization: Localization, finding: Code) -> tuple[str, ...]:
    """Return in words state and probability of an image, with what it is of, and, if no place is marked, why."""
    classification = localization.classification
    state = "doubt: the classifiers disagree" if classification.disputed else _STATES[classification.state]
    reasons = "; ".join(phrase(reason) for reason in classification.doubts)
    if reasons:
        state = f"doubt: {reasons}" if classification.withheld else f"{state}; {reasons}"
    probability = f"probability of {in_sentence(finding)} {classification.probability:.2f}"
    return (state, probability, unmarked_in_words(localization)) if localization.unmarked else (state, probability)
