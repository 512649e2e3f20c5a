"""The one way in which a stage meets Holoscan: receive a study, take it through a plain function, always emit."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext


class StageOperator(Operator):
    """Base of the operators between the first and the last: one input port, one output port, one study per tick.

    Attributes
    ----------
    input_port, output_port
        Names of the records on the wires, in snake case.
    seconds
        Time spent in the stage so far.
    """

    input_port: ClassVar[str]
    output_port: ClassVar[str]

    def __init__(self, fragment: Fragment, *args: Any, name: str) -> None:
        self.seconds = 0.0
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(self.input_port)
        spec.output(self.output_port)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Take one study through the stage; an operator that does not emit stalls the graph."""
        study = op_input.receive(self.input_port)
        started = time.perf_counter()
        result = self.process(study)
        self.seconds += time.perf_counter() - started
        op_output.emit(result, self.output_port)

    def process(self, study: Any) -> Any:
        """Return what the next operator receives."""
        raise NotImplementedError
