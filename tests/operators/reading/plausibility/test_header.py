"""What a header contradicts is a reason for doubt, and what it merely leaves open is none."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, SecondaryCaptureImageStorage

from operators.reading.plausibility.header import header_doubts
from tests.phantoms import radiograph, source_image

PLAIN = {"ImageLaterality": None, "Laterality": None}


def doubts(**header: object) -> tuple[str, ...]:
    return header_doubts(source_image(radiograph(**header)))


def region(side: str, scheme: str = "SCT") -> list[Dataset]:
    """The wrist with a modifier."""
    wrist, modifier = Dataset(), Dataset()
    wrist.CodeValue, wrist.CodingSchemeDesignator, wrist.CodeMeaning = "74670003", "SCT", "Wrist joint"
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = side, scheme, "side"
    wrist.AnatomicRegionModifierSequence = [modifier]
    return [wrist]


def test_a_sound_header_gives_no_reason():
    assert doubts() == ()


def test_no_body_part_is_one():
    assert doubts(BodyPartExamined=None, AnatomicRegionSequence=None) == ("body_part_absent",)


@pytest.mark.parametrize(
    "sides",
    [
        {"ImageLaterality": "R", "Laterality": "L"},
        {"ImageLaterality": "B", "Laterality": "L"},
        {"ImageLaterality": "R", "FrameLaterality": "L"},
        {"ImageLaterality": "R", "AnatomicRegionSequence": region("7771000")},
        {"Laterality": "L", "AnatomicRegionSequence": region("G-A100", "SRT")},
    ],
)
def test_two_sides_are_a_conflict_and_the_side_is_unknown(sides):
    source = source_image(radiograph(**(PLAIN | sides)))
    assert header_doubts(source) == ("laterality_conflict",)
    assert source.laterality is None


@pytest.mark.parametrize(
    "sides",
    [
        {"ImageLaterality": "R", "Laterality": "R", "AnatomicRegionSequence": region("24028007")},
        {"ImageLaterality": "U", "Laterality": "L"},
        {"Laterality": "L"},
        {"AnatomicRegionSequence": region("255561001")},
        {},
    ],
)
def test_one_side_or_none_is_no_conflict(sides):
    assert doubts(**(PLAIN | sides)) == ()


@pytest.mark.parametrize(
    ("modality", "conflict"), [("US", True), ("CT", True), ("OT", True), ("CR", False), ("RG", False), ("", False)]
)
def test_a_modality_that_makes_no_radiographs_is_a_conflict(modality, conflict):
    expected = ("modality_conflict",) if conflict else ()
    assert doubts(Modality=modality) == expected
    assert doubts(Modality=modality, SOPClassUID=ComputedRadiographyImageStorage) == expected
    assert doubts(Modality=modality, SOPClassUID=SecondaryCaptureImageStorage) == ()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (["L", "F"], True), (["R", "F"], True), (["P", "F"], True), (["A", "FL"], True), (["L", "P"], True),
        (None, True), (["H", "L"], False), (["F", "R"], False), (["H", "F"], False), (["F", "H"], False),
    ],
)  # fmt: skip
def test_a_picture_that_its_header_calls_turned_is_doubted(orientation, upright):
    assert doubts(PatientOrientation=orientation) == (() if upright else ("not_upright",))


def test_a_turn_from_the_detector_counts_where_nothing_says_what_it_led_to():
    assert doubts(PatientOrientation=None, FieldOfViewRotation=90, FieldOfViewHorizontalFlip="NO") == ("not_upright",)
    assert doubts(PatientOrientation=None, FieldOfViewRotation=0, FieldOfViewHorizontalFlip="YES") == ("not_upright",)
    assert doubts(PatientOrientation=None, FieldOfViewRotation=0, FieldOfViewHorizontalFlip="NO") == ()
    assert doubts(PatientOrientation=["L", "F"], FieldOfViewRotation=90, FieldOfViewHorizontalFlip="NO") == ()


@pytest.mark.parametrize(("part", "upright"), [("KNEE", False), ("PELVIS", False), ("HAND", True), ("FOOT", True)])
def test_a_hand_or_foot_may_point_up(part, upright):
    found = doubts(PatientOrientation=["L", "H"], BodyPartExamined=part, AnatomicRegionSequence=None)
    assert found == (() if upright else ("not_upright",))
