"""The start of a training, and what is said when it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operators.networks.workflow import is_library_call
from training.control.plan import Plan, attempt
from training.control.progress import duration, log_above_bar
from training.control.resuming import CHECKPOINT
from training.datasets.errors import InputError
from training.learning import processes
from training.learning.checkpoints import BEST, read_checkpoint
from training.learning.history import HISTORY


def start(trainer: Any, evaluators: Sequence[Any], plan: Plan, dry_run: bool) -> None:
    """Print how long the training takes, and train; with ``dry_run`` stop before that, after all was built and checked.

    Raises
    ------
    InputError
        If the training has made no model.
    SystemExit
        If it was interrupted from the keyboard.
    """
    done, steps = trainer.state.iteration, trainer.state.epoch_length * trainer.state.max_epochs
    if done >= steps:
        _say(f"complete    {plan.output_dir} holds all {steps:,} steps of this training; nothing is left to do")
        return
    if done:
        _say(f"going on    after step {done:,} of {steps:,}, from {Path(plan.output_dir) / CHECKPOINT}")
    trial = attempt(trainer, evaluators)
    _say(f"time        {trial.left(trainer, plan.schedule[0])}")
    if dry_run:
        _say(f"dry run: {trial.shape} a batch, loss {trial.loss:.4f}; nothing was trained")
        return
    started = time.monotonic()
    try:
        with log_above_bar():
            trainer.run()
    except KeyboardInterrupt as error:
        _say(f"stopped in epoch {trainer.state.epoch}; the same command goes on from the last checkpoint")
        if is_library_call():
            raise
        raise SystemExit(128 + signal.SIGINT) from error
    _finish(Path(plan.output_dir), duration(time.monotonic() - started))


def _finish(output_dir: Path, took: str) -> None:
    if not processes.is_first():
        return
    best = output_dir / BEST
    if not best.is_file():
        raise InputError(f"the training made no model: {output_dir} holds no {BEST}; look for errors in the log above")
    read_checkpoint(best)
    _say(f"{best}: the network of the best validation, after {took}; {HISTORY} beside it has the curve")


def _say(line: str) -> None:
    if processes.is_first():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
