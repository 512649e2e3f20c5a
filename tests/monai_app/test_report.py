"""The page is one file that needs nothing from elsewhere and says what it must."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from operators.drawing.contours import contours
from operators.drawing.layers import RADIOGRAPH_SIDE, draw, heat_picture, mark, svg_path
from operators.drawing.pdf_picture import GAP, PictureDrawing
from operators.encoding.object_kinds import KIND_OF_NAME, OBJECT_KINDS
from operators.records.codes import place
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage, Localization, Opinion, Segmentation
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.records.reasons import REASONS, DeclinedReason, DoubtReason, FailedReason
from operators.records.rules import MapRule
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage
from operators.records.states import WORST_FIRST
from operators.records.study import ReportedStudy, Study, StudyOutcome
from operators.reporting.output_folder import write_study
from operators.reporting.page import render_foot, render_head, render_study
from operators.reporting.summaries import StudySummary, summarise
from operators.reporting.words import STATES, files_by_kind, patient_data
from tests.phantoms import classification, radiograph, source_image

PROVENANCE = Provenance(
    "0.1.0", (Model("msk_a", "1", "a" * 64),), Model("msk_b", "2", "b" * 64), datetime(2026, 11, 21, tzinfo=UTC)
)
DESCRIPTION = RunDescription(
    PROVENANCE, OperatingPoints(0.2, 0.8), OperatingPoints(0.3, 0.7), ("Trained on <fractures> only.",)
)
COUNTS = {"studies": 1, "images": 2, "normal": 0, "doubt": 0, "abnormal": 1, "declined": 1, "failed": 0}
COUNTS |= {"ignored_files": 1}
BOX = PixelBox(20, 30, 60, 80)
PATIENT = {
    "PatientName": "Doe^Jane<b>",
    "PatientID": "PID-77",
    "PatientBirthDate": "19510203",
    "PatientSex": "F",
    "AccessionNumber": "ACC-5",
    "StudyDate": "20260401",
}
QUOTED = ("Doe Jane", "PID-77", "1951-02-03", "female", "ACC-5", "2026-04-01")


def segmentation(rows: int = 160, columns: int = 128, box: PixelBox = BOX, **overrides: Any) -> Segmentation:
    mask = np.zeros((rows, columns), bool)
    mask[40:70, 30:50] = True
    record = classification(rows=rows, columns=columns, **overrides)
    localization = Localization(
        record,
        np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns),
        (box,),
        (0.87,),
        MapRule(flips=True, scales=(0.75, 1)),
    )
    return Segmentation(localization, (mask,), (0.66,))


def encoded(**overrides: Any) -> EncodedImage:
    record = segmentation(**overrides)
    return EncodedImage(record, {}, ("1.1",), (None,), draw(record))


def page_of(folder, *images, page: RunDescription = DESCRIPTION, pictures: int = 10, uid: str | None = "1.2.3") -> str:
    reported = ReportedStudy(Study(uid, images), StudyOutcome("abnormal", 0.9), {})
    summary = write_study(reported, folder)
    section = render_study(reported, summary, page, pictures)
    return render_head(page, COUNTS, [summary]) + section + render_foot(page)


@pytest.fixture
def page(tmp_path) -> str:
    declined = ExcludedImage(source_image(body_part="CHEST"), "declined", "body_part_out_of_scope", "<why>")
    return page_of(tmp_path, encoded(), declined, encoded())


class Reader(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input", "wbr"):
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "for", "aria-labelledby")]
        self.ids += [value for name, value in attributes if name == "id"]
        assert not [name for name, _ in attributes if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_well_formed_and_self_contained(page):
    reader = Reader(page)
    assert reader.open == []
    outward = [link for link in reader.links if not link.startswith("data:") and link.lstrip("#") not in reader.ids]
    assert outward == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert not re.search("@import|url\\(|https?://", page)


@pytest.mark.parametrize("reason", DoubtReason)
def test_the_page_says_why_an_image_is_doubted_and_what_to_do(tmp_path, reason):
    seen = classification()
    doubted = dataclasses.replace(seen.radiograph, doubts=(reason,))
    text = Reader(page_of(tmp_path, encoded(radiograph=doubted))).text
    assert all(said in text for said in (reason, REASONS[reason].explanation, REASONS[reason].remedy))


def test_only_the_page_s_own_style_and_script_are_allowed(page):
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        source = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{source}'" in policy


def test_the_page_says_what_it_must(page):
    text = Reader(page).text
    for said in (
        "0.90",
        "0.87",
        "0.66",
        "Wrist joint, left, AP",
        "body_part_out_of_scope",
        REASONS["body_part_out_of_scope"].explanation,
        REASONS["body_part_out_of_scope"].remedy,
        "a" * 64,
        "b" * 64,
        "24.0 mm²",
        "(600 pixels)",
        "Heat map (CAM, mean of 4 views)",
        "normal below 0.30, rule-out",
        "abnormal from 0.70, rule-in",
        "normal below 0.20, rule-out",  # of the study
        "1 file not DICOM",
    ):
        assert said in text, said
    assert text.count(RESEARCH_USE_ONLY) == 2


def unmarked(minimum_score: float = 0.3, **overrides: Any) -> EncodedImage:
    """An image with a finding whose map is too faint for a box."""
    whole = segmentation(**overrides)
    localization = dataclasses.replace(whole.localization, boxes=(), scores=(), minimum_score=minimum_score)
    record = Segmentation(localization, (), ())
    return EncodedImage(record, {}, (), (), draw(record))


@pytest.mark.parametrize("state", ["abnormal", "doubt"])
def test_an_image_with_a_finding_and_without_a_box_says_why(tmp_path, state):
    image = unmarked(state=state)
    said = "no place is marked, as the heat map has no peak of 0.30 or more"
    assert summarise(image).detail == said
    page = page_of(tmp_path, image)
    assert said in Reader(page).text
    assert "Boxes of image" not in page
    assert page.count('class="heat"') == 1, "the map is shown: it is all there is to see"
    assert "0.30" not in summarise(unmarked(0.0, state=state)).detail
    assert summarise(encoded(state=state)).detail is None


@pytest.mark.parametrize("overrides", [{"state": "normal"}, {"state": "doubt", "withheld": True}])
def test_an_image_without_a_finding_is_shown_once_and_without_a_heat_map(tmp_path, overrides):
    whole = segmentation(**overrides)
    record = Segmentation(dataclasses.replace(whole.localization, boxes=(), scores=()), (), ())
    picture = draw(record)
    assert picture.heat is None
    page = page_of(tmp_path, EncodedImage(record, {}, (), (), picture))
    assert page.count("<figure>") == page.count("data:image/jpeg") == 1
    assert not [part for part in ("data:image/webp", "Heat map (", "Heat map opacity", 't-heat" id') if part in page]
    assert "Nothing was found, so there is no heat map." in page


NAMES = {
    "ward 3/DOE_JANE <1>.dcm": "ward 3/DOE_JANE &lt;1&gt;.dcm",
    "caf\u00e9/\u9aa8.dcm": "caf\u00e9/\u9aa8.dcm",
    "a\nb\u202egpj.dcm": "a\\nb\\u202egpj.dcm",
    "not utf-8 \udcff.dcm": "not utf-8 \\udcff.dcm",
}


@pytest.mark.parametrize("patient_data", [False, True])
def test_every_image_is_named_by_its_file_as_in_the_input(tmp_path, patient_data):
    images = []
    for name in NAMES:
        source = source_image()
        images.append(encoded(source=dataclasses.replace(source, file=dataclasses.replace(source.file, name=name))))
    page = page_of(tmp_path, *images, page=dataclasses.replace(DESCRIPTION, patient_data=patient_data))
    page.encode()
    assert re.findall('<p class="file">(.*?)</p>', page, re.DOTALL) == list(NAMES.values())
    first = next(iter(NAMES.values()))
    assert f"{first} and 3 more</a>" in page, "the table of studies names the first"


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_pixels_that_are_not_square_are_drawn_in_their_shape(tmp_path, aspect):
    ds = radiograph(ImagerPixelSpacing=[0.2 * aspect, 0.2])
    image = encoded(source=source_image(ds))
    assert image.picture.aspect == pytest.approx(aspect)
    page = page_of(tmp_path, image)
    assert page.count(f'viewBox="0 0 128 {160 * aspect:g}"') == 2
    (box,) = re.findall('class="shape box" x="20" y="([^"]*)" width="40" height="([^"]*)"', page)
    assert [float(edge) for edge in box] == [30 * aspect, 50 * aspect]
    assert (f'transform="scale(1 {aspect:g})"' in page) is (aspect != 1)
    places = PictureDrawing(image.picture, 500, 500)
    assert places.width - GAP == pytest.approx(2 * (places.height - 4) * 128 / 160 / aspect)


def test_the_radiograph_is_in_the_page_once(page):
    assert page.count("data:image/jpeg") == page.count("data:image/webp") == 2  # of two images


def test_the_table_of_studies_names_the_worst_first():
    studies = [
        StudySummary(f"1.{number}", None, state, probability, (), (summarise(encoded()),))
        for number, (state, probability) in enumerate(
            [
                ("normal", 0.1),
                ("declined", None),
                ("abnormal", 0.8),
                ("failed", None),
                ("doubt", 0.5),
                ("abnormal", 0.9),
            ]
        )
    ]
    cells = re.findall(r'<td class="number">([\d.]+|&ndash;)</td>', render_head(DESCRIPTION, COUNTS, studies))
    assert cells[::2] == ["0.90", "0.80", "0.50", "&ndash;", "&ndash;", "0.10"]
    assert set(WORST_FIRST) == set(STATES)


def text_of(folder, page: RunDescription, **overrides: Any) -> str:
    return Reader(page_of(folder, encoded(**overrides), page=page, pictures=0)).text


SEVERAL = dataclasses.replace(PROVENANCE, classifiers=(Model("msk_a", "1", "a" * 64), Model("msk_c", "3", "c" * 64)))


@pytest.mark.parametrize(("second", "sentence"), [("normal", "The classifiers disagree"), ("abnormal", "Mean of")])
def test_several_classifiers_are_each_named(tmp_path, second, sentence):
    opinions = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_c", -1.0, 0.27, second))
    text = text_of(tmp_path, dataclasses.replace(DESCRIPTION, provenance=SEVERAL), opinions=opinions)
    assert f"msk_a 0.95 (abnormal), msk_c 0.27 ({second})" in text
    assert sentence in text
    assert all(letter * 64 in text for letter in "abc")
    assert "means of 2 classifiers" in text
    assert "boxes are those of msk_a" in text


def test_one_classifier_is_no_mean(tmp_path):
    text = text_of(tmp_path, DESCRIPTION)
    assert not [words for words in ("Mean of", "disagree", "means of") if words in text]


def test_text_is_escaped(page):
    assert "&lt;why&gt;" in page
    assert "Trained on &lt;fractures&gt; only." in page


def test_pictures_are_limited(tmp_path):
    page = page_of(tmp_path, encoded(), encoded(), pictures=1)
    assert page.count("data:image/jpeg") == 1
    assert page.count("Without pictures") == 1


def test_patients_are_named_only_where_that_is_asked_for(tmp_path):
    image = encoded(source=source_image(radiograph(**PATIENT)))
    silent = page_of(tmp_path, image)
    assert not [value for value in (*QUOTED, *PATIENT.values(), "Jane") if len(value) > 1 and value in silent]
    named = page_of(tmp_path, image, page=dataclasses.replace(DESCRIPTION, patient_data=True))
    assert not [value for value in QUOTED if value not in named]
    assert "Doe Jane&lt;b&gt;" in named


def test_a_study_of_two_patients_is_not_shown_as_one():
    images = [encoded(source=source_image(radiograph(key, PatientID=key))) for key in ("one", "two")]
    assert patient_data(Study("1", tuple(images)))["Patient ID"] == "one / two"


def test_files_without_a_study_have_a_section(tmp_path):
    lost = ExcludedImage(source_image().file, "failed", "unreadable_file", "")
    assert "files that name no study" in Reader(page_of(tmp_path, lost, uid=None)).text


def test_every_code_has_words():
    assert set(REASONS) == {*DeclinedReason, *FailedReason, *DoubtReason}
    assert all(text.explanation.endswith(".") and text.remedy.endswith(".") for text in REASONS.values())
    assert all(kind.label for kind in OBJECT_KINDS)
    assert files_by_kind(["f/sr.dcm", "f/seg_1.dcm", "f/seg_3.dcm"])[KIND_OF_NAME["seg"].label] == [
        "seg_1.dcm",
        "seg_3.dcm",
    ]
    assert place(None) == "Body part unknown"


@pytest.mark.parametrize(("rows", "columns"), [(160, 128), (3000, 2500), (900, 4000)])
def test_layers_lie_on_the_radiograph(rows, columns):
    picture = draw(segmentation(rows, columns, box=PixelBox(columns - 1, rows - 1, columns, rows)))
    radiograph, heat = (Image.open(io.BytesIO(content)) for content in (picture.radiograph, picture.heat))
    assert max(radiograph.size) == min(RADIOGRAPH_SIDE, max(rows, columns))
    assert radiograph.size[0] / radiograph.size[1] == pytest.approx(columns / rows, rel=0.01)
    assert heat.mode == "RGBA"
    left, top, width, height = picture.boxes[0].tag
    assert left >= 0 <= top
    assert left + width <= columns
    assert top + height <= rows


def test_heat_is_opaque_where_the_map_is_hot():
    opacity = np.asarray(heat_picture(np.array([[0.01, 0.265], [1, 0]], np.float32)))[..., 3]
    assert opacity.tolist() == [[0, 127], [255, 0]]


def test_a_box_s_number_stays_beside_the_box():
    assert mark(1, PixelBox(20, 30, 60, 80), (160, 128)).tag[1] < 30
    assert mark(12, PixelBox(20, 0, 60, 80), (160, 128)).tag[1] == 0
    left, top, _, height = mark(1, PixelBox(20, 30, 60, 80), (160, 128), aspect=2).tag
    assert (left, top + height) == (20, 60)


def corners(path: str) -> Sequence[Sequence[complex]]:
    polygons: list[list[complex]] = []
    for command, numbers in re.findall("([Mhvl])([-0-9. e]+)", path):
        values = [float(number) for number in numbers.split()]
        if command == "M":
            polygons.append([complex(*values)])
        else:
            step = {"h": 1, "v": 1j}.get(command, 0) * values[0] if command != "l" else complex(*values)
            polygons[-1].append(polygons[-1][-1] + step)
    return polygons


def test_an_outline_encloses_its_mask():
    mask = np.random.default_rng(1).random((30, 40)) > 0.6
    area = 0.0
    for polygon in corners(svg_path(contours(mask))):
        following = [*polygon[1:], polygon[0]]
        area += sum(a.real * b.imag - a.imag * b.real for a, b in zip(polygon, following, strict=True)) / 2
    assert abs(area) == mask.sum()


@pytest.mark.parametrize(("patient_data", "pictures"), [(False, 0), (True, 1)])
def test_a_picture_with_patient_data_in_it_is_shown_only_where_that_is_allowed(tmp_path, patient_data, pictures):
    ds = radiograph(BurnedInAnnotation="YES")
    image = encoded(source=source_image(ds))
    reported = ReportedStudy(Study("1", (image,)), StudyOutcome("abnormal", 0.9), {})
    page = dataclasses.replace(DESCRIPTION, patient_data=patient_data)
    section = render_study(reported, write_study(reported, tmp_path), page, 10)
    assert section.count("data:image/jpeg") == pictures
    assert "patient data are part of the picture" in section
    assert ("report: patient_data in app.yaml does not allow them" in section) is not patient_data
    assert "limits how many images" not in section
