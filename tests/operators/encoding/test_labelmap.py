"""LABELMAP SEG: every pixel has one label, and the segments are those of the BINARY SEG."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest

from operators.records.geometry import PixelBox
from operators.records.images import Localization, Segmentation
from tests.phantoms import classification
from tests.segmentations import build, reread, segmentation

TRACKING = ("2.25.1", "2.25.2", "2.25.3")


def labels(ds) -> np.ndarray:
    seg = hd.seg.Segmentation.from_dataset(reread(ds))
    assert seg.SegmentationType == "LABELMAP"
    return seg.pixel_array.reshape(seg.Rows, seg.Columns)


def of_masks(*masks: np.ndarray) -> Segmentation:
    box = PixelBox(0, 0, 1, 1)
    localization = Localization(
        classification(), np.zeros((160, 128), np.float32), (box,) * len(masks), (0.9,) * len(masks)
    )
    return Segmentation(localization, masks, (0.8,) * len(masks))


@pytest.mark.parametrize("masks", [1, 3])
def test_masks_that_lie_apart_come_back(masks):
    source = segmentation(masks)
    found = labels(build("labelmap", source))
    for number, mask in enumerate(source.masks, start=1):
        assert np.array_equal(found == number, mask)


def test_where_masks_overlap_the_later_one_gives_way():
    first, second = np.zeros((2, 160, 128), bool)
    first[10:50, 10:50] = second[30:70, 30:70] = True
    found = labels(build("labelmap", of_masks(first, second)))
    assert np.array_equal(found == 1, first)
    assert np.array_equal(found == 2, second & ~first)


def test_its_segments_are_those_of_the_binary_seg():
    covered = np.zeros((160, 128), bool)
    covered[10:50, 10:50] = True
    source = of_masks(covered, np.zeros_like(covered), covered.copy())
    binary, labelmap = (build(kind, source).SegmentSequence for kind in ("seg", "labelmap"))
    named = [(item.SegmentNumber, item.TrackingUID, item.SegmentLabel) for item in binary]
    assert [(item.SegmentNumber, item.TrackingUID, item.SegmentLabel) for item in labelmap[1:]] == named
    assert (labelmap[0].SegmentNumber, labelmap[0].SegmentLabel) == (0, "Background")
    assert [number for number, _, _ in named] == [1, 2]


def test_nothing_to_outline_gives_no_labelmap():
    assert build("labelmap", segmentation(0, "normal")) is None
    assert build("labelmap", of_masks(np.zeros((160, 128), bool))) is None


def test_a_second_run_writes_the_same_labelmap():
    first, second = (build("labelmap", segmentation(2)) for _ in range(2))
    assert first == second
    assert first.SeriesInstanceUID != build("seg", segmentation(2)).SeriesInstanceUID


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_every_segment_recommends_a_colour_of_its_own(kind):
    segments = [segment for segment in build(kind, segmentation(3)).SegmentSequence if segment.SegmentNumber > 0]
    assert len({tuple(segment.RecommendedDisplayCIELabValue) for segment in segments}) == 3
