"""Adapter of ``localization``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.deploy.stage_operator import StageOperator
from operators.localization.localize import localize
from operators.records.images import Classification, Localization
from operators.records.rules import BoxRule, MapRule
from operators.records.study import Study


class LocalizationOperator(StageOperator):
    """Find heat map and boxes of every classified image."""

    input_port = "classifications"
    output_port = "localizations"

    def __init__(
        self, fragment: Fragment, *args: Any, rule: BoxRule, maps: MapRule, name: str = "localization"
    ) -> None:
        self.rule = rule
        self.maps = maps
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[Classification]) -> Study[Localization]:
        """Return the study with heat maps and boxes."""
        return study.map(lambda classification: localize(classification, self.rule, self.maps))
