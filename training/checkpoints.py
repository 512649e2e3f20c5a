"""A training's checkpoints: written as it goes, and where a stopped one goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver

from training.processes import is_first

logger = logging.getLogger(__name__)

BEST = "best.pt"


def resume(
    trainer: Engine, saved: dict[str, Any], best: CheckpointSaver, output_dir: str | Path, interval: int
) -> None:
    """Save a checkpoint every ``interval`` epochs and, if ``output_dir`` holds one, go on from the newest.

    ``saved`` names what a checkpoint holds beside the trainer's own counters; ``best`` keeps the best score so far.
    """
    saved = {**saved, "trainer": trainer}
    folder = Path(output_dir)
    if is_first():
        CheckpointSaver(save_dir=str(folder), save_dict=saved, save_interval=interval, n_saved=1).attach(trainer)
    checkpoints = sorted(folder.glob("checkpoint_epoch=*.pt"), key=lambda file: int(file.stem.partition("=")[2]))
    if checkpoints:
        _check_length(checkpoints[-1], saved)
        logger.info("going on from %s", checkpoints[-1].name)
        CheckpointLoader(str(checkpoints[-1]), saved, map_location="cpu").attach(trainer)
        CheckpointLoader(str(folder / BEST), {"checkpointer": best}, map_location="cpu").attach(trainer)


def _check_length(checkpoint: Path, saved: dict[str, Any]) -> None:
    begun = torch.load(checkpoint, map_location="cpu", weights_only=True).get("scheduler", {}).get("total_steps")
    wanted = getattr(saved.get("scheduler"), "total_steps", None)
    if begun != wanted:
        raise SystemExit(
            f"error: {checkpoint} belongs to a training of {begun} steps, not of {wanted}; "
            "give the same --epochs, --images_per_epoch and --batch_size, or another --output_dir"
        )


class PlainNumbers:
    """Handler of an evaluator: its metrics become plain numbers, so that a checkpoint that holds them can be loaded."""

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, before what saves its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._convert)

    def _convert(self, engine: Engine) -> None:
        engine.state.metrics = {name: float(value) for name, value in engine.state.metrics.items()}
