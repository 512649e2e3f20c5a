"""MONAI bundle folder -> network, pre-processing and metadata, verified once; nothing of a bundle is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from safetensors import SafetensorError
from segment_anything.modeling import Sam
from torch import nn

from operators.networks.bundle import Bundle
from operators.networks.classifier_network import ClassifierNetwork
from operators.networks.configuration import InferenceConfig, parse_config
from operators.networks.fitted import check_description
from operators.networks.verification import INFERENCE, METADATA, WEIGHTS, large_file, parse_json, read_verified, verify
from operators.networks.weights import load_weights, read_weights
from operators.records.errors import BundleError

# What torch, timm, MONAI and safetensors raise for arguments and files that do not suit them.
_UNUSABLE = (
    *(OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, AssertionError, ArithmeticError),
    *(ImportError, MemoryError, EOFError, SafetensorError),
)


def load_bundle(bundle_root: Path, checkpoint: str | None = None, trusted: Mapping[str, str] | None = None) -> Bundle:
    """Verify a bundle and build its network with its weights, ready for inference.

    Parameters
    ----------
    bundle_root
        The bundle's folder.
    checkpoint
        Name of a published checkpoint that stands in for the bundle's own weights: ``configs/<checkpoint>.json``
        overlays ``inference.json``, ``large_files.yml`` names the file and its sha256.
    trusted
        The bundles that may be loaded, as ``verify`` takes them.

    Every file that changes what the bundle computes is listed with its sha256 in ``SHA256SUMS``
    (``sha256sum -c SHA256SUMS`` checks it by hand).

    Raises
    ------
    BundleError
        If a file is missing or altered, the configuration names what a bundle may not name, or the weights do not fit
        the network.
    """
    checksums = verify(bundle_root, trusted)
    names = [INFERENCE] if checkpoint is None else [INFERENCE, f"configs/{checkpoint}.json"]
    config = parse_config(bundle_root.name, {name: read_verified(bundle_root, name, checksums) for name in names})
    metadata = parse_json(bundle_root.name, METADATA, read_verified(bundle_root, METADATA, checksums))
    check_description(bundle_root.name, metadata)
    weights, digest = bundle_root / WEIGHTS, checksums[WEIGHTS]
    if checkpoint is not None:
        weights, digest = large_file(bundle_root, checkpoint, checksums)
    try:
        network, preprocess = _build(config)
        load_weights(network, read_weights(weights, digest))
    except _UNUSABLE as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise BundleError(f"bundle {bundle_root.name} cannot be used ({what[:300]})") from error
    return Bundle(
        name=bundle_root.name,
        version=metadata["version"],
        sha256=digest,
        network=network.eval().to(memory_format=torch.channels_last),
        preprocess=preprocess,
        metadata=metadata,
        files=checksums,
    )


def _build(config: InferenceConfig) -> tuple[nn.Module, Callable[..., Any]]:
    """Return the network and the pre-processing; raise ValueError if they are none."""
    network, preprocess = (config.get_parsed_content(name) for name in ("network_def", "preprocessing"))
    if not isinstance(network, nn.Module):
        raise ValueError(f"network_def of {INFERENCE} makes no network")
    image = preprocess(np.linspace(0, 1, 96 * 64, dtype=np.float32).reshape(96, 64))
    if not isinstance(image, MetaTensor) or image.ndim != 3:
        raise ValueError(f"preprocessing of {INFERENCE} makes no image of (channels, height, width)")
    return network, preprocess


def load_classifier(bundle_root: Path, trusted: Mapping[str, str] | None = None) -> Bundle:
    """Load a bundle that classifies.

    Raises
    ------
    BundleError
        If it cannot be used, is no classifier, or its metadata lack what was fitted.
    """
    bundle = load_bundle(bundle_root, trusted=trusted)
    if not isinstance(bundle.network, ClassifierNetwork):
        raise BundleError(f"bundle {bundle.name} is no classifier: its network lacks forward_features or forward_head")
    if not bundle.limits:
        raise BundleError(f"bundle {bundle.name}: metadata.json lacks limits, which every report quotes")
    modules = dict(bundle.network.named_modules())
    unknown = [stage for stage in bundle.fitted.stages if stage not in modules]
    if unknown:
        fault = f"localization.stages of metadata.json names {ascii(unknown[0])[:80]}"
        raise BundleError(f"bundle {bundle.name}: {fault}, which is no module of its network")
    return bundle


def load_segmenter(
    bundle_root: Path, checkpoint: str | None = None, trusted: Mapping[str, str] | None = None
) -> Bundle:
    """Load a bundle that outlines; raise BundleError if it does not."""
    bundle = load_bundle(bundle_root, checkpoint, trusted)
    if not isinstance(bundle.network, Sam):
        raise BundleError(f"bundle {bundle.name} holds no Segment Anything Model")
    return bundle
