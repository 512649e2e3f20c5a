"""The checkpoint that a training is taken up from: written as it goes, and read when the same command comes again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver
from torch import Tensor, nn

from training.control.schedule import epochs_due
from training.datasets.errors import InputError
from training.learning.checkpoints import BEST, read_checkpoint
from training.learning.processes import is_first

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
STOPPED_EARLY = "stopped_early"


class Checkpointing:
    """Handler of a trainer: renews ``checkpoint.pt`` after each validation and every few minutes, also within an epoch.

    It is attached last, so that a checkpoint holds what all other handlers have done.

    Parameters
    ----------
    saved
        What a checkpoint holds: name -> object with a ``state_dict``.
    interval
        Epochs between two validations.
    minutes
        Longest time between two checkpoints.
    """

    def __init__(self, saved: Mapping[str, Any], output_dir: str | Path, interval: int, minutes: float) -> None:
        self.saved = saved
        self.path = Path(output_dir) / CHECKPOINT
        self.interval = interval
        self.seconds = 60 * minutes
        self._saved_at = time.monotonic()

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._within_epoch)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)
        trainer.add_event_handler(epochs_due(self.interval), self.save)

    def _within_epoch(self, trainer: Engine) -> None:
        # After the last step of an epoch its validation is still to come: a checkpoint there would leave it out.
        if trainer.state.iteration % trainer.state.epoch_length:
            self._after_epoch(trainer)

    def _after_epoch(self, trainer: Engine) -> None:
        if time.monotonic() - self._saved_at >= self.seconds:
            self.save(trainer)

    def save(self, trainer: Engine) -> None:
        """Write the checkpoint; a run that is killed meanwhile keeps the one before."""
        content = {name: part.state_dict() for name, part in self.saved.items()}
        unfinished = self.path.with_suffix(".unfinished")
        torch.save({**content, STOPPED_EARLY: bool(trainer.should_terminate)}, unfinished)
        unfinished.replace(self.path)
        self._saved_at = time.monotonic()


def resume(
    trainer: Engine,
    saved: Mapping[str, Any],
    best: CheckpointSaver,
    output_dir: str | Path,
    schedule: tuple[int, float],
) -> None:
    """Save checkpoints and, if ``output_dir`` holds one, go on from it.

    Parameters
    ----------
    saved
        What a checkpoint holds beside the trainer's own counters.
    best
        Keeps the best network so far, and its score.
    schedule
        Epochs between two validations, and the longest time between two checkpoints in minutes.

    Raises
    ------
    InputError
        If the checkpoint is of a training of another length or of another network, if that training is complete, or
        if the folder holds the result of a training that cannot go on.
    """
    saved = {**saved, "trainer": trainer}
    folder = Path(output_dir)
    checkpoint = folder / CHECKPOINT
    if is_first():
        Checkpointing(saved, folder, *schedule).attach(trainer)
    if checkpoint.is_file():
        counters = _check_same_training(checkpoint, saved)
        trainer.state.iteration = counters["iteration"]  # until all is loaded: how much is left is told before
        CheckpointLoader(str(checkpoint), saved, map_location="cpu").attach(trainer)
        if (folder / BEST).is_file():
            read_checkpoint(folder / BEST)
            CheckpointLoader(str(folder / BEST), {"checkpointer": best}, map_location="cpu").attach(trainer)
    elif (folder / BEST).is_file():
        raise InputError(
            f"{folder} holds {BEST} of a training without its {CHECKPOINT}; give another --output_dir, or remove it"
        )


def _check_same_training(checkpoint: Path, saved: Mapping[str, Any]) -> Mapping[str, int]:
    """Return a checkpoint's counters.

    Raises
    ------
    InputError
        If it is of other settings or another network: ignite would load it, or fail at it in the first epoch.
    """
    content = read_checkpoint(checkpoint)
    if content.get(STOPPED_EARLY):
        raise InputError(
            f"{checkpoint.parent} holds a complete training, which ended early because val did not improve; to train "
            f"on, give --initial_checkpoint {checkpoint.parent / BEST} and another --output_dir"
        )
    begun = content.get("scheduler", {}).get("total_steps")
    wanted = getattr(saved.get("scheduler"), "total_steps", None)
    counters: Mapping[str, int] = content["trainer"]
    length, now = counters["epoch_length"], saved["trainer"].state.epoch_length
    if begun != wanted or length != now:
        raise InputError(
            f"{checkpoint} belongs to a training of {_length(begun, length)}, not of {_length(wanted, now)}; "
            "give the same data, --epochs, --images_per_epoch and --batch_size, or another --output_dir"
        )
    for name, part in saved.items():
        if isinstance(part, nn.Module) and _shapes(part.state_dict()) != _shapes(content.get(name, {})):
            raise InputError(f"{checkpoint} belongs to another network; train it on, or give another --output_dir")
    return counters


def _length(steps: int | None, per_epoch: int) -> str:
    return f"{per_epoch} steps an epoch" + (f" and {steps - 1} in all" if steps is not None else "")


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
