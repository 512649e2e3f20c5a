"""The summary sheet shows every image of a study, says what was found in it, and is a valid object."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from operators.drawing.burned_in import Words
from operators.drawing.colours import BOX
from operators.drawing.layers import draw
from operators.drawing.summary_sheet import MOST_TILES, SIDE, Tile, draw_sheet
from operators.pipeline import object_stages, run
from operators.records.provenance import RESEARCH_USE_ONLY
from operators.records.reasons import DeclinedReason
from operators.records.rules import ObjectRule
from operators.records.sources import ExcludedImage
from operators.records.states import State
from operators.records.study import Study
from operators.reporting.output_folder import write_study
from operators.reporting.spool import Spool
from tests.integration import validators
from tests.phantoms import radiograph, save, source_image
from tests.segmentations import DESCRIPTION, reread, segmentation

RULE = ObjectRule(frozenset({"summary", "sc"}))
WORDS = Words("head", ("state",), "foot")


def image(key: str, state: str = "abnormal", masks: int = 1, **header):
    return segmentation(masks, state, ds=radiograph(key, study="s", **header))


def declined(key: str) -> ExcludedImage:
    source = source_image(radiograph(key, study="s"))
    return ExcludedImage(source, State.DECLINED, DeclinedReason.TOO_SMALL, "")


def sheet_of(*images, rule: ObjectRule = RULE):
    spool = Spool(keeps_arrays=False)  # as on the command line
    reported = run(Study(str(radiograph(study="s").StudyInstanceUID), images), object_stages(rule, DESCRIPTION, spool))
    return reported.objects.get("summary"), reported


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 2)), (2, (1, 2)), (3, (2, 2)), (7, (3, 3)), (16, (4, 4))])
def test_every_image_has_its_tile(count, shape):
    tile = Tile(("image",), draw(segmentation()))
    sheet = draw_sheet([tile] * count, WORDS)
    blue = (sheet == BOX).all(axis=-1)
    rows = np.flatnonzero(np.diff(blue.any(axis=1).astype(int)) == 1)
    assert sheet.shape[1] > shape[1] * SIDE
    assert len(rows) >= shape[0]
    one = (draw_sheet([tile], WORDS) == BOX).all(axis=-1).sum()
    assert blue.sum() == count * one


def test_a_study_of_many_images_keeps_to_one_sheet():
    tile = Tile(("image",), draw(segmentation()))
    full, more = (draw_sheet([tile] * count, WORDS) for count in (MOST_TILES, 60))
    assert full.shape == more.shape
    assert not np.array_equal(full, more), "what is left out is told"


def test_boxes_in_doubt_are_dashed():
    picture = draw(segmentation())
    whole, dashed = (
        (draw_sheet([Tile(("image",), picture, in_doubt=doubt)], WORDS) == BOX).all(axis=-1).sum()
        for doubt in (False, True)
    )
    assert 0.4 * whole < dashed < 0.95 * whole


def test_pixels_that_are_not_square_are_drawn_in_their_shape():
    picture = draw(segmentation(0))  # 160 x 128, grey of one level
    sizes = []
    for aspect in (1.0, 0.5):
        grey = draw_sheet([Tile((), dataclasses.replace(picture, aspect=aspect))], WORDS)
        shown = (grey > 20).all(axis=-1) & (grey < 90).all(axis=-1)
        sizes.append([(shown.mean(axis=axis) > 0.1).sum() for axis in (1, 0)])
    (rows, columns), (flat_rows, flat_columns) = sizes
    assert rows / columns == pytest.approx(160 / 128, rel=0.02)
    assert flat_rows / flat_columns == pytest.approx(80 / 128, rel=0.02)


def test_it_is_written_where_it_is_asked_for_and_refers_to_all_images():
    sheet, reported = sheet_of(image("a"), image("b", "normal", 0, Laterality="R", kind="CR"), declined("c"))
    sheet = reread(sheet)
    assert [item.ReferencedSOPInstanceUID for item in sheet.SourceImageSequence] == [
        one.source.sop_instance_uid for one in reported.study.included
    ]
    assert RESEARCH_USE_ONLY in sheet.DerivationDescription
    assert sheet.SeriesDescription == "OsteoMAP summary sheet: WRIST AP (research use only)"
    assert sheet.LossyImageCompression == "01"
    assert (sheet.Rows * sheet.Columns * 3) % 2 == 0
    assert sheet.SOPInstanceUID in str(reported.objects["sr"].CurrentRequestedProcedureEvidenceSequence)
    none, _ = sheet_of(image("a"), rule=dataclasses.replace(RULE, kinds=frozenset()))
    assert none is None
    nothing, _ = sheet_of(declined("c"))
    assert nothing is None


def test_a_second_run_draws_the_same_sheet():
    first, second = (sheet_of(image("a"), image("b"))[0] for _ in range(2))
    assert first == second


def test_no_patient_is_drawn():
    named, nameless = (
        sheet_of(image("a", PatientName=name, PatientID=name))[0].pixel_array for name in ("SMITH^JANE", None)
    )
    assert np.array_equal(named, nameless)


@pytest.mark.external
@pytest.mark.parametrize("compression", ["none", "jpeg_ls"])
def test_no_judge_finds_an_error(compression, tmp_path):
    files = [radiograph(key, study="s", kind="CR", Laterality=side) for key, side in zip("ab", "LR", strict=True)]
    for ds in files:
        save(ds, tmp_path / "in" / f"{ds.SOPInstanceUID}.dcm")
    images = (image(key, kind="CR", Laterality=side) for key, side in zip("ab", "LR", strict=True))
    _, reported = sheet_of(*images, rule=dataclasses.replace(RULE, compression=compression))
    paths = [tmp_path / item.file for item in write_study(reported, tmp_path).outputs]
    (path,) = [path for path in paths if path.name == "summary.dcm"]
    assert validators.dciodvfy(path).errors == ()
    assert validators.dcentvfy(paths).errors == ()
    assert validators.dcmdump(paths) == validators.Verdict()
    assert validators.gdcmdump(path.parent) == validators.Verdict()
    assert validators.highdicom_reread(path, "sc") == validators.Verdict()
    (report,) = [path for path in paths if path.name == "sr.dcm"]
    assert validators.dciodvfy(report).errors == ()
    assert validators.dsrdump([report]).errors == ()
    if compression == "none":
        assert validators.dcm2pnm(path).errors == ()
