"""What is said of an image that was analysed: in each kind of object, in the same words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from operators.encoding.image_objects import encode_image
from operators.encoding.remarks import Remark, remarks
from operators.encoding.series import describe_state
from operators.records.codes import ABNORMALITY
from operators.records.images import Segmentation
from operators.records.study import Study
from tests.segmentations import DESCRIPTION, EVERY_OBJECT, PROVENANCE, build, report, segmentation

SAID = "no place is marked, as the heat map has no peak of 0.30 or more"


def unmarked(state: str = "doubt") -> Segmentation:
    """An image with a finding whose map is too faint for a box."""
    plain = segmentation(0, state)
    faint = np.linspace(0, 0.2, 160 * 128, dtype=np.float32).reshape(160, 128)
    localization = dataclasses.replace(plain.localization, minimum_score=0.3, heatmap=faint)
    return dataclasses.replace(plain, localization=localization)


@pytest.mark.parametrize("state", ["doubt", "abnormal"])
def test_a_finding_without_a_box_is_told_in_every_object(state):
    image = unmarked(state)
    assert list(remarks(image.localization)) == [Remark.UNMARKED]
    encoded = encode_image(image, 1, EVERY_OBJECT, PROVENANCE)
    assert encoded.seg is None
    assert {"heatmap", "sc", "gsps"} <= set(encoded.objects)
    summary = report(Study(image.source.header.StudyInstanceUID, (encoded,)), DESCRIPTION, EVERY_OBJECT).objects["sr"]
    text = " ".join(item.TextValue for item in summary.ContentSequence if item.ValueType == "TEXT")
    assert f"0 findings marked. {SAID[0].upper()}{SAID[1:]}." in text
    graphics = encoded.objects["gsps"].GraphicAnnotationSequence
    words = [text.UnformattedTextValue for layer in graphics for text in layer.get("TextObjectSequence", ())]
    assert any(SAID in line for line in words)


def test_the_picture_says_it_in_a_line_of_its_own():
    assert describe_state(unmarked().localization, ABNORMALITY)[2:] == (SAID,)
    silent = segmentation(0, "normal")
    assert len(describe_state(silent.localization, ABNORMALITY)) == 2
    told, other = (build("sc", one).Rows for one in (unmarked(), silent))
    assert told > other


@pytest.mark.parametrize(("masks", "state"), [(1, "abnormal"), (2, "doubt"), (0, "normal")])
def test_nothing_is_said_where_a_box_is_drawn_or_nothing_was_found(masks, state):
    assert Remark.UNMARKED not in remarks(segmentation(masks, state).localization)


def test_a_map_that_is_the_same_everywhere_names_no_score():
    assert (
        describe_state(segmentation(0).localization, ABNORMALITY)[2]
        == "no place is marked, as the heat map has no peak"
    )
