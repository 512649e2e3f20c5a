"""A verified bundle, ready for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from operators.networks.fitted import Fitted, parse_fitted


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified MONAI bundle: its network in evaluation mode, its pre-processing and its metadata.

    ``preprocess`` takes (rows, columns) float32 [0, 1] and returns (channels, height, width), scaled and then padded
    at the right and the bottom only. ``sha256`` is that of the weights file, ``files`` the sha256 of every file that
    changes what it computes.
    """

    name: str
    version: str
    sha256: str
    network: nn.Module
    preprocess: Callable[[NDArray[np.float32]], Any]  # a MONAI MetaTensor: a tensor with its affine
    metadata: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    _fitted: list[Fitted] = field(default_factory=list, init=False, repr=False)

    @property
    def fitted(self) -> Fitted:
        """What was fitted for a classifier; the metadata are parsed once.

        Raises
        ------
        BundleError
            If the bundle is no classifier, or was not fitted.
        """
        if not self._fitted:
            self._fitted.append(parse_fitted(self.name, self.metadata))
        return self._fitted[0]

    @property
    def limits(self) -> tuple[str, ...]:
        """What every report says of the model's limits."""
        return tuple(self.metadata.get("limits", ()))


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The models of an analysis; the first classifier gives the heat map."""

    classifiers: tuple[Bundle, ...]
    segmenter: Bundle
