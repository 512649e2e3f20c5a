"""The path of the data: read ``compose`` from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from holoscan.schedulers import EventBasedScheduler
from monai.deploy.core import Application

from monai_app.rules import box_rule, map_rule, object_rule, prompt_rule, scope
from monai_app.settings import Settings
from operators.deploy.classification_operator import ClassificationOperator
from operators.deploy.dicom_objects_operator import DicomObjectsOperator
from operators.deploy.dicom_report_operator import DicomReportOperator
from operators.deploy.localization_operator import LocalizationOperator
from operators.deploy.radiographs_operator import RadiographsOperator
from operators.deploy.result_operator import ResultOperator
from operators.deploy.segmentation_operator import SegmentationOperator
from operators.deploy.studies_operator import StudiesOperator
from operators.networks.bundle import Bundle
from operators.reading.decoder import Decoder
from operators.records.sources import SourceImage
from operators.records.study import ReportedStudy, Study
from operators.reporting.page import Page

WORKER_THREADS = 3  # one decodes while one computes and one writes


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """What the operators are built from: verified models, settings, input and output."""

    settings: Settings
    classifiers: tuple[Bundle, ...]
    segmenter: Bundle
    page: Page
    decoder: Decoder
    studies: Iterator[Study[SourceImage]]
    collect: Callable[[ReportedStudy], None]


class OsteoMapApp(Application):
    """Studies -> radiographs -> classification -> localization -> segmentation -> DICOM objects -> report -> result."""

    def __init__(self, stages: Stages, *args: Any, **kwargs: Any) -> None:
        self.stages = stages
        self.timed: dict[str, tuple[Any, ...]] = {}
        super().__init__(*args, **kwargs)
        self.scheduler(EventBasedScheduler(self, worker_thread_number=WORKER_THREADS, name="scheduler"))

    def compose(self) -> None:
        """Build the operators and chain them in order; each wire carries the images of one study."""
        stages, settings = self.stages, self.stages.settings
        studies = StudiesOperator(self, studies=stages.studies)
        radiographs = RadiographsOperator(self, scope=scope(settings), decoder=stages.decoder)
        maps, boxes = map_rule(settings, stages.classifiers[0]), box_rule(settings, stages.classifiers[0])
        classification = ClassificationOperator(self, bundles=stages.classifiers, rule=maps)
        localization = LocalizationOperator(self, rule=boxes, maps=maps)
        segmentation = SegmentationOperator(self, bundle=stages.segmenter, rule=prompt_rule(settings))
        dicom_objects = DicomObjectsOperator(self, provenance=stages.page.provenance, rule=object_rule(settings))
        dicom_report = DicomReportOperator(self, page=stages.page, pdf=settings.outputs.pdf)
        result = ResultOperator(self, collect=stages.collect)
        chain = [studies, radiographs, classification, localization, segmentation, dicom_objects, dicom_report, result]
        for before, after in zip(chain, chain[1:], strict=False):
            self.add_flow(before, after)
        self.timed = {
            "read": (studies, radiographs),
            "classify": (classification,),
            "localize": (localization,),
            "segment": (segmentation,),
            "write": (dicom_objects, dicom_report, result),
        }

    @property
    def started(self) -> bool:
        """Whether a study has gone through the first stage."""
        return any(stage.seconds for stage in self.timed.get("read", ())[1:])

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each stage; stages overlap, so the sum may exceed the total."""
        return {name: sum(operator.seconds for operator in operators) for name, operators in self.timed.items()}
