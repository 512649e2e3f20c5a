"""Records -> one self-contained HTML page that a person reads; no script, no font and no picture from elsewhere.

A section is rendered while its study is in memory, the head with the table of all studies when their summaries are
complete; the caller puts the sections in the order of the table (``worst_first``).

Files are named as ``result.json`` names them, whatever ``report: patient_data`` says: by their paths in the input.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, select_autoescape

from operators.drawing.colours import BOX, HEAT, as_hex
from operators.drawing.layers import data_uri, svg_path
from operators.records.codes import in_sentence, place
from operators.records.images import EncodedImage, Picture
from operators.records.provenance import RESEARCH_USE_ONLY
from operators.records.reasons import REASONS
from operators.records.run_description import RunDescription
from operators.records.states import WORST_FIRST
from operators.records.study import ReportedStudy
from operators.reporting.output_folder import study_folder
from operators.reporting.summaries import ImageSummary, StudySummary
from operators.reporting.words import (
    STATES,
    burned_in,
    files_by_kind,
    ignored_files,
    name_files,
    opinions,
    patient_data,
    printable,
    state_of,
)

_HIDDEN = (
    "Without pictures: patient data are part of this one, and report: patient_data in app.yaml does not allow them."
)
_LIMITED = "Without pictures: report: pictures in app.yaml limits how many images are shown."


@dataclass(frozen=True, slots=True)
class _Row:
    """A study in the table at the top."""

    anchor: str
    summary: StudySummary
    places: tuple[str, ...]
    files: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """An image of a study's section; ``name`` is its id, ``picture`` None where none is shown, and why."""

    name: str
    summary: ImageSummary
    state: str
    place: str
    opinions: str = ""
    picture: Picture | None = None
    without_picture: str = ""


def _csp_source(text: str) -> str:
    """Return what a Content Security Policy calls an inline style or script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


_TEMPLATES = Environment(
    loader=PackageLoader("operators.reporting"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "csp_source": _csp_source,
    "data_uri": data_uri,
    "svg_path": svg_path,
    "percent": "{:.2%}".format,
    "printable": printable,
}
_TEMPLATES.globals |= {
    "STATES": STATES,
    "REASONS": REASONS,
    "research_use_only": RESEARCH_USE_ONLY,
    "box_colour": as_hex(BOX),
    "heat_colour": as_hex(HEAT),
}


def render_head(description: RunDescription, counts: Mapping[str, int], studies: Sequence[StudySummary]) -> str:
    """Return the page up to its first study: the counts, and a table of all studies, the worst first."""
    rows = [_Row(_anchor(study), study, _places(study), name_files(study)) for study in worst_first(studies)]
    return _TEMPLATES.get_template("head.html").render(
        run=description,
        finding=in_sentence(description.provenance.finding),
        counts=counts,
        ignored=ignored_files(counts),
        rows=rows,
        states=WORST_FIRST,
    )


def worst_first(studies: Iterable[StudySummary]) -> list[StudySummary]:
    """Return studies in the order of the page: the worst state first, and of one state the highest probability."""
    return sorted(studies, key=lambda study: (WORST_FIRST.index(study.state), -(study.probability or 0)))


def render_study(reported: ReportedStudy, summary: StudySummary, description: RunDescription, pictures: int) -> str:
    """Return the section of a study; at most ``pictures`` of its images are shown with pictures."""
    anchor, shown, left = _anchor(summary), [], pictures
    for number, (image, result) in enumerate(zip(reported.study.images, summary.images, strict=True), start=1):
        picture, without = None, _LIMITED
        if isinstance(image, EncodedImage) and burned_in(image.source) and not description.patient_data:
            without = _HIDDEN
        elif isinstance(image, EncodedImage) and left > 0:
            picture, left = image.picture, left - 1
        state, where = state_of(image), place(result.body_part, result.laterality, result.view_position)
        shown.append(_Shown(f"{anchor}-{number}", result, state, where, opinions(image), picture, without))
    patient = patient_data(reported.study) if description.patient_data else {}
    return _section(summary, shown, description, patient)


def render_unfinished(summary: StudySummary, description: RunDescription) -> str:
    """Return the section of a study of which the run kept no more than its files and why it was not finished."""
    anchor = _anchor(summary)
    shown = [
        _Shown(f"{anchor}-{number}", result, STATES[result.state], place(None))
        for number, result in enumerate(summary.images, start=1)
    ]
    return _section(summary, shown, description, {})


def _section(
    study: StudySummary, shown: Sequence[_Shown], description: RunDescription, patient: Mapping[str, str]
) -> str:
    return _TEMPLATES.get_template("study.html").render(
        run=description,
        finding=in_sentence(description.provenance.finding),
        anchor=_anchor(study),
        study=study,
        images=shown,
        places=_places(study),
        patient=patient,
        files=files_by_kind([written.file for written in study.outputs]),
        classified=sum(image.summary.probability is not None for image in shown),
    )


def render_foot(description: RunDescription) -> str:
    """Return the page after its last study."""
    return _TEMPLATES.get_template("foot.html").render(
        run=description, finding=in_sentence(description.provenance.finding)
    )


def _anchor(study: StudySummary) -> str:
    """Return the id of a study's section; no name of the input is in it."""
    return "study-" + ("unnamed" if study.study_instance_uid is None else study_folder(study.study_instance_uid))


def _places(study: StudySummary) -> tuple[str, ...]:
    """Return the body parts of a study, each once."""
    return tuple(dict.fromkeys(place(image.body_part, image.laterality) for image in study.images))
