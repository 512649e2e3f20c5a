"""Adapter of ``classification``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.deploy.core import Fragment

from operators.classification.classify import classify_together
from operators.deploy.stage_operator import StageOperator
from operators.networks.bundle import Bundle
from operators.records.images import Classification, Radiograph
from operators.records.rules import MapRule
from operators.records.study import Study


class ClassificationOperator(StageOperator):
    """Classify every radiograph of a study by one bundle, or by several together."""

    input_port = "radiographs"
    output_port = "classifications"

    def __init__(
        self, fragment: Fragment, *args: Any, bundles: Sequence[Bundle], rule: MapRule, name: str = "classification"
    ) -> None:
        self.bundles = bundles
        self.rule = rule
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[Radiograph]) -> Study[Classification]:
        """Return the study with probabilities, and with the features that its maps are made of."""
        return study.map(lambda radiograph: classify_together(radiograph, self.bundles, self.rule))
