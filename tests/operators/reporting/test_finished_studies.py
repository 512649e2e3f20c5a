"""A study is kept for the next run only as long as its files and what was made of them are the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.records.geometry import PixelBox
from operators.records.reasons import DeclinedReason, DoubtReason, FailedReason
from operators.records.sources import ExcludedImage, SourceFile
from operators.records.states import State
from operators.records.study import Study
from operators.reporting.finished_studies import FOLDER, FinishedStudies, FinishedStudy, _read, digest_of
from operators.reporting.output_folder import study_folder
from operators.reporting.summaries import ImageSummary, StudySummary, WrittenObject
from tests.phantoms import source_image

UID = "1.2.3"
OBJECT = f"{study_folder(UID)}/sr.dcm"


def summary(*images: ImageSummary) -> StudySummary:
    images = images or (ImageSummary("a.dcm", "1.2", State.NORMAL, None, None, "WRIST", None, "L", 0.25),)
    return StudySummary(UID, study_folder(UID), State.NORMAL, 0.25, (WrittenObject(OBJECT, "1.4", "1.5"),), images)


@pytest.fixture
def study(tmp_path) -> Study:
    files = [SourceFile(tmp_path / name, name) for name in ("a.dcm", "b.dcm")]
    for file in files:
        file.path.write_bytes(file.name.encode())
    declined = ExcludedImage(files[1], State.DECLINED, DeclinedReason.COLOUR, "in colour")
    return Study(UID, (dataclasses.replace(source_image(), file=files[0]), declined))


@pytest.fixture
def output(tmp_path, study) -> Path:
    folder = tmp_path / "out"
    (folder / OBJECT).parent.mkdir(parents=True)
    (folder / OBJECT).write_bytes(b"report")
    FinishedStudies(folder, "software").keep(FinishedStudy(summary(), b"<section>", 3), digest_of(study))
    return folder


def test_a_study_that_is_current_is_found_as_it_was(output, study):
    found = FinishedStudies(output, "software").find(UID, digest_of(study))
    assert (found.summary, found.section, found.pictures) == (summary(), b"<section>", 3)
    assert UID in FinishedStudies(output, "software")
    assert None not in FinishedStudies(output, "software")


def renamed(study: Study) -> Study:
    image = study.images[0]
    return dataclasses.replace(
        study, images=(dataclasses.replace(image, file=SourceFile(image.file.path, "c.dcm")), study.images[1])
    )


def one_byte_more(study: Study) -> Study:
    with study.images[0].file.path.open("ab") as file:
        file.write(b"\0")
    return study


def declined_for_another_reason(study: Study) -> Study:
    other = dataclasses.replace(study.images[1], reason=DeclinedReason.DUPLICATE_INSTANCE)
    return dataclasses.replace(study, images=(study.images[0], other))


def gone(study: Study) -> Study:
    study.images[0].file.path.unlink()
    return study


@pytest.mark.parametrize(
    "change",
    [
        *(renamed, one_byte_more, declined_for_another_reason, gone),
        lambda study: dataclasses.replace(study, images=study.images[::-1]),
        lambda study: dataclasses.replace(study, images=study.images[:1]),
        lambda study: dataclasses.replace(study, images=(*study.images, study.images[1])),
    ],
)
def test_a_study_of_other_files_is_done_again(output, study, change):
    assert FinishedStudies(output, "software").find(UID, digest_of(change(study))) is None


def test_a_study_of_other_software_models_or_settings_is_done_again(output, study):
    assert FinishedStudies(output, "other software").find(UID, digest_of(study)) is None


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"repors")])
def test_a_study_with_an_object_that_is_missing_or_changed_is_done_again(output, study, change):
    change(output / OBJECT)
    assert FinishedStudies(output, "software").find(UID, digest_of(study)) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"{}", '{"made_by": "software", "source": %s, "objects": 3}', "[" * 100_000]
)
def test_a_damaged_record_is_no_record(output, study, content):
    digest = digest_of(study)
    text = content if isinstance(content, bytes) else content.replace("%s", json.dumps(digest)).encode()
    (record,) = (output / FOLDER).iterdir()
    record.write_bytes(text)
    assert FinishedStudies(output, "software").find(UID, digest) is None


def test_a_study_with_a_failed_image_is_tried_again(tmp_path, study):
    failed = ImageSummary("a.dcm", None, State.FAILED, FailedReason.DECODER_TIMEOUT, "slow", None, None, None, None)
    finished = FinishedStudies(tmp_path / "out", "software")
    finished.keep(FinishedStudy(dataclasses.replace(summary(failed), outputs=()), b"", 0), digest_of(study))
    assert UID not in finished


def test_nothing_is_left_of_a_run_that_is_complete(output):
    FinishedStudies(output, "software").clear()
    assert not (output / FOLDER).exists()


BOXES = st.builds(
    lambda left, top, width, height: PixelBox(left, top, left + width, top + height),
    *(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)),
)
UNIT = st.floats(0, 1)
WORDS = st.none() | st.text(st.characters(exclude_categories=()))
IMAGES = st.builds(
    ImageSummary,
    file=st.text(st.characters(exclude_categories=())),
    sop_instance_uid=WORDS,
    state=st.sampled_from(State),
    reason=st.none() | st.sampled_from((*DeclinedReason, *FailedReason)),
    detail=WORDS,
    body_part=WORDS,
    view_position=WORDS,
    laterality=WORDS,
    probability=st.none() | UNIT,
    boxes=st.lists(st.tuples(BOXES, UNIT), max_size=2).map(tuple),
    masks=st.lists(st.tuples(st.integers(0, 99), st.none() | UNIT, UNIT), max_size=2).map(tuple),
    outputs=st.lists(st.text(), max_size=2).map(tuple),
    doubts=st.lists(st.sampled_from(DoubtReason), max_size=2).map(tuple),
)


@given(IMAGES)
def test_what_is_told_of_an_image_survives(image):
    told = summary(image)
    assert _read(StudySummary, json.loads(json.dumps(dataclasses.asdict(told)))) == told
