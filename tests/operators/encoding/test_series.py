"""The list of an archive: one series of each kind in a study, whose description says what it shows."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.encoding.object_kinds import OBJECT_KINDS
from operators.encoding.requests import SeriesSubject
from operators.encoding.series import describe_series
from operators.pipeline import object_stages, run
from operators.records.codes import BODY_PARTS
from operators.records.study import Study
from operators.reporting.output_folder import write_study
from tests.integration.judges import Objects, Tally
from tests.integration.matrix import judge
from tests.phantoms import radiograph, save
from tests.segmentations import DESCRIPTION, EVERY_OBJECT, build, segmentation

APART = dataclasses.replace(EVERY_OBJECT, segmentation_series_per_image=True)
IMAGE_KINDS = [kind.name for kind in OBJECT_KINDS if kind.of_image is not None]


def image(key: str, kind: str = "CR", state: str = "abnormal", **header):
    found = segmentation(1, state, ds=radiograph(key, study="s", kind=kind, **header))
    found.localization.heatmap.flags.writeable = True
    found.localization.heatmap[20:50, 10:30] = 0.9
    return found


def objects_of(*images, rule=EVERY_OBJECT) -> dict[str, list]:
    """The objects of a study by kind."""
    reported = run(Study("1.2.3", images), object_stages(rule, DESCRIPTION))
    found = defaultdict(list)
    for encoded in reported.study.included:
        for kind, ds in encoded.objects.items():
            found[kind].append(ds)
    for kind, ds in reported.objects.items():
        found[kind].append(ds)
    return found


def series_of(objects) -> dict[str, set]:
    return {kind: {ds.SeriesInstanceUID for ds in found} for kind, found in objects.items()}


@pytest.mark.parametrize("second", [{}, {"Laterality": "R"}, {"BodyPartExamined": "HAND"}, {"ViewPosition": "LL"}])
def test_a_study_has_one_series_of_each_kind(second):
    objects = objects_of(image("a"), image("b", **second))
    assert {kind: len(series) for kind, series in series_of(objects).items()} == dict.fromkeys(objects, 1)
    assert len(set.union(*series_of(objects).values())) == len(objects)
    for kind in IMAGE_KINDS:
        assert [ds.InstanceNumber for ds in objects[kind]] == [1, 2], kind
        assert len({ds.SOPInstanceUID for ds in objects[kind]}) == 2


def test_segmentations_get_series_of_their_own_on_demand():
    series = series_of(objects_of(image("a"), image("b"), rule=APART))
    assert {kind: len(found) for kind, found in series.items()} == {
        **dict.fromkeys(series, 1),
        **dict.fromkeys(("seg", "heatmap", "labelmap"), 2),
    }


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({}, "L WRIST AP"),
        ({"ViewPosition": "LL"}, "L WRIST"),
        ({"Laterality": "R"}, "WRIST AP"),
        ({"BodyPartExamined": "HAND"}, "L AP"),
        ({"BodyPartExamined": "HAND", "Laterality": None, "ViewPosition": None}, ""),
    ],
)
def test_the_description_says_what_all_images_show(second, told):
    for kind, found in objects_of(image("a"), image("b", **second)).items():
        descriptions = {ds.SeriesDescription for ds in found}
        assert len(descriptions) == 1, kind
        (text,) = descriptions
        assert text.startswith("OsteoMAP ")
        assert text.endswith(f": {told} (research use only)" if told else " (research use only)"), text


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(OBJECT_KINDS),
    st.sampled_from([None, "SHOULDERGIRDLE", *BODY_PARTS]),
    st.sampled_from([None, *"LRBU"]),
    st.one_of(st.none(), st.text("AP LX_9", min_size=1, max_size=16)),
)
def test_a_description_fits_its_attribute_and_keeps_the_body_part(kind, part, side, view):
    text = describe_series(kind, SeriesSubject(part, side, view))
    assert len(text) <= 64
    assert text.endswith("(research use only)")
    assert part not in BODY_PARTS or part in text.split()


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_what_is_told_of_a_series_is_part_of_its_uid(kind):
    """And the series part of its instances' UIDs: a study that grows never has an instance in two series."""
    alone, beside = (objects_of(image("a"), *more)[kind][0] for more in ((), (image("b", Laterality="R"),)))
    assert alone.SeriesInstanceUID != beside.SeriesInstanceUID
    assert alone.SOPInstanceUID != beside.SOPInstanceUID


def test_every_series_has_its_date():
    for kind, found in objects_of(image("a"), image("b")).items():
        for ds in found:
            assert (ds.SeriesDate, ds.SeriesTime) == ("20261121", "120000"), kind


@pytest.mark.parametrize(
    ("sides", "series", "images"),
    [("LL", "L", (None, None)), ("LR", None, ("L", "R")), ("BB", None, ("B", "B")), ("UL", None, ("U", "L"))],
)
def test_sides_that_a_series_cannot_tell_are_told_of_its_images(sides, series, images):
    sources = [image(str(number), kind="DX", ImageLaterality=side) for number, side in enumerate(sides)]
    objects = objects_of(*sources)
    assert [ds.get("Laterality") or None for ds in objects["sc"]] == [series] * 2
    assert [ds.get("ImageLaterality") for ds in objects["sc"]] == list(images)
    assert [ds.Laterality or None for ds in objects["gsps"]] == [series] * 2


@pytest.mark.parametrize(("side", "words"), [("L", "left"), ("R", "right"), ("B", "both sides"), ("U", "unpaired")])
def test_a_presentation_state_says_which_view_it_shows(side, words):
    state = build("gsps", segmentation(ds=radiograph(ImageLaterality=side, ViewPosition="PA")))
    texts = [text for item in state.GraphicAnnotationSequence for text in item.get("TextObjectSequence", [])]
    assert f"Wrist joint, {words}, PA" in [text.UnformattedTextValue for text in texts]


@pytest.mark.external
@pytest.mark.parametrize("rule", [EVERY_OBJECT, APART])
@pytest.mark.parametrize(
    ("kind", "sides"), [("CR", "LR"), ("DX", "LR"), ("DX", "UB"), ("DX", "LL"), ("CR", ("L", None))]
)
def test_no_judge_finds_an_error_in_the_series(kind, sides, rule, tmp_path):
    keyword = {"CR": "Laterality", "DX": "ImageLaterality"}[kind]
    files = [radiograph(str(n), study="s", kind=kind, **{keyword: side}) for n, side in enumerate(sides)]
    sources = tuple(save(ds, tmp_path / f"source_{number}.dcm") for number, ds in enumerate(files, start=1))
    images = (image(str(n), kind, **{keyword: side}) for n, side in enumerate(sides))
    reported = run(Study(str(files[0].StudyInstanceUID), tuple(images)), object_stages(rule, DESCRIPTION))
    objects = Objects(tuple(tmp_path / item.file for item in write_study(reported, tmp_path).outputs), sources)
    tally = Tally()
    assert [text for name, found in judge(objects).items() for text in tally.add(name, found)] == []
