"""The checkpoints of a training: read, written as it goes, and where a stopped training goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver
from torch import Tensor, nn

from operators.networks.weights import read_weights
from training.datasets.errors import InputError
from training.learning.processes import is_first

logger = logging.getLogger(__name__)

BEST = "best.pt"


def read_network(path: str | Path, key: str = "network", option: str = "") -> dict[str, Tensor]:
    """Return the weights of a network from a safetensors file or a PyTorch checkpoint; what is float is float32.

    Parameters
    ----------
    key
        Where a training's checkpoint holds the network; else it is under ``network``, else the file is nothing more.
    option
        How a command is given the file; the error for a missing one names it.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    InputError
        If it holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint" + (f"; pass {option}" if option else ""))
    if path.suffix == ".safetensors":
        return _decoded(path, read_weights)
    saved = read_checkpoint(path)
    weights = saved.get(key, saved.get("network", saved))
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{path}: holds no weights of a network; pass a checkpoint of a training")
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return all that a PyTorch checkpoint holds: of a training the network, the optimizer, the counters ...

    Raises
    ------
    InputError
        If it is no such file.
    """
    return _decoded(path, lambda file: torch.load(file, map_location="cpu", weights_only=True))


def _decoded(path: Path, read: Any) -> dict[str, Any]:
    try:
        content = read(path)
    except OSError:
        raise
    except Exception as error:  # PyTorch and safetensors raise a dozen kinds at a damaged file
        raise InputError(f"{path}: not a checkpoint ({type(error).__name__}); is it complete?") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no weights of a network; pass a checkpoint of a training")
    return content


def load_network(networks: Iterable[nn.Module], path: str | Path) -> None:
    """Load a training checkpoint (``best.pt``) into networks of the same shape, to train on with other settings.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    InputError
        If it is a checkpoint of another network.
    """
    weights = read_network(path, option="--initial_checkpoint FILE")
    for network in networks:
        load_weights(network, weights, path)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load all weights of a network; ``path``, where they are from, is named in the error.

    Raises
    ------
    InputError
        If they are of another network.
    """
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise InputError(
            f"{path}: a checkpoint of another network than {type(network).__name__}; pass one of this bundle's"
        ) from error


def resume(
    trainer: Engine, saved: dict[str, Any], best: CheckpointSaver, output_dir: str | Path, interval: int
) -> None:
    """Save a checkpoint every ``interval`` epochs and, if ``output_dir`` holds one, go on from the newest.

    ``saved`` names what a checkpoint holds beside the trainer's own counters; ``best`` keeps the best score so far.

    Raises
    ------
    InputError
        If the checkpoint is of a training of another length or of another network.
    """
    saved = {**saved, "trainer": trainer}
    folder = Path(output_dir)
    if is_first():
        CheckpointSaver(save_dir=str(folder), save_dict=saved, save_interval=interval, n_saved=1).attach(trainer)
    checkpoints = sorted(folder.glob("checkpoint_epoch=*.pt"), key=lambda file: int(file.stem.partition("=")[2]))
    if checkpoints:
        _check_same_training(checkpoints[-1], saved)
        logger.info("going on from %s", checkpoints[-1].name)
        CheckpointLoader(str(checkpoints[-1]), saved, map_location="cpu").attach(trainer)
        CheckpointLoader(str(folder / BEST), {"checkpointer": best}, map_location="cpu").attach(trainer)


def _check_same_training(checkpoint: Path, saved: Mapping[str, Any]) -> None:
    """Raise InputError where ignite would load a checkpoint of other settings, or fail at it in the first epoch."""
    content = read_checkpoint(checkpoint)
    begun = content.get("scheduler", {}).get("total_steps")
    wanted = getattr(saved.get("scheduler"), "total_steps", None)
    if begun != wanted:
        raise InputError(
            f"{checkpoint} belongs to a training of {begun} steps, not of {wanted}; "
            "give the same --epochs, --images_per_epoch and --batch_size, or another --output_dir"
        )
    for name, part in saved.items():
        if isinstance(part, nn.Module) and _shapes(part.state_dict()) != _shapes(content.get(name, {})):
            raise InputError(f"{checkpoint} belongs to another network; train it on, or give another --output_dir")


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


class PlainNumbers:
    """Handler of an evaluator: its metrics become plain numbers, so that a checkpoint that holds them can be loaded."""

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, before what saves its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._convert)

    def _convert(self, engine: Engine) -> None:
        engine.state.metrics = {name: float(value) for name, value in engine.state.metrics.items()}
