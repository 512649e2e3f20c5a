"""A study -> its report as PDF: A4, one document per study, the same bytes for the same input and time."""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Iterable
from typing import Any

from reportlab.lib.colors import HexColor, black
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import getFont
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from operators.drawing.pdf_picture import BOLD, FONT, PictureDrawing
from operators.records.codes import in_sentence, place
from operators.records.images import EncodedImage, Picture
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY
from operators.records.reasons import REASONS
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage
from operators.records.study import Study, StudyOutcome
from operators.reporting.summaries import ImageSummary, summarise
from operators.reporting.words import STATES, burned_in, opinions, patient_data, state_of

MOST_PICTURES = 40  # per document; the other images are listed
MARGIN = 18 * mm
HIGHEST_PICTURE = 105 * mm
INK, SOFT, LINE = black, HexColor("#545d68"), HexColor("#d0d6dd")
UNPRINTABLE = "(not printable here; see the DICOM header)"
BODY = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=12.5, textColor=INK)
SMALL = ParagraphStyle("small", BODY, fontSize=7, leading=9.5, textColor=SOFT, wordWrap="CJK")  # breaks a UID anywhere
TITLE = ParagraphStyle("title", BODY, fontName=BOLD, fontSize=15, leading=20)
HEADING = ParagraphStyle("heading", BODY, fontName=BOLD, fontSize=10.5, leading=14, spaceBefore=10, keepWithNext=1)
WARNING = ParagraphStyle("warning", HEADING, borderWidth=1.2, borderColor=INK, borderPadding=4, spaceAfter=8)


def render_pdf(study: Study[EncodedImage], outcome: StudyOutcome, description: RunDescription) -> bytes:
    """Return the report of a study as a PDF file.

    Parameters
    ----------
    study
        Its images, with or without objects.
    outcome
        What it comes to.
    description
        What every report says of the run; patients are named only if it asks for it.
    """
    pictures = [
        None if burned_in(image.source) and not description.patient_data else image.picture
        for image in study.included[:MOST_PICTURES]
    ]
    pages = _build(study, outcome, description, pictures, pages=0)[1]  # laid out once to number the pages "n of m"
    return _build(study, outcome, description, pictures, pages)[0]


def _build(
    study: Study[EncodedImage],
    outcome: StudyOutcome,
    description: RunDescription,
    pictures: list[Picture | None],
    pages: int,
) -> tuple[bytes, int]:
    """Return the document and the number of its pages."""
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN),
        title=f"{APPLICATION} report",
        author=f"{APPLICATION} {description.provenance.version}",
        subject=RESEARCH_USE_ONLY,
        lang="en",
        invariant=1,
    )
    edges = functools.partial(_draw_edges, description=description, pages=pages)
    document.build(
        [*_summary(study, outcome, description), *_images(study, description, pictures), *_end(description)],
        edges,
        edges,
    )
    return buffer.getvalue(), document.page


def _draw_edges(canvas: Any, document: Any, description: RunDescription, pages: int) -> None:
    """Write what stands on every page: research use only, who made it, which page it is."""
    canvas.setFont(BOLD, 8)
    canvas.drawCentredString(A4[0] / 2, A4[1] - 11 * mm, RESEARCH_USE_ONLY)
    canvas.setFont(FONT, 7)
    made = f"{APPLICATION} {description.provenance.version}, {description.provenance.now:%Y-%m-%d %H:%M}"
    canvas.drawString(MARGIN, 10 * mm, made)
    canvas.drawRightString(A4[0] - MARGIN, 10 * mm, f"page {document.page} of {pages}")


def _summary(study: Study[EncodedImage], outcome: StudyOutcome, description: RunDescription) -> Iterable[Flowable]:
    yield _text(f"{APPLICATION} report", TITLE)
    warning = f"{RESEARCH_USE_ONLY}. A radiologist's reading is not replaced, supported or checked by this document."
    yield from (Spacer(0, 6), _text(warning, WARNING))
    if description.patient_data:
        yield _table([[_text(label), _text(value)] for label, value in patient_data(study).items()], (35, 100))
    finding = in_sentence(description.provenance.finding)
    mean = "" if outcome.probability is None else f", mean probability of {finding} {outcome.probability:.2f}"
    yield _text(f"Study: {STATES[outcome.state]}{mean}", HEADING)
    points = description.points
    yield _text(
        f"Below {points.rule_out:.2f} (rule-out point) a study is called normal, from {points.rule_in:.2f} "
        "(rule-in point) on abnormal, between them doubt; never normal while one of its images is abnormal, or while "
        "there is a reason to doubt one."
    )
    if study.study_instance_uid:
        yield _text(f"Study Instance UID {study.study_instance_uid}", SMALL)


def _reason_texts(image: ImageSummary) -> tuple[str, ...]:
    """Return why an image was not analysed, or is doubted, and what can be done."""
    reasons = image.doubts if image.reason is None else (image.reason,)
    return tuple(text for reason in reasons for text in (REASONS[reason].explanation, REASONS[reason].remedy))


def _images(
    study: Study[EncodedImage], description: RunDescription, pictures: list[Picture | None]
) -> Iterable[Flowable]:
    left, finding = iter(pictures), in_sentence(description.provenance.finding)
    for number, image in enumerate(study.images, start=1):
        result = summarise(image)
        picture = None if isinstance(image, ExcludedImage) else next(left, None)
        probability = "" if result.probability is None else f", probability of {finding} {result.probability:.2f}"
        lines = [_text(f"Image {number}: {state_of(image)}{probability}", HEADING)]
        lines.append(_text(place(result.body_part, result.laterality, result.view_position)))
        lines += [_text(text) for text in (*_reason_texts(result), result.detail, opinions(image)) if text]
        if result.probability is not None:
            points = description.image_points
            rule = f"Normal below {points.rule_out:.2f}, abnormal from {points.rule_in:.2f} on, between them doubt."
            lines += [
                _text(rule),
                Spacer(0, 4),
                PictureDrawing(picture, A4[0] - 2 * MARGIN - 12, HIGHEST_PICTURE)
                if picture
                else _text("Without pictures."),
            ]
        lines.append(_text(f"SOP Instance UID {result.sop_instance_uid}" if result.sop_instance_uid else "", SMALL))
        yield KeepTogether([*lines, *([_findings(result)] if result.boxes else [])])


def _findings(result: ImageSummary) -> Table:
    titles = (
        "Box: columns x rows, pixels",
        "Score: peak of the heat map in the box, 0 to 1",
        "Outlined area, at the detector plane",
        "Predicted IoU: the outline's fit as its model guesses it, 0 to 1",
    )
    rows = [[_text(title, SMALL) for title in titles]]
    for number, ((box, score), (area, area_mm2, iou)) in enumerate(
        zip(result.boxes, result.masks, strict=True), start=1
    ):
        size = f"{area} pixels" if area_mm2 is None else f"{area_mm2:.1f} mm\u00b2 ({area} pixels)"
        cells = (f"{number}: {box.left}-{box.right} x {box.top}-{box.bottom}", f"{score:.2f}")
        rows.append([_text(cell) for cell in (*cells, size if area else "nothing outlined", f"{iou:.2f}")])
    return _table(rows, (48, 40, 46, 40))


def _end(description: RunDescription) -> Iterable[Flowable]:
    yield _text("How to read", HEADING)
    finding = in_sentence(description.provenance.finding)
    yield _text(
        f"The probability is that of {finding}, calibrated on validation data; it is not the patient's risk. The heat "
        "map (orange) shows where it comes from, boxes (dashed) are cut from it, and an outline (solid) is what the "
        "Segment Anything Model sees in a box. A score is the peak of the heat map in the box, and no probability "
        f"that the box holds {finding}. Images that are called normal have no heat map. An area holds at the detector "
        "plane: the patient's own is smaller."
    )
    yield _text("Limits", HEADING)
    yield from (_text(f"- {limit}") for limit in description.limits)
    yield _text("Models", HEADING)
    models = [[model.name, model.version, model.sha256] for model in description.provenance.models]
    rows = [("Bundle", "Version", "sha256 of the weights"), *models]
    yield _table([[_text(cell, SMALL) for cell in row] for row in rows], (42, 20, 112))


def _text(text: str, style: ParagraphStyle = BODY) -> Paragraph:
    """Return a paragraph; markup in a text is no markup, and what the font lacks is result to be lacking."""
    known = getFont(style.fontName).face.charToGlyph
    return Paragraph(html.escape(text if all(ord(letter) in known for letter in text) else UNPRINTABLE), style)


def _table(rows: list[list[Paragraph]], widths_mm: tuple[float, ...]) -> Table:
    grid = [("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    return Table(rows, colWidths=[width * mm for width in widths_mm], style=grid, hAlign="LEFT", spaceBefore=4)
