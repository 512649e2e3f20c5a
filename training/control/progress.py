"""How far a training is: a bar on a terminal, otherwise a line of the log every half minute."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Never

from ignite.engine import Engine, Events
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

SECONDS = 30.0  # between two lines
MEMORY = 0.95  # of the mean loss that is shown
_BAR = "{desc} {percentage:3.0f}%|{bar}| step {n_fmt} of {total_fmt}{postfix}, {remaining} left"


def on_terminal() -> bool:
    """Say whether a person watches: standard error is a terminal."""
    return sys.stderr.isatty()


@contextmanager
def log_above_bar() -> Iterator[None]:
    """Keep the lines of the log and the bar apart."""
    if on_terminal():
        with logging_redirect_tqdm():
            yield
    else:
        yield


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``40 s``, ``12 min``, ``1 h 46 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Handler of a trainer: shows epoch, step, mean loss, rate and remaining time, and how far a validation is.

    Parameters
    ----------
    evaluators
        The engines of the validation.
    batch_size
        Images of a step, of all processes.
    """

    def __init__(self, evaluators: Sequence[Engine], batch_size: int) -> None:
        self.evaluators = evaluators
        self.batch_size = batch_size
        self._bar: tqdm[Never] | None = None
        self._loss = float("nan")
        self._first = 0
        self._started = self._shown = time.monotonic()

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer and the evaluators."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        for event in (Events.COMPLETED, Events.TERMINATE):
            trainer.add_event_handler(event, self._close)
        for evaluator in self.evaluators:
            evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._validate)

    def _begin(self, trainer: Engine) -> None:
        if self._first == 0:  # a training that goes on has its counters now
            self._first = trainer.state.iteration + 1
            self._started = self._shown = time.monotonic()
            if on_terminal():
                total = trainer.state.epoch_length * trainer.state.max_epochs
                self._bar = tqdm(
                    total=total, initial=trainer.state.iteration, smoothing=0, bar_format=_BAR, dynamic_ncols=True
                )
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {trainer.state.epoch} of {trainer.state.max_epochs}")

    def _step(self, trainer: Engine) -> None:
        state, loss = trainer.state, float(trainer.state.output["loss"])
        self._loss = loss if self._loss != self._loss else MEMORY * self._loss + (1 - MEMORY) * loss
        done, seconds = state.iteration - self._first + 1, time.monotonic() - self._started
        rate = f"{self.batch_size * done / max(seconds, 1e-6):.3g} images/s"
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {self._loss:.4f}, {rate}", refresh=False)
            self._bar.update()
        elif self._is_due():
            left = seconds / done * (state.epoch_length * state.max_epochs - state.iteration)
            step = (state.iteration - 1) % state.epoch_length + 1
            logger.info(
                "epoch %d of %d, step %d of %d, loss %.4f, %s, %s left",
                *(state.epoch, state.max_epochs, step, state.epoch_length, self._loss, rate, duration(left)),
            )

    def _validate(self, evaluator: Engine) -> None:
        state = evaluator.state
        if self._bar is not None:
            self._bar.set_postfix_str(f"validation, batch {state.iteration} of {state.epoch_length}", refresh=False)
            self._bar.update(0)
        elif self._is_due():
            logger.info("validation after epoch %d, batch %d of %d", state.epoch, state.iteration, state.epoch_length)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._shown < SECONDS:
            return False
        self._shown = now
        return True

    def _close(self, trainer: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
