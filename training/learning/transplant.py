"""An ImageNet start for a network without such weights: those of a smaller relative, laid into the larger network.

MobileNetV2 and EfficientNet have the same seven stages of inverted residual blocks; EfficientNet-B3 is wider and deeper
everywhere, has 5x5 kernels where MobileNetV2 has 3x3, and squeeze-and-excitation. Laid in so that the larger network
computes what the smaller one does, up to the activation (SiLU for ReLU6), it starts with ImageNet's features.
"""

from __future__ import annotations

import re
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from training.learning.checkpoints import read_network
from training.learning.initialise import unfold_batch_norm

SOURCE = "mobilenetv2_100"
GATE = 4.0  # sigmoid(4) = .98: squeeze-and-excitation starts open


def transplant(encoder: nn.Module, path: str | Path, batches: list[Tensor]) -> None:
    """Lay MobileNetV2's weights into an EfficientNet encoder.

    Parameters
    ----------
    encoder
        A timm EfficientNet built with ``features_only=True``.
    path
        Checkpoint of timm's ``mobilenetv2_100``; its batch norm may be folded.
    batches
        Images that the norm layers take their statistics from.

    Notes
    -----
    Chen et al., "Net2Net", ICLR 2016. New channels keep their random weights and are read by nobody at first; new
    blocks add nothing at first.
    """
    known_keys = timm.create_model(SOURCE, features_only=True, pretrained=False).state_dict().keys()
    source = {
        key: value for key, value in read_network(path, option="--relative_weights FILE").items() if key in known_keys
    }
    state = encoder.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            if name in source and value.ndim in (1, 4):
                value.copy_(embed(source[name], value))
            elif name not in source:
                _neutralise(name, value)
        encoder.load_state_dict(state)
        unfold_batch_norm(encoder, batches)
        for name, layer in encoder.named_modules():
            if isinstance(layer, nn.BatchNorm2d) and f"{name}.weight" in source:
                known = source[f"{name}.weight"].shape[0]
                layer.weight[known:] = 1
                layer.bias[known:] = 0


def embed(small: Tensor, large: Tensor) -> Tensor:
    """Return ``large`` with ``small`` in its first channels and the middle of its kernels.

    The first output channels read the first input channels only, so that on inputs whose other channels are anything
    at all they compute what ``small`` does.
    """
    out = large.clone()
    if small.ndim == 1:
        out[: small.shape[0]] = small
        return out
    if large.shape[1] == 1 and small.shape[1] == 3:
        small = small.sum(dim=1, keepdim=True)  # a colour stem reads a grey image
    top, left = ((large.shape[axis] - small.shape[axis]) // 2 for axis in (2, 3))
    out[: small.shape[0]] = 0
    rows, columns = slice(top, top + small.shape[2]), slice(left, left + small.shape[3])
    out[: small.shape[0], : small.shape[1], rows, columns] = small
    return out


def _neutralise(name: str, value: Tensor) -> None:
    """Let a tensor that MobileNetV2 lacks change nothing at first."""
    if name.endswith("se.conv_expand.weight"):
        value.zero_()
    elif name.endswith("se.conv_expand.bias"):
        value.fill_(GATE)
    elif re.search(r"blocks\.0\.[1-9]\.bn2\.weight|blocks\.[1-9]\.\d+\.bn3\.weight", name):
        value.zero_()  # the last norm of a block that was added
