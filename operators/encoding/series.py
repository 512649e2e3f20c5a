"""What the objects of an image have in common: series and maker, body part and side, the result in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from operators.encoding.remarks import phrase
from operators.encoding.requests import ImageRequest, ObjectKind
from operators.records.codes import BODY_PARTS
from operators.records.images import Classification
from operators.records.provenance import equipment
from operators.records.sources import SourceImage
from operators.records.states import State

_STATES: Mapping[State, str] = {
    State.ABNORMAL: "abnormal",
    State.DOUBT: "doubt: neither ruled in nor ruled out",
    State.NORMAL: "normal: below the rule-out point",
}


def identify(request: ImageRequest, *, shared_series: bool) -> dict[str, Any]:
    """Return series, instance and equipment of an image's object, as highdicom's constructors take them.

    Parameters
    ----------
    request
        What is built.
    shared_series
        One series holds the objects of a study's images that share body part and laterality; else every object has a
        series of its own, as viewers show only the first object of a series of SEG.
    """
    kind, source, provenance = request.kind, request.source, request.provenance
    of_series: tuple[str, ...] = (source.sop_instance_uid,)
    of_instance = (source.sop_instance_uid, str(request.number))
    if shared_series:
        of_series = (str(source.header.StudyInstanceUID), source.body_part or "", source.laterality or "")
    return {
        "series_instance_uid": provenance.uid(f"{kind.name} series", *of_series),
        "series_number": kind.series_number,
        "series_description": describe_series(kind),
        "sop_instance_uid": provenance.uid(kind.name, *of_instance),
        "instance_number": request.number if shared_series else 1,
        "contributing_equipment": provenance.contributing_equipment(),
        **equipment(provenance),
    }


def describe_series(kind: ObjectKind) -> str:
    """Return the Series Description of a kind of object."""
    return f"OsteoMAP {kind.series_description} (research use only)"


def add_body_part(ds: Dataset, source: SourceImage) -> None:
    """Add body part and side to an object's series (PS3.3 C.7.3.1); an unknown side is told as unknown, empty."""
    if source.body_part in BODY_PARTS:
        ds.BodyPartExamined = source.body_part
    ds.Laterality = source.laterality if source.laterality in ("L", "R") else None


def describe_state(classification: Classification) -> tuple[str, str]:
    """Return state and probability of an image in words."""
    state = "doubt: the classifiers disagree" if classification.disputed else _STATES[classification.state]
    reasons = "; ".join(phrase(reason) for reason in classification.doubts)
    if reasons:
        state = f"doubt: {reasons}" if classification.withheld else f"{state}; {reasons}"
    return state, f"probability of abnormality {classification.probability:.2f}"
