"""The page is one file that needs nothing from elsewhere and says what it must."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from operators.geometry import PixelBox
from operators.outputs import write_study
from operators.pictures import LONGEST_SIDE, finding_picture, plain_picture
from operators.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.records import EncodedImage, ExcludedImage, Localization, OperatingPoints, Opinion, Segmentation
from operators.report import Page, render_foot, render_head, render_study
from operators.study import ReportedStudy, Study, StudyOutcome
from tests.phantoms import classification, source_image

PROVENANCE = Provenance(
    "0.1.0", (Model("msk_a", "1", "a" * 64),), Model("msk_b", "2", "b" * 64), datetime(2026, 11, 21, tzinfo=UTC)
)
PAGE = Page(PROVENANCE, OperatingPoints(0.2, 0.8), ("Trained on <fractures> only.",))
COUNTS = {
    "studies": 1,
    "images": 2,
    "normal": 0,
    "doubt": 0,
    "abnormal": 1,
    "declined": 1,
    "failed": 0,
    "ignored_files": 1,
}


BOX = PixelBox(20, 30, 60, 80)


def segmentation(rows: int = 160, columns: int = 128, box: PixelBox = BOX, **overrides: Any) -> Segmentation:
    mask = np.zeros((rows, columns), bool)
    mask[40:70, 30:50] = True
    record = classification(rows=rows, columns=columns, **overrides)
    localization = Localization(
        record,
        np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns),
        (box,),
        (0.87,),
        "CAM, mean of 4 views",
    )
    return Segmentation(localization, (mask,), (0.66,))


@pytest.fixture
def page(tmp_path) -> str:
    declined = ExcludedImage(source_image(body_part="CHEST"), "declined", "body_part_out_of_scope", "<why>")
    study = Study("1.2.3", (EncodedImage(segmentation(), {}, ("1.1",), (None,)), declined))
    reported = ReportedStudy(study, StudyOutcome("abnormal", 0.9), {})
    summary = write_study(reported, tmp_path)
    return render_head(PAGE, COUNTS) + render_study(reported, summary, 10) + render_foot(PAGE, COUNTS)


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.text, self.images = [], [], "", 0

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.images += tag == "img"
        self.links += [value for name, value in attributes if name in ("src", "href") and not value.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_well_formed_and_self_contained(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.links == []
    assert reader.images == 2
    assert "<script" not in page


def test_the_page_says_what_it_must(page):
    reader = Reader()
    reader.feed(page)
    for text in (
        "abnormal",
        "0.90",
        "0.87",
        "0.66",
        "body_part_out_of_scope",
        "a" * 64,
        "b" * 64,
        "600 pixels",
        "24.0 mm²",
        "Heat map (orange; CAM, mean of 4 views)",
    ):
        assert text in reader.text, text
    assert reader.text.count(RESEARCH_USE_ONLY) == 2


def text_of(tmp_path, page: Page, **overrides: Any) -> str:
    image = EncodedImage(segmentation(**overrides), {}, ("1",), (None,))
    reported = ReportedStudy(Study("1", (image,)), StudyOutcome("doubt", 0.5), {})
    reader = Reader()
    study = render_study(reported, write_study(reported, tmp_path), 0)
    reader.feed(render_head(page, COUNTS) + study + render_foot(page, COUNTS))
    return reader.text


SEVERAL = dataclasses.replace(PROVENANCE, classifiers=(Model("msk_a", "1", "a" * 64), Model("msk_c", "3", "c" * 64)))


@pytest.mark.parametrize(("second", "sentence"), [("normal", "The classifiers disagree"), ("abnormal", "Mean of")])
def test_several_classifiers_are_each_named(tmp_path, second, sentence):
    opinions = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_c", -1.0, 0.27, second))
    text = text_of(tmp_path, dataclasses.replace(PAGE, provenance=SEVERAL), opinions=opinions)
    assert f"msk_a 0.95 (abnormal), msk_c 0.27 ({second})" in text
    assert sentence in text
    assert all(letter * 64 in text for letter in "abc")
    assert "means of 2 classifiers" in text
    assert "boxes are those of msk_a" in text


def test_one_classifier_is_no_mean(tmp_path):
    text = text_of(tmp_path, PAGE)
    assert not [words for words in ("Mean of", "disagree", "means of") if words in text]


def test_text_is_escaped(page):
    assert "&lt;why&gt;" in page
    assert "Trained on &lt;fractures&gt; only." in page


def test_pictures_are_limited(tmp_path):
    reported = ReportedStudy(
        Study("1", (EncodedImage(segmentation(), {}, ("1",), (None,)),)), StudyOutcome("abnormal", 0.9), {}
    )
    assert "<img" not in render_study(reported, write_study(reported, tmp_path), 0)


@pytest.mark.parametrize(("rows", "columns"), [(160, 128), (3000, 2500), (900, 4000)])
def test_pictures_have_one_size_and_show_the_finding(rows, columns):
    plain, finding = (
        plain_picture(np.full((rows, columns), 0.5, np.float32)),
        finding_picture(segmentation(rows, columns)),
    )
    assert plain.size == finding.size
    assert max(plain.size) <= max(LONGEST_SIDE, 160)
    narrow = segmentation(rows, columns, box=PixelBox(columns - 1, rows - 1, columns, rows))
    assert finding_picture(narrow).size == plain.size
    assert len(np.unique(np.asarray(finding).reshape(-1, 3), axis=0)) > 3
