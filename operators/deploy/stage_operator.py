"""A stage of the chain as an operator: receive an image of a study, take it through a plain function, emit it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from operators.deploy.unquoted_errors import unquoted
from operators.pipeline import Stage
from operators.records.study import Gathering


class StageOperator(Operator):
    """Operator of a stage: one input port, one output port, one image of a study per tick.

    The operator of a stage that needs the whole study gathers its images and emits with the last of them.

    Parameters
    ----------
    stage
        Gives the operator its name, its ports their names, and what it does.
    stopped
        Whether the run is to end: then what arrives is dropped.
    passed
        Called when an image, or a study, has gone through.

    Attributes
    ----------
    seconds
        Time spent in the stage so far.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, stage: Stage, stopped: Callable[[], bool], passed: Callable[[], object]
    ) -> None:
        self.stage = stage
        self.stopped = stopped
        self.passed = passed
        self.gathering = None if stage.by_image else Gathering()
        self.seconds = 0.0
        super().__init__(fragment, *args, name=stage.name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(self.stage.receives)
        spec.output(self.stage.emits)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Take one image, or the study that it completes, through the stage."""
        with unquoted():
            part = op_input.receive(self.stage.receives)
            study = part if self.gathering is None else self.gathering.add(part)
            if study is None or self.stopped():
                return
            started = time.perf_counter()
            result = self.stage(study)
            self.seconds += time.perf_counter() - started
            self.passed()
            op_output.emit(result, self.stage.emits)
