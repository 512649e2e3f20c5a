"""What the objects of an image have in common: series and maker, body part and side, the result in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from operators.records.codes import BODY_PARTS
from operators.records.images import Classification
from operators.records.provenance import Provenance, equipment
from operators.records.sources import SourceImage

# Series number and description by the kind of object.
_SERIES: Mapping[str, tuple[int, str]] = {
    "seg": (9001, "segmentation"),
    "heatmap": (9002, "heat map"),
    "sc": (9003, "picture"),
    "gsps": (9004, "graphics"),
    "labelmap": (9005, "label map"),
}

_STATES: Mapping[str, str] = {
    "abnormal": "abnormal",
    "doubt": "doubt: neither ruled in nor ruled out",
    "normal": "normal: below the rule-out point",
}


def identify(kind: str, source: SourceImage, provenance: Provenance, number: int | None = None) -> dict[str, Any]:
    """Return series, instance and equipment of an image's object, as highdicom's constructors take them.

    Parameters
    ----------
    kind
        Of the object; see ``EncodedImage.objects``.
    source
        The image that the object is about.
    provenance
        Who makes the object.
    number
        By which results name the image in its study: one series holds the images of a study that share body part and
        laterality. None: a series of its own, as viewers show only the first object of a series of SEG.
    """
    of_series = (
        (source.sop_instance_uid,)
        if number is None
        else (str(source.header.StudyInstanceUID), source.body_part or "", source.laterality or "")
    )
    series_number, word = _SERIES[kind]
    return {
        "series_instance_uid": provenance.uid(f"{kind} series", *of_series),
        "series_number": series_number,
        "series_description": f"OsteoMAP {word} (research use only)",
        "sop_instance_uid": provenance.uid(kind, source.sop_instance_uid, *(() if number is None else (str(number),))),
        "instance_number": number or 1,
        "contributing_equipment": provenance.contributing_equipment(),
        **equipment(provenance),
    }


def add_body_part(ds: Dataset, source: SourceImage) -> None:
    """Add body part and side to an object's series (PS3.3 C.7.3.1); an unknown side is told as unknown, empty."""
    if source.body_part in BODY_PARTS:
        ds.BodyPartExamined = source.body_part
    ds.Laterality = source.laterality if source.laterality in ("L", "R") else None


def describe_state(classification: Classification) -> tuple[str, str]:
    """Return state and probability of an image in words."""
    state = "doubt: the classifiers disagree" if classification.disputed else _STATES[classification.state]
    return state, f"probability of abnormality {classification.probability:.2f}"
