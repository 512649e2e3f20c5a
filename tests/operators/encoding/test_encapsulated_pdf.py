"""The PDF of a study, and the object that holds it."""

from __future__ import annotations

import dataclasses
import io
import subprocess
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from reportlab.pdfgen.canvas import Canvas

from operators.drawing.layers import draw
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage, Localization, Segmentation
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage
from operators.records.study import Study, StudyOutcome
from operators.reporting import pdf_document as report_pdf
from operators.reporting.pdf_document import UNPRINTABLE, render_pdf
from tests.phantoms import classification, radiograph, source_image
from tests.segmentations import build_pdf

PROVENANCE = Provenance(
    "0.1.0", (Model("msk_a", "1", "a" * 64),), Model("msk_b", "2", "b" * 64), datetime(2026, 11, 21, tzinfo=UTC)
)
DESCRIPTION = RunDescription(
    PROVENANCE, OperatingPoints(0.2, 0.8), OperatingPoints(0.3, 0.7), ("Trained on <fractures> only.",)
)
NAMING = dataclasses.replace(DESCRIPTION, patient_data=True)
OUTCOME = StudyOutcome("abnormal", 0.9)
PATIENT = {"PatientName": "Doe^Jane", "PatientID": "PID-77", "PatientBirthDate": "19510203", "PatientSex": "F"}
PATIENT |= {"AccessionNumber": "ACC-5", "StudyDate": "20260401", "StudyDescription": "Wrist", "PatientAge": "075Y"}


def study(key: str = "a", images: int = 1, **header: object) -> Study[EncodedImage]:
    """A study of one box and one outline per image, and a declined image."""
    found = []
    for number in range(images):
        ds = radiograph(f"{key}{number}", study=key, **header)
        mask = np.zeros((160, 128), bool)
        mask[40:70, 30:50] = True
        record = classification(source=source_image(ds))
        localization = Localization(record, np.zeros((160, 128), np.float32), (PixelBox(20, 30, 60, 80),), (0.87,))
        record = Segmentation(localization, (mask,), (0.66,))
        found.append(EncodedImage(record, {}, ("1",), (1,), draw(record)))
    declined = ExcludedImage(source_image(radiograph(f"{key}-", study=key, **header)), "declined", "too_small", "<why>")
    return Study(str(found[0].source.header.StudyInstanceUID), (*found, declined))


def reread(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """Everything that is written into paragraphs."""
    texts: list[str] = []
    paragraph = report_pdf.Paragraph

    def record(text: str, style: object) -> object:
        texts.append(text)
        return paragraph(text, style)

    monkeypatch.setattr(report_pdf, "Paragraph", record)
    return texts


def test_the_document_says_what_it_must(said):
    assert render_pdf(study(), OUTCOME, DESCRIPTION).startswith(b"%PDF-")
    text = "\n".join(said)
    for expected in (
        RESEARCH_USE_ONLY,
        "Study: abnormal, mean probability of abnormality 0.90",
        "Image 1: abnormal, probability of abnormality 0.90",
        "Wrist joint, left, AP",
        "1: 20-60 x 30-80",
        "0.87",
        "24.0 mm\u00b2 (600 pixels)",
        "0.66",
        "Image 2: declined",
        "too few pixels",
        "&lt;why&gt;",
        "Trained on &lt;fractures&gt; only.",
        "a" * 64,
        "b" * 64,
        "Below 0.20",
        "Normal below 0.30",
    ):
        assert expected in text, expected


def test_research_use_only_stands_on_every_page(monkeypatch):
    pages: list[int] = []
    written: list[str] = []
    draw, show = Canvas.drawCentredString, Canvas.showPage
    monkeypatch.setattr(Canvas, "showPage", lambda canvas: (pages.append(1), show(canvas)))
    monkeypatch.setattr(
        Canvas, "drawCentredString", lambda canvas, x, y, text: (written.append(text), draw(canvas, x, y, text))
    )
    render_pdf(study(images=5), OUTCOME, DESCRIPTION)
    assert len(pages) > 4
    assert written.count(RESEARCH_USE_ONLY) == len(pages)


def test_a_second_document_has_the_same_bytes_and_no_clock_but_the_run_s():
    assert render_pdf(study(), OUTCOME, DESCRIPTION) == render_pdf(study(), OUTCOME, DESCRIPTION)


def test_the_document_knows_no_patient_unless_it_is_asked_to():
    """Two studies that differ in nothing but the patient give the same document."""
    nobody, somebody = study(), study(**PATIENT)
    assert render_pdf(nobody, OUTCOME, DESCRIPTION) == render_pdf(somebody, OUTCOME, DESCRIPTION)
    assert render_pdf(nobody, OUTCOME, NAMING) != render_pdf(somebody, OUTCOME, NAMING)


def test_the_patient_is_named_where_that_is_asked_for(said):
    render_pdf(study(**PATIENT), OUTCOME, NAMING)
    assert {"Doe Jane", "PID-77", "1951-02-03", "female", "ACC-5", "2026-04-01"} <= set(said)


def test_a_name_beyond_the_font_is_said_to_be_beyond_it(said):
    ds_name = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"
    render_pdf(study(PatientName=ds_name, SpecificCharacterSet="ISO_IR 192"), OUTCOME, NAMING)
    assert UNPRINTABLE in said
    assert not [text for text in said if "Yamada" in text]


def test_a_study_without_results_has_a_document():
    (declined,) = study().excluded
    assert render_pdf(Study(None, (declined,)), StudyOutcome("declined", None), DESCRIPTION).startswith(b"%PDF-")


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_document_comes_back_as_it_was(size):
    document = (b"%PDF-1.4\n" + bytes(range(256)) * 4)[:size]
    ds = reread(build_pdf(document, study()))
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength] == document


def test_the_object_belongs_to_the_study_of_its_sources():
    source = study(images=2, **PATIENT)
    ds = reread(build_pdf(b"%PDF-", source))
    assert ds.SOPClassUID.name == "Encapsulated PDF Storage"
    assert (ds.Modality, ds.SeriesNumber, ds.VerificationFlag) == ("DOC", 9006, "UNVERIFIED")
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert {keyword: str(ds[keyword].value) for keyword in PATIENT} == PATIENT
    assert ds.StudyInstanceUID == source.study_instance_uid
    referred = [item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence]
    assert referred == [image.source.sop_instance_uid for image in source.images]
    assert RESEARCH_USE_ONLY in ds.DocumentTitle
    (equipment,) = ds.ContributingEquipmentSequence
    assert "a" * 64 in equipment.ContributionDescription
    assert "b" * 64 in equipment.ContributionDescription


def test_the_object_says_whether_the_document_names_the_patient():
    assert build_pdf(b"%PDF-", study()).BurnedInAnnotation == "NO"
    assert build_pdf(b"%PDF-", study(), patient_data=True).BurnedInAnnotation == "YES"


def test_a_second_run_writes_the_same_object():
    first, second = (build_pdf(b"%PDF-", study()) for _ in range(2))
    assert first == second
    assert first.SOPInstanceUID != build_pdf(b"%PDF-", study("b")).SOPInstanceUID


def test_what_cannot_be_referred_to_gives_no_object():
    assert build_pdf(b"%PDF-", Study(None, ())) is None
    assert build_pdf(b"%PDF-", study(StudyInstanceUID="999.1.02")) is None


@pytest.mark.external
@pytest.mark.parametrize("header", [{}, PATIENT, {"StudyDate": None, "PatientID": None, "PatientName": None}])
def test_the_validator_finds_no_error(tmp_path, header):
    source = study(**header)
    ds = build_pdf(render_pdf(source, OUTCOME, DESCRIPTION), source)
    ds.save_as(tmp_path / "pdf.dcm", enforce_file_format=True)
    judged = subprocess.run(["dciodvfy", "-new", tmp_path / "pdf.dcm"], capture_output=True, text=True, check=False)
    assert "EncapsulatedPDF" in judged.stderr
    assert not [line for line in judged.stderr.splitlines() if line.startswith("Error")]
    subprocess.run(["dcmdump", "-q", tmp_path / "pdf.dcm"], stdout=subprocess.DEVNULL, check=True)
