"""The source of the graph: one study after the other, image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from operators.deploy.unquoted_errors import unquoted
from operators.records.sources import SourceImage
from operators.records.study import Study


class StudiesOperator(Operator):
    """Emit one image of a study per tick and end the run after the last one, or when it is to stop."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        studies: Iterator[Study[SourceImage]],
        stopped: Callable[[], bool],
        name: str = "studies",
    ) -> None:
        self.stopped = stopped
        self.parts = (part for study in studies for part in study.parts())
        self.seconds = 0.0
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the port."""
        spec.output("studies")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Emit the next image; with the first of a study, its headers are read."""
        with unquoted():
            started = time.perf_counter()
            part = None if self.stopped() else next(self.parts, None)
            self.seconds += time.perf_counter() - started
            if part is None:
                self.stop_execution()
            else:
                op_output.emit(part, "studies")
