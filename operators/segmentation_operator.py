"""Adapter of ``segmentation``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.records import Bundle, Localization, Segmentation
from operators.segmentation import PromptRule, segment
from operators.stage_operator import StageOperator
from operators.study import Study


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
