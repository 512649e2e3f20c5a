"""Adapter of ``segmentation``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.deploy.stage_operator import StageOperator
from operators.networks.bundle import Bundle
from operators.records.images import Localization, Segmentation
from operators.records.rules import PromptRule
from operators.records.study import Study
from operators.segmentation.outline import segment


class SegmentationOperator(StageOperator):
    """Outline every box; images without a box cost nothing."""

    input_port = "localizations"
    output_port = "segmentations"

    def __init__(
        self, fragment: Fragment, *args: Any, bundle: Bundle, rule: PromptRule, name: str = "segmentation"
    ) -> None:
        self.bundle = bundle
        self.rule = rule
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[Localization]) -> Study[Segmentation]:
        """Return the study with masks."""
        return study.map(lambda localization: segment(localization, self.bundle, self.rule))
