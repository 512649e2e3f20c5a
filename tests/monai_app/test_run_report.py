"""What ``result.json`` says of an image."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from monai_app.run_report import _image_json as image_json
from operators.records.geometry import PixelBox
from operators.reporting.summaries import ImageSummary


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
