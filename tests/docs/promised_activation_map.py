"""What the recipe for an activation map promises; ``test_extending`` runs it in a copy that followed the recipe."""

from __future__ import annotations

import pytest

from monai_app.settings import read_settings
from operators.localization.activation_maps import activation_map
from operators.records.rules import MAP_METHODS, BoxRule, MapRule, PromptRule
from tests.operators.localization.test_activation_maps import REFERENCE
from tests.phantoms import classification
from training.fit import main as fit
from training.localization.arms import Defaults, all_arms


def test_settings_and_rules_know_the_map():
    assert read_settings().localization.map == "xgrad_cam"
    assert "xgrad_cam" in MAP_METHODS
    assert MapRule("xgrad_cam").name == "XGrad-CAM"
    assert "xgrad_cam" in REFERENCE  # so the tests there have compared it


def test_a_map_lies_between_0_and_1():
    record = classification()
    record = classification(gradients=record.features + 7)
    cells = activation_map(record, MapRule("xgrad_cam"))
    assert 0 <= cells.min() <= cells.max() <= 1


def test_the_benchmark_has_an_arm():
    defaults = Defaults(MapRule(), BoxRule("peaks", 0.5, 0.0), PromptRule(None))
    assert {arm.name: arm.maps for arm in all_arms(defaults)}["xgrad_cam"] == MapRule("xgrad_cam")


def test_fit_takes_it(capsys):
    with pytest.raises(SystemExit):
        fit(["--help"])
    assert "xgrad_cam" in capsys.readouterr().out
