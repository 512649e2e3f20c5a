"""The checkpoints of trainings: read in every form, and what keeps them readable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from operators.networks.weights import read_weights
from training.datasets.errors import InputError

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


class PlainNumbers:
    """Handler of an evaluator: its metrics become plain numbers, so that a checkpoint that holds them can be loaded."""

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, before what saves its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._convert)

    def _convert(self, engine: Engine) -> None:
        engine.state.metrics = {name: float(value) for name, value in engine.state.metrics.items()}
