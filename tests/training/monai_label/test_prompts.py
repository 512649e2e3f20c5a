"""What viewers send is read as pixels: an index is the centre of its pixel, corners come in any order."""

from __future__ import annotations

import pytest

from operators.records.geometry import PixelBox
from training.monai_label.prompts import CLICK_SIDES, PromptError, read_prompt

ROWS, COLUMNS = 640, 512


@pytest.mark.parametrize("roi", [[10, 20, 30, 50], [20, 10, 50, 30], [20, 10, 30, 50, 0, 0], [9.6, 20.4, 30.0, 49.5]])
def test_a_box_holds_the_pixels_that_it_touches(roi):
    assert read_prompt({"roi": roi}, ROWS, COLUMNS).boxes == (PixelBox(10, 30, 21, 51),)


def test_what_of_a_box_lies_outside_is_cut_off():
    assert read_prompt({"roi": [-40, 5, 630, 900]}, ROWS, COLUMNS).boxes == (PixelBox(0, 630, 6, ROWS),)


def test_points_are_centres_of_pixels_and_keep_their_side():
    prompt = read_prompt({"roi": [0, 50, 0, 50], "foreground": [[3, 4, 0]], "background": [[0, 639]]}, ROWS, COLUMNS)
    assert prompt.points.positions.tolist() == [[3.5, 4.5], [0.5, 639.5]]
    assert prompt.points.labels.tolist() == [1, 0]


@pytest.mark.parametrize("points", [[[250, 300]], [[0, 0]], [[511, 639]], [[100, 100], [300, 120], [180, 400]]])
def test_points_alone_are_tried_with_boxes_of_several_sizes_that_hold_them(points):
    boxes = read_prompt({"foreground": points}, ROWS, COLUMNS).boxes
    assert len(boxes) == len(CLICK_SIDES)
    for box in boxes:
        assert 0 <= box.left < box.right <= COLUMNS
        assert 0 <= box.top < box.bottom <= ROWS
        assert all(box.left <= i + 0.5 <= box.right and box.top <= j + 0.5 <= box.bottom for i, j in points)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "nothing is marked"),
        ({"background": [[5, 5]]}, "nothing is marked"),
        ({"roi": [600, 700, 10, 20]}, "roi: the box lies outside the 512 x 640 pixels"),
        ({"roi": [1, 2, 3]}, "roi: give voxel indices"),
        ({"roi": [1, 2, 3, float("nan")]}, "roi: give voxel indices"),
        ({"roi": "1,2,3,4"}, "roi: give voxel indices"),
        ({"foreground": [[512, 3]]}, "foreground: a point lies outside"),
        ({"foreground": [["1", 3]]}, "foreground: give voxel indices"),
        ({"foreground": {"x": 1}}, "foreground: give a list"),
        ({"foreground": [[1, 1]], "background": [[1, 1]] * 101}, "background: give a list of at most 100"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(asked, says):
    with pytest.raises(PromptError, match=says) as raised:
        read_prompt(asked, ROWS, COLUMNS)
    assert "\n" not in str(raised.value)
