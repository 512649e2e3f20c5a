"""Weights files: their checksum, and int8 or float16 storage read as float32."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load
from torch import Tensor, nn

from operators.networks.verification import WEIGHTS, sha256

__all__ = ["SCALE", "WEIGHTS", "load_weights", "read_weights", "sha256"]
SCALE = ".scale"  # suffix of the scales of a tensor that is stored as int8


def read_weights(file: Path, digest: str | None = None) -> dict[str, Tensor]:
    """Read a checkpoint as float32; what is stored as int8 is multiplied by its scales, one per output channel.

    Parameters
    ----------
    file
        ``.safetensors``, or a pickle of torch, of which nothing but tensors is loaded.
    digest
        The sha256 that the file must have. It is opened once: what was compared is what is loaded.

    Raises
    ------
    ValueError
        If the sha256 is another, or the file holds anything but tensors.
    """
    with file.open("rb") as stream:
        if digest is not None and hashlib.file_digest(stream, "sha256").hexdigest() != digest:
            raise ValueError(f"{file.name} does not match its sha256; fetch or restore it")
        stream.seek(0)
        stored = load(stream.read()) if file.suffix == ".safetensors" else _tensors_of_a_pickle(stream, file.name)
    if not isinstance(stored, Mapping) or not all(isinstance(tensor, Tensor) for tensor in stored.values()):
        raise ValueError(f"{file.name} is no dictionary of tensors")
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE):
            continue
        if tensor.dtype == torch.int8:
            scale = stored[name + SCALE].float()
            weights[name] = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        else:
            weights[name] = tensor.float() if tensor.is_floating_point() else tensor
    return weights


def _tensors_of_a_pickle(stream: BinaryIO, name: str) -> object:
    try:
        return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged or hostile pickle raises a dozen kinds
        raise ValueError(f"{name} is damaged, or holds more than tensors") from error


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights that must be those of the network, every one a finite number.

    Raises
    ------
    RuntimeError
        If names or shapes are others.
    ValueError
        If a weight is not finite: the network would call every image the same.
    """
    network.load_state_dict(weights, strict=True)
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"weights {name} hold values that are no finite numbers")
