"""A verified bundle, ready for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified MONAI bundle: its network in evaluation mode, its pre-processing and its metadata.

    ``preprocess`` takes (rows, columns) float32 [0, 1] and returns (channels, height, width), scaled and then padded
    at the right and the bottom only. ``sha256`` is that of the weights file.
    """

    name: str
    version: str
    sha256: str
    network: nn.Module
    preprocess: Callable[[NDArray[np.float32]], Any]  # a MONAI MetaTensor: a tensor with its affine
    metadata: Mapping[str, Any]
