"""Records -> one self-contained HTML page that a person reads; no script, no font and no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from operators.outputs import StudySummary
from operators.pictures import data_uri, finding_picture, plain_picture
from operators.provenance import RESEARCH_USE_ONLY, Provenance
from operators.records import Classification, EncodedImage, ExcludedImage, OperatingPoints
from operators.study import ReportedStudy

_TEMPLATES = Environment(
    loader=PackageLoader("operators"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
)
STATES = {
    "abnormal": "abnormal",
    "doubt": "doubt: neither ruled in nor ruled out",
    "normal": "normal",
    "declined": "declined: not analysed",
    "failed": "failed: not analysed",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What every page says of the run."""

    provenance: Provenance
    points: OperatingPoints
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is shown of an image: two data URIs, and which map the heat map is."""

    plain: str
    finding: str
    map_name: str


def render_study(reported: ReportedStudy, summary: StudySummary, pictures: int) -> str:
    """Return the HTML section of a study; at most ``pictures`` of its images are shown with pictures."""
    shown: list[Pictures | None] = []
    for image in reported.study.images:
        if isinstance(image, ExcludedImage) or sum(pair is not None for pair in shown) >= pictures:
            shown.append(None)
        else:
            shown.append(_pictures(image))
    together = [_classified_together(image) for image in reported.study.images]
    images = list(zip(summary.images, shown, together, strict=True))
    return _TEMPLATES.get_template("study.html").render(study=summary, images=images, states=STATES)


def _pictures(image: EncodedImage) -> Pictures:
    """Return the pictures of an image that was analysed."""
    localization = image.segmentation.localization
    plain = plain_picture(localization.classification.radiograph.pixels)
    return Pictures(data_uri(plain), data_uri(finding_picture(image.segmentation)), localization.map_name)


def _classified_together(image: EncodedImage | ExcludedImage) -> Classification | None:
    """Return the classification of an image that several classifiers have seen."""
    if isinstance(image, ExcludedImage):
        return None
    classification = image.segmentation.localization.classification
    return classification if len(classification.opinions) > 1 else None


def render_head(page: Page, counts: Mapping[str, int]) -> str:
    """Return the page up to its first study."""
    return _TEMPLATES.get_template("head.html").render(**_context(page, counts))


def render_foot(page: Page, counts: Mapping[str, int]) -> str:
    """Return the page after its last study."""
    return _TEMPLATES.get_template("foot.html").render(**_context(page, counts))


def _context(page: Page, counts: Mapping[str, int]) -> dict[str, Any]:
    return {"page": page, "counts": counts, "states": STATES, "research_use_only": RESEARCH_USE_ONLY}
