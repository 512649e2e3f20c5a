"""A training's checkpoints: written as it goes, and where a stopped one goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver
from safetensors.torch import load_file
from torch import Tensor, nn

from training.learning.processes import is_first

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


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return the float32 tensors of a checkpoint, safetensors or PyTorch.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; pass --initial_weights FILE, or imagenet to download")
    stored = load_file(path) if Path(path).suffix == ".safetensors" else torch.load(path, weights_only=True)
    return {key: value.float() for key, value in stored.items()}


def load_network(networks: Iterable[nn.Module], path: str | Path) -> None:
    """Load a training checkpoint (``best.pt``) into networks of the same shape, to train on with other settings.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    ValueError
        If it is a checkpoint of another network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; pass --initial_checkpoint FILE")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for network in networks:
        try:
            network.load_state_dict(state.get("network", state), strict=True)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: a checkpoint of another network than {type(network).__name__}; pass one of this bundle's"
            ) from error
