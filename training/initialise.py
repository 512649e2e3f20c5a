"""Where a training starts: ImageNet weights with their batch norm folded into the convolutions, or a checkpoint."""

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

logger = logging.getLogger(__name__)

BEST = "best.pt"


def load_encoder(encoder: nn.Module, path: str | Path) -> None:
    """Load ImageNet weights into a timm ``features_only`` encoder; a colour stem is summed to a grey one.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    ValueError
        If the file lacks weights of the encoder.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; pass --initial_weights FILE")
    stored = load_file(path) if Path(path).suffix == ".safetensors" else torch.load(path, weights_only=True)
    weights = {key: value.float() for key, value in stored.items()}
    own = encoder.state_dict()
    for key, value in weights.items():
        if key in own and value.ndim == 4 and value.shape[1] == 3 and own[key].shape[1] == 1:
            weights[key] = value.sum(dim=1, keepdim=True)
    missing, _ = encoder.load_state_dict(weights, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path}: lacks {len(missing)} tensors of the encoder, first {missing[0]}")


def load_network(networks: Iterable[nn.Module], path: str | Path) -> None:
    """Load a training checkpoint (``best.pt``) into networks of the same shape, to train on with other settings.

    Raises
    ------
    FileNotFoundError
        If the file is absent.
    RuntimeError
        If it is a checkpoint of another network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; pass --initial_checkpoint FILE")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for network in networks:
        network.load_state_dict(state.get("network", state), strict=True)


def resume(
    trainer: Engine, saved: dict[str, Any], best: CheckpointSaver, output_dir: str | Path, interval: int
) -> None:
    """Save a checkpoint every ``interval`` epochs and, if ``output_dir`` holds one, go on from the newest.

    ``saved`` names what a checkpoint holds beside the trainer's own counters; ``best`` keeps the best score so far.
    """
    saved = {**saved, "trainer": trainer}
    folder = Path(output_dir)
    CheckpointSaver(save_dir=str(folder), save_dict=saved, save_interval=interval, n_saved=1).attach(trainer)
    checkpoints = sorted(folder.glob("checkpoint_epoch=*.pt"), key=lambda file: int(file.stem.partition("=")[2]))
    if checkpoints:
        logger.info("going on from %s", checkpoints[-1].name)
        CheckpointLoader(str(checkpoints[-1]), saved, map_location="cpu").attach(trainer)
        CheckpointLoader(str(folder / BEST), {"checkpointer": best}, map_location="cpu").attach(trainer)


class PlainNumbers:
    """Handler of an evaluator: its metrics become plain numbers, so that a checkpoint that holds them can be loaded."""

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, before what saves its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._convert)

    def _convert(self, engine: Engine) -> None:
        engine.state.metrics = {name: float(value) for name, value in engine.state.metrics.items()}


def unfold_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give identity batch norm layers the statistics of real images without changing what the network computes.

    Weights with folded batch norm train stiffly: their norm layers neither centre nor scale. Each layer gets the mean
    and the variance that its input has over ``batches``, and an affine part that undoes them.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sums: dict[nn.Module, list[Any]] = {layer: [0, 0.0, 0.0] for layer in layers}

    def collect(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        total = sums[layer]
        total[0] += values.numel() // values.shape[1]
        total[1] += values.sum(dim=(0, 2, 3))
        total[2] += values.square().sum(dim=(0, 2, 3))

    hooks = [layer.register_forward_pre_hook(collect) for layer in layers]
    network.eval()
    with torch.inference_mode():
        for batch in batches:
            network(batch)
    for hook in hooks:
        hook.remove()
    dead = 0
    for layer in layers:
        count, total, squares = sums[layer]
        mean = (total / count).float()
        variance = (squares / count - (total / count).square()).clamp_min(0).float()
        _set_statistics(layer, mean, variance)
        dead += int((variance < 1e-8).sum())
    logger.info("batch norm statistics set in %d layers; %d channels are constant", len(layers), dead)


def _set_statistics(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Replace a layer's running statistics and adapt its affine part so that it computes the same as before."""
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError("a batch norm layer without running statistics")
    with torch.no_grad():
        gain = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        layer.bias.add_(gain * (mean - layer.running_mean))
        layer.weight.copy_(gain * torch.sqrt(variance + layer.eps))
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
