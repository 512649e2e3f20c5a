"""What the recipe for an output object promises; ``test_extending`` runs it in a copy that followed the recipe."""

from __future__ import annotations

import pytest
from pydicom.uid import KeyObjectSelectionDocumentStorage

from monai_app.settings import read_settings
from operators.encoding.object_kinds import KIND_OF_NAME, OPTIONAL_KINDS
from operators.records.provenance import RESEARCH_USE_ONLY
from operators.records.rules import ObjectRule
from tests.integration import validators
from tests.segmentations import encode, reread, segmentation

RULE = ObjectRule(frozenset({"ko"}))


def written():
    return reread(encode(segmentation(), rule=RULE).objects["ko"])


def test_the_settings_know_the_kind_and_switch_it_on():
    assert "ko" in OPTIONAL_KINDS
    assert "ko" in read_settings().outputs.kinds


def test_an_abnormal_image_has_a_key_object():
    ds = written()
    assert ds.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert (ds.Modality, ds.SeriesNumber) == ("KO", KIND_OF_NAME["ko"].series_number)
    assert ds.SeriesDescription == "OsteoMAP key image: L WRIST AP (research use only)"
    assert RESEARCH_USE_ONLY in [item.get("TextValue") for item in ds.ContentSequence]


def test_a_second_run_writes_the_same_object():
    assert written() == written()


@pytest.mark.external
def test_the_validators_find_no_error(tmp_path):
    written().save_as(tmp_path / "ko_1.dcm")
    assert validators.dciodvfy(tmp_path / "ko_1.dcm").errors == ()
    assert validators.dcmdump([tmp_path / "ko_1.dcm"]).errors == ()
