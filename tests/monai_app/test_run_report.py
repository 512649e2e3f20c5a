"""What ``result.json`` says of an image, and the order of the page."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from monai_app.run_report import RunReport
from monai_app.run_report import _image_json as image_json
from operators.records.geometry import PixelBox
from operators.records.reasons import REASONS
from operators.records.study import ReportedStudy, Study, StudyOutcome
from operators.reporting.output_folder import write_study
from operators.reporting.summaries import ImageSummary, StudySummary
from tests.monai_app.test_report import DESCRIPTION, encoded
from tests.phantoms import radiograph, source_image


def reported(key: str, state: str, probability: float) -> ReportedStudy:
    image = encoded(source=source_image(radiograph(key, study=key)), state=state, probability=probability)
    uid = str(image.source.header.StudyInstanceUID)
    return ReportedStudy(Study(uid, (image,)), StudyOutcome(state, probability), {})


def test_the_sections_stand_in_the_order_of_the_table(tmp_path):
    """Whatever the order in which the studies were read; also that of a study that the run did not finish."""
    report = RunReport(tmp_path, DESCRIPTION, 10)
    outcomes = {"a": ("normal", 0.1), "b": ("doubt", 0.5), "c": ("abnormal", 0.8), "d": ("doubt", 0.6)}
    for key, outcome in outcomes.items():
        study = reported(key, *outcome)
        report.add(study, write_study(study, tmp_path))
    lost = ImageSummary("ward/lost.dcm", None, "failed", "internal_error", "run it again", None, None, None, None)
    report.add_lost(StudySummary("1.2.3.4", None, "failed", None, (), (lost,)))
    report.write(1, {})
    page = (tmp_path / "report.html").read_text("utf-8")
    rows = re.findall('<a href="#(study-[^"]*)"', page)
    assert rows == re.findall('<section class="study" id="([^"]*)"', page)
    states = re.findall('<h2 id="study-[^"]*"><span class="state ([a-z]+)"', page)
    assert states == ["abnormal", "doubt", "doubt", "failed", "normal"]
    assert page.index("probability of abnormality 0.60") < page.index("probability of abnormality 0.50")
    assert '<p class="file">ward/lost.dcm</p>' in page
    assert REASONS["internal_error"].explanation in page


@given(st.floats(0, 1), st.integers(1, 10**7), st.floats(0.01, 1))
def test_numbers_have_no_digits_that_mean_nothing(probability, area, spacing):
    summary = ImageSummary(
        *("a.dcm", "1.2.3", "abnormal", None, None, "WRIST", "PA", "L", probability),
        boxes=((PixelBox(1, 2, 3, 4), probability),),
        masks=((area, area * spacing * spacing, probability),),
    )
    told = image_json(summary)
    assert abs(told["masks"][0]["area_mm2"] - area * spacing * spacing) < 1e-6
    assert abs(told["probability"] - probability) < 1e-6
    assert all(len(digits) <= 6 for digits in re.findall(r"\.([0-9]+)", json.dumps(told)))
