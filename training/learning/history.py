"""A training's curve: ``history.csv``, one row per validation, and MLflow."""

from __future__ import annotations

import csv
import importlib
import time
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from training.datasets.errors import InputError
from training.learning import processes


class History:
    """Handler of a trainer: appends epoch, mean loss since the last row, learning rate, the validation's metrics, time.

    Every process takes part, so that the loss is that of whole batches; the first one writes.

    Parameters
    ----------
    evaluator
        The validation's engine, run before this handler.
    interval
        Epochs between two validations.
    """

    def __init__(self, evaluator: Engine, interval: int, output_dir: str) -> None:
        self.evaluator = evaluator
        self.interval = interval
        self.path = Path(output_dir) / "history.csv"
        self._losses: list[float] = []
        self._started = time.perf_counter()

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        trainer.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self._write)

    def _collect(self, trainer: Engine) -> None:
        self._losses.append(float(trainer.state.output["loss"]))

    def _write(self, trainer: Engine) -> None:
        total = torch.tensor([sum(self._losses), len(self._losses)], dtype=torch.float64)
        summed, count = processes.add_up(total).tolist()
        self._losses.clear()
        if not processes.is_first():
            return
        row = {
            "epoch": trainer.state.epoch,
            "loss": round(summed / max(count, 1), 6),
            "learning_rate": trainer.optimizer.param_groups[0]["lr"],
            **{name: round(value, 5) for name, value in self.evaluator.state.metrics.items()},
            "seconds": round(time.perf_counter() - self._started, 1),
        }
        new = not self.path.is_file()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


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
