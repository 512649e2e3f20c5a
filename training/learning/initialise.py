"""Where a training starts: ImageNet weights with their batch norm folded into the convolutions, or a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from operators.networks.loading import load_classifier
from training.datasets.errors import InputError
from training.learning.checkpoints import read_network
from training.learning.distillation import WithTeacher
from training.learning.losses import WithMap

logger = logging.getLogger(__name__)


def download_imagenet(encoder: nn.Module) -> dict[str, Tensor]:
    """Return timm's ImageNet weights of an encoder's architecture, from its hub or its local cache.

    Raises
    ------
    ConnectionError
        If the hub cannot be reached and the cache does not hold them.
    """
    name: str = encoder.pretrained_cfg["architecture"]  # type: ignore[assignment, index]
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"ImageNet weights of {name} cannot be downloaded ({type(error).__name__}); "
            "pass --initial_weights FILE with a local checkpoint, or null to start from random weights"
        ) from error
    return {key: value.float() for key, value in model.state_dict().items()}


def load_encoder(encoder: nn.Module, source: str | Path) -> None:
    """Load ImageNet weights into a timm model; a colour stem is summed to a grey one, a head is left alone.

    Parameters
    ----------
    source
        ``imagenet``: timm's hub; else a checkpoint of timm's model of that name.

    Raises
    ------
    FileNotFoundError, ConnectionError
        If there is no such file, no such download.
    InputError
        If the weights lack tensors of the encoder, or are of another architecture.
    """
    given = (
        download_imagenet(encoder)
        if str(source) == "imagenet"
        else read_network(source, option="--initial_weights FILE, or imagenet to download")
    )
    state = encoder.state_dict()
    weights = {}
    for key, tensor in state.items():
        value = given.get(key, given.get(key.replace("_", ".", 1)))  # timm flattens a name for features_only
        if value is None:
            continue
        if value.ndim == 4 and value.shape[1] == 3 and tensor.shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value.shape == tensor.shape:
            weights[key] = value
    head = dict(encoder.pretrained_cfg).get("classifier", "")  # type: ignore[arg-type]
    missing = [key for key in state if key not in weights and not key.endswith("num_batches_tracked")]
    missing = [key for key in missing if not key.startswith(str(head))] if head else missing
    if missing:
        raise InputError(f"{source}: lacks {len(missing)} tensors of the encoder, first {missing[0]}; another network?")
    encoder.load_state_dict(weights, strict=False)


def start(network: nn.Module, source: str | Path, batches: Iterable[Tensor]) -> None:
    """Give a classifier's encoder ImageNet weights, and folded batch norm the statistics of radiographs.

    Raises
    ------
    InputError
        If there are no ImageNet weights of such a network.
    """
    encoder: nn.Module = getattr(network, "encoder", network)
    if not hasattr(encoder, "pretrained_cfg"):
        raise InputError(f"{type(encoder).__name__} has no ImageNet weights; leave --initial_weights out")
    load_encoder(encoder, source)
    folded = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d) and _is_identity(layer)]
    if folded:
        unfold_batch_norm(network, batches)


def _is_identity(layer: nn.BatchNorm2d) -> bool:
    return layer.running_mean is not None and not bool(layer.running_mean.any())


def student(network: nn.Module, teacher: str | Path | None) -> nn.Module:
    """Return a map classifier as it is trained: alone, or beside the classifier of a bundle that teaches it."""
    if teacher is None:
        return WithMap(network)  # type: ignore[arg-type]
    taught_by = load_classifier(Path(teacher)).network.to(next(network.parameters()))  # on the student's device
    return WithTeacher(network, taught_by)  # type: ignore[arg-type]


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
            network(batch.to(next(network.parameters())))
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
