"""What is evaluated: a bundle, or a checkpoint of a training in the place of a bundle's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from operators.networks.bundle import Bundle
from operators.networks.configuration import InferenceConfig
from operators.networks.loading import load_bundle
from operators.networks.verification import METADATA
from operators.networks.weights import sha256
from training.datasets.errors import InputError
from training.learning.checkpoints import load_weights, read_network
from training.weights.origin import Origin, bundle_origin, checkpoint_origin

_HALF = {"rule_out": 0.5, "rule_in": 0.5}
NOT_FITTED = {"temperature": 1.0, "bias": 0.0, "image": _HALF, "study": _HALF}  # gives the logit as it is


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A network that is evaluated, and where its weights come from.

    ``points`` are the operating points that were fitted to these weights, or ``NOT_FITTED``.
    """

    bundle: Bundle
    origin: Origin
    points: Mapping[str, Any]

    @property
    def fitted(self) -> bool:
        """Whether calibration and operating points were fitted to these weights."""
        return self.points is not NOT_FITTED


def open_evaluated(bundle_root: str | Path, checkpoint: str | Path | None, config: InferenceConfig) -> Evaluated:
    """Open a bundle, or a checkpoint of a network of its kind.

    Parameters
    ----------
    bundle_root
        The bundle: one that is shipped, or one that ``training.export`` wrote. It need not be fitted.
    checkpoint
        ``best.pt`` of a training, in place of the bundle's weights; what was fitted to those is left aside.
    config
        The configuration that the network was trained with: that of the bundle, or with an overlay such as ``paper``.

    Raises
    ------
    BundleError
        If the bundle cannot be used.
    FileNotFoundError
        If the checkpoint is absent.
    InputError
        If it is a checkpoint of another network.
    """
    root = Path(bundle_root)
    if checkpoint is None:
        bundle = load_bundle(root)
        return Evaluated(bundle, bundle_origin(root, bundle), bundle.metadata.get("operating_points") or NOT_FITTED)
    path = Path(checkpoint)
    if path.is_dir():
        raise InputError(f"--checkpoint {path}: a folder; name a file in it, or pass a bundle as --bundle_root {path}")
    weights = read_network(path, option="--checkpoint FILE")
    network = config.get_parsed_content("network_def")
    load_weights(network, weights, path)
    bundle = Bundle(
        name=root.resolve().name,
        version=f"checkpoint {path.name}",
        sha256=sha256(path),
        network=network.eval().to(memory_format=torch.channels_last),
        preprocess=config.get_parsed_content("preprocessing"),
        metadata=json.loads((root / METADATA).read_text("utf-8")),
    )
    return Evaluated(bundle, checkpoint_origin(path), NOT_FITTED)
