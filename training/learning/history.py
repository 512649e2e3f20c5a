"""A training's curve: ``history.csv``, one row per epoch, and MLflow."""

from __future__ import annotations

import csv
import importlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from training.datasets.errors import InputError
from training.learning import processes

logger = logging.getLogger(__name__)

HISTORY = "history.csv"


class History:
    """Handler of a trainer: a row per epoch, with the mean loss, the learning rate, the validation's metrics, the time.

    The metrics of an epoch that was not validated are empty. Every process takes part, so that the loss is that of
    whole batches; the first one writes. The rows of a training that goes on are kept up to where it goes on.

    Parameters
    ----------
    evaluators
        The validation's engines, run before this handler.

    Raises
    ------
    InputError
        While training, as soon as a loss is not finite.
    """

    def __init__(self, evaluators: Sequence[Engine], output_dir: str) -> None:
        self.evaluators = evaluators
        self.path = Path(output_dir) / HISTORY
        self._losses: list[float] = []
        self._rows: list[dict[str, str]] | None = None
        self._started = time.perf_counter()

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._open)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _open(self, trainer: Engine) -> None:
        if self._rows is None:  # at the first epoch; a training that goes on has its counters now
            self._rows = [row for row in _rows(self.path) if int(row["epoch"]) < trainer.state.epoch]
            seconds = float(self._rows[-1]["seconds"]) if self._rows else 0.0
            self._started = time.perf_counter() - seconds

    def _collect(self, trainer: Engine) -> None:
        loss = float(trainer.state.output["loss"])
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} in step {trainer.state.iteration}; lower --learning_rate and look at the data; "
                "what was saved before is kept"
            )
        self._losses.append(loss)

    def _write(self, trainer: Engine) -> None:
        total = torch.tensor([sum(self._losses), len(self._losses)], dtype=torch.float64)
        summed, count = processes.add_up(total).tolist()
        self._losses.clear()
        if not processes.is_first() or self._rows is None:
            return
        epoch, last = trainer.state.epoch, trainer.state.max_epochs
        metrics = {
            name: round(value, 5)
            for evaluator in self.evaluators
            if evaluator.state.epoch == epoch  # the epoch that it was run after
            for name, value in evaluator.state.metrics.items()
        }
        loss = round(summed / max(count, 1), 6)
        row = {"epoch": epoch, "loss": loss, "learning_rate": trainer.optimizer.param_groups[0]["lr"], **metrics}
        self._rows.append({name: str(value) for name, value in row.items()} | {"seconds": self._seconds()})
        _write_rows(self.path, self._rows)
        logger.info(
            "epoch %d of %d: %s", epoch, last, ", ".join(f"{n} {v}" for n, v in {"loss": loss, **metrics}.items())
        )

    def _seconds(self) -> str:
        return str(round(time.perf_counter() - self._started, 1))


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a ``history.csv``; none where there is none, or it was cut off."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]


def _write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write all rows; a column that a row lacks is empty, and ``seconds`` is the last."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "seconds"))
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, "seconds"], restval="")
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)


def log_to_mlflow(trainer: Engine, evaluator: Engine, tracking_uri: str, output_dir: str | Path) -> None:
    """Log a training's loss and its validation to MLflow, for example ``sqlite:///runs/mlflow.db``.

    Raises
    ------
    InputError
        If MLflow is not installed.
    """
    try:
        importlib.import_module("mlflow")
    except ImportError as error:
        raise InputError("--mlflow needs MLflow; install it: pip install mlflow") from error
    name = Path(output_dir).name
    MLFlowHandler(tracking_uri, experiment_name="osteomap", run_name=name, iteration_log=False).attach(evaluator)
    MLFlowHandler(
        tracking_uri,
        experiment_name="osteomap",
        run_name=name,
        epoch_log=False,
        output_transform=lambda output: output["loss"].item(),
        tag_name="loss",
        close_on_complete=True,
    ).attach(trainer)
