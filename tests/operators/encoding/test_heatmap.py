"""The heat map: its values come back, and it says how it was made."""

from __future__ import annotations

import dataclasses

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from operators.records.images import Localization, Segmentation
from operators.records.provenance import Provenance
from operators.records.rules import PLAIN, MapRule
from tests.phantoms import classification, radiograph, source_image
from tests.segmentations import PROVENANCE, build, reread


def localization(state: str = "abnormal", rule: MapRule = PLAIN, heat: np.ndarray | None = None, **header):
    if heat is None:
        heat = np.random.default_rng(1).random((160, 128), np.float32)
    record = classification(state=state, source=source_image(radiograph(**header)))
    return Localization(record, heat, (), (), rule)


def heatmap_of(localization: Localization, provenance: Provenance = PROVENANCE) -> Dataset | None:
    return build("heatmap", Segmentation(localization, (), ()), provenance=provenance)


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("state", ["doubt", "abnormal"])
def test_values_come_back(kind, state):
    source = localization(state, kind=kind)
    seg = hd.seg.Segmentation.from_dataset(reread(heatmap_of(source)))
    assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    frame = seg.get_pixels_by_source_instance(
        source_sop_instance_uids=[source.source.sop_instance_uid], ignore_spatial_locations=True
    )
    assert np.abs(frame[0, :, :, 0] - source.heatmap).max() <= 0.5 / 255 + 1e-6
    assert seg.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_values_beyond_the_range_are_cut():
    heat = np.full((160, 128), 1.0000001, np.float32)
    heat[0, 0] = -1e-7
    seg = heatmap_of(localization(heat=heat))
    assert set(seg.pixel_array.ravel()) == {0, 255}


@pytest.mark.parametrize(
    ("rule", "map_name", "code"),
    [
        (MapRule(), "CAM", "130402"),
        (MapRule(flips=True, scales=(0.75,)), "CAM, mean of 4 views", "130402"),
        (MapRule("grad_cam"), "Grad-CAM", "130403"),
        (MapRule("grad_cam_plus_plus", stages=2), "Grad-CAM++ of 2 stages, fused", "130403"),
        (MapRule("layer_cam"), "LayerCAM", "130404"),
        (MapRule("hires_cam"), "HiResCAM", "130404"),
    ],
)
def test_the_segment_names_map_and_classifier(rule, map_name, code):
    (segment,) = heatmap_of(localization(rule=rule)).SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == code
    assert map_name in segment.SegmentLabel
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "msk_a"
    assert "a" * 64 in algorithm.AlgorithmParameters
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Wrist joint"


def test_nothing_to_show_gives_no_heat_map():
    assert heatmap_of(localization("normal")) is None
    assert heatmap_of(localization(heat=np.zeros((160, 128), np.float32))) is None
    assert heatmap_of(localization(heat=np.full((160, 128), 0.001, np.float32))) is None


def test_a_second_run_writes_the_same_heat_map():
    first, second = (heatmap_of(localization()) for _ in range(2))
    assert first == second
    later = dataclasses.replace(PROVENANCE, now=PROVENANCE.now.replace(hour=13))
    assert first.SOPInstanceUID == heatmap_of(localization(), later).SOPInstanceUID


@pytest.mark.parametrize(("state", "label"), [("doubt", "Heat map, in doubt (CAM)"), ("abnormal", "Heat map (CAM)")])
def test_the_map_of_an_image_in_doubt_says_so(state, label):
    assert heatmap_of(localization(state)).SegmentSequence[0].SegmentLabel == label


def test_an_image_that_only_a_reason_for_doubt_puts_in_doubt_has_no_map():
    found = localization("doubt")
    withheld = dataclasses.replace(found.classification, withheld=True)
    assert heatmap_of(dataclasses.replace(found, classification=withheld)) is None
