"""Weights files: their checksum, and int8 or float16 storage read as float32."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

SCALE = ".scale"  # suffix of the scales of a tensor that is stored as int8


def sha256(file: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a checkpoint as float32; what is stored as int8 is multiplied by its scales, one per output channel."""
    stored = (
        load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    )
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
