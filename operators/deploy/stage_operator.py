"""A stage of the chain as an operator: receive a study, take it through a plain function, always emit."""

from __future__ import annotations

import time
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from operators.deploy.unquoted_errors import unquoted
from operators.pipeline import Stage


class StageOperator(Operator):
    """Operator of a stage: one input port, one output port, one study per tick.

    Parameters
    ----------
    stage
        Gives the operator its name, its ports their names, and what it does.

    Attributes
    ----------
    seconds
        Time spent in the stage so far.
    """

    def __init__(self, fragment: Fragment, *args: Any, stage: Stage) -> None:
        self.stage = stage
        self.seconds = 0.0
        super().__init__(fragment, *args, name=stage.name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(self.stage.receives)
        spec.output(self.stage.emits)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Take one study through the stage; an operator that does not emit stalls the graph."""
        with unquoted():
            study = op_input.receive(self.stage.receives)
            started = time.perf_counter()
            result = self.stage(study)
            self.seconds += time.perf_counter() - started
            op_output.emit(result, self.stage.emits)
