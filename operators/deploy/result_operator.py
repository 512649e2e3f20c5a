"""The end of the graph: what becomes of every study is the host's matter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from operators.deploy.unquoted_errors import unquoted
from operators.records.study import ReportedStudy


class ResultOperator(Operator):
    """Hand every study to a function of the host, which writes it."""

    def __init__(
        self, fragment: Fragment, *args: Any, collect: Callable[[ReportedStudy], None], name: str = "result"
    ) -> None:
        self.collect = collect
        self.seconds = 0.0
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the port."""
        spec.input("reported_studies")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Hand over one study."""
        with unquoted():
            reported = op_input.receive("reported_studies")
            started = time.perf_counter()
            self.collect(reported)
            self.seconds += time.perf_counter() - started
