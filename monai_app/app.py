"""The MONAI Deploy graph: the stages of ``operators.pipeline``, an operator each, between a source and an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from holoscan.schedulers import EventBasedScheduler
from monai.deploy.core import Application

from operators.deploy.result_operator import ResultOperator
from operators.deploy.stage_operator import StageOperator
from operators.deploy.studies_operator import StudiesOperator
from operators.pipeline import Stage
from operators.records.sources import SourceImage
from operators.records.study import ReportedStudy, Study

WORKER_THREADS = 3  # one decodes while one computes and one writes
# What ``result.json`` gives the seconds of -> the operators that they are spent in.
TIMED = {
    "read": ("studies", "radiographs"),
    "classify": ("classification",),
    "localize": ("localization",),
    "segment": ("segmentation",),
    "write": ("dicom_objects", "dicom_report", "result"),
}


class OsteoMapApp(Application):
    """Studies -> the stages of the chain -> result; the wires carry studies image by image up to their reports.

    Parameters
    ----------
    stages
        Of the chain, in order, as ``operators.pipeline.stages`` returns them.
    studies
        What comes in, one study at a time.
    collect
        What becomes of each study when it is done.
    stopped
        Whether the run is to end: then no further image is begun.
    passed
        Called when an image has gone through all stages that need no other image.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        studies: Iterator[Study[SourceImage]],
        collect: Callable[[ReportedStudy], None],
        *args: Any,
        stopped: Callable[[], bool] = bool,
        passed: Callable[[], object] = bool,
        **kwargs: Any,
    ) -> None:
        self.stopped = stopped
        self.passed = passed
        self.stages = stages
        self.studies = studies
        self.collect = collect
        self.timed: dict[str, Any] = {}
        super().__init__(*args, **kwargs)
        self.scheduler(EventBasedScheduler(self, worker_thread_number=WORKER_THREADS, name="scheduler"))

    def compose(self) -> None:
        """Chain the operators in order."""
        source = StudiesOperator(self, studies=self.studies, stopped=self.stopped)
        result = ResultOperator(self, collect=self.collect)
        last = [stage for stage in self.stages if stage.by_image][-1]
        operators = (
            StageOperator(self, stage=stage, stopped=self.stopped, passed=self.passed if stage is last else bool)
            for stage in self.stages
        )
        chain: list[Any] = [source, *operators, result]
        for before, after in pairwise(chain):
            self.add_flow(before, after)
        self.timed = {operator.name: operator for operator in chain}

    @property
    def started(self) -> bool:
        """Whether a study has gone through the first stage."""
        return any(self.timed[stage.name].seconds for stage in self.stages[:1] if self.timed)

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each part; they overlap, so the sum may exceed the total."""
        return {
            part: sum(self.timed[name].seconds for name in names if name in self.timed) for part, names in TIMED.items()
        }
