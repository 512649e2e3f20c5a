"""The source of the graph: one study after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from operators.deploy.unquoted_errors import unquoted
from operators.records.sources import SourceImage
from operators.records.study import Study


class StudiesOperator(Operator):
    """Emit one study per tick and end the run after the last one."""

    def __init__(
        self, fragment: Fragment, *args: Any, studies: Iterator[Study[SourceImage]], name: str = "studies"
    ) -> None:
        self.studies = studies
        self.seconds = 0.0
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the port."""
        spec.output("studies")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Read the headers of the next study."""
        with unquoted():
            started = time.perf_counter()
            study = next(self.studies, None)
            self.seconds += time.perf_counter() - started
            if study is None:
                self.stop_execution()
            else:
                op_output.emit(study, "studies")
