"""Mapping a stage over a study, and what a study comes to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from operators.classification.study_outcome import summarise_study
from operators.records.errors import UnsupportedImageError
from operators.records.images import Opinion
from operators.records.operating_points import OperatingPoints
from operators.records.reasons import DeclinedReason, DoubtReason
from operators.records.sources import ExcludedImage, SourceFile
from operators.records.study import Gathering, Study
from tests.phantoms import classification, source_image

POINTS = OperatingPoints(rule_out=0.2, rule_in=0.8)


def test_a_refused_image_is_excluded_and_the_others_go_on(caplog):
    good, bad, broken = (
        dataclasses.replace(source_image(), file=SourceFile(Path(name), name)) for name in ("1", "2", "wrist/3\n.dcm")
    )

    caplog.set_level("INFO")

    def stage(image):
        if image is bad:
            raise UnsupportedImageError(DeclinedReason.TOO_SMALL, "too small")
        if image is broken:
            raise KeyError("SMITH^JOHN")
        return image

    study = Study("1", (good, bad, broken)).map(stage).map(lambda image: image)
    assert study.included == (good,)
    assert [(image.state, image.reason) for image in study.excluded] == [
        ("declined", "too_small"),
        ("failed", "internal_error"),
    ]
    assert "2: declined, too_small: too small" in caplog.text
    assert r"wrist/3\n.dcm: failed, internal_error: KeyError" in caplog.text
    assert "SMITH" not in caplog.text


def test_a_full_disk_is_told_as_such_and_not_as_a_mistake_of_ours(caplog):
    def stage(image):
        raise OSError(28, "No space left on device", "SMITH")

    (image,) = Study("1", (source_image(),)).map(stage).excluded
    assert "No space left on device" in caplog.text
    assert "No space left on device" in image.detail
    assert "please report" not in caplog.text
    assert "SMITH" not in caplog.text


@pytest.mark.parametrize(
    ("probability", "state"),
    [(0.0, "normal"), (0.19999, "normal"), (0.2, "doubt"), (0.8, "abnormal"), (1.0, "abnormal")],
)
def test_the_operating_points_are_half_open(probability, state):
    assert POINTS.state(probability) == state


@pytest.mark.parametrize(
    ("views", "excluded", "state"),
    [
        ([(0.1, "normal"), (0.05, "normal")], [], "normal"),
        ([(0.9, "abnormal"), (0.9, "abnormal")], ["declined"], "abnormal"),
        ([(0.9, "abnormal"), (0.01, "normal")], [], "doubt"),
        ([(0.3, "abnormal"), (0.01, "normal")], [], "doubt"),  # never normal while one view is abnormal
        ([], ["declined", "declined"], "declined"),
        ([], ["declined", "failed"], "failed"),
    ],
)
def test_a_study_is_the_mean_of_its_views(views, excluded, state):
    images = [classification(probability=p, state=s) for p, s in views]
    outcome = summarise_study(images, excluded, POINTS)
    assert outcome.state == state
    assert outcome.probability == (pytest.approx(sum(p for p, _ in views) / len(views)) if views else None)


def test_arrays_of_records_are_read_only():
    record = classification()
    with pytest.raises(ValueError, match="read-only"):
        record.features[0, 0, 0] = 1


def test_excluded_images_know_their_source():
    source = source_image()
    assert ExcludedImage(source, "failed", "internal_error", "").source is source


DISPUTED = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_b", -3.0, 0.05, "normal"))


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.9])
def test_a_study_whose_only_view_is_disputed_is_in_doubt(mean):
    view = classification(state="doubt", probability=mean, opinions=DISPUTED)
    assert summarise_study([view], [], POINTS).state == "doubt"


def test_an_abnormal_view_makes_a_study_abnormal_beside_a_disputed_one():
    views = [classification(probability=0.99), classification(state="doubt", probability=0.7, opinions=DISPUTED)]
    assert summarise_study(views, [], POINTS).state == "abnormal"


@pytest.mark.parametrize("probability", [0.01, 0.5, 0.95])
def test_a_study_is_never_normal_while_there_is_a_reason_to_doubt_an_image(probability):
    plain = classification(probability=probability, state="normal")
    doubted = dataclasses.replace(plain, radiograph=dataclasses.replace(plain.radiograph, doubts=tuple(DoubtReason)))
    expected = summarise_study([plain], [], POINTS).state
    assert summarise_study([plain, doubted], [], POINTS).state == ("doubt" if expected == "normal" else expected)


def test_the_parts_of_a_study_make_the_study_again():
    study = Study("1.2", tuple(source_image() for _ in range(3)))
    gathering, gathered = Gathering(), []
    for number, part in enumerate(study.parts(), start=1):
        assert part.number(part.images[0]) == number
        assert part.map(lambda image: image).sources == study.sources
        gathered.append(gathering.add(part))
    assert gathered[:2] == [None, None]
    assert gathered[2].images == study.images
    assert gathered[2].number(study.images[1]) == 2


def test_a_study_that_lost_a_part_is_not_mixed_with_the_next():
    lost, whole = (Study(uid, tuple(source_image() for _ in range(2))) for uid in ("1", "2"))
    gathering = Gathering()
    assert gathering.add(next(lost.parts())) is None
    first, second = whole.parts()
    assert gathering.add(first) is None
    assert gathering.add(second).images == whole.images
