"""MONAI bundle folder -> network, pre-processing and metadata, verified once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser
from safetensors import SafetensorError
from segment_anything.modeling import Sam
from torch import nn

from operators.networks.bundle import Bundle
from operators.networks.classifier_network import ClassifierNetwork
from operators.networks.weights import read_weights, sha256
from operators.records.errors import BundleError

WEIGHTS = "models/model.safetensors"
CHECKSUMS = "SHA256SUMS"
LARGE_FILES = "large_files.yml"
# What the ``inference.json`` of a bundle of version 0.1 names beside libraries and ``operators.networks``.
_RENAMED = {"operators.baselines.": "operators.networks.", "$import operators.codes": "$import operators.records.codes"}


def load_bundle(bundle_root: Path, checkpoint: str | None = None) -> Bundle:
    """Verify a bundle and build its network with its weights, ready for inference.

    Parameters
    ----------
    bundle_root
        The bundle's folder.
    checkpoint
        Name of a published checkpoint that stands in for the bundle's own weights: ``configs/<checkpoint>.json``
        overlays ``inference.json``, ``large_files.yml`` names the file and its sha256.

    Every file that changes what the bundle computes is listed with its sha256 in ``SHA256SUMS``
    (``sha256sum -c SHA256SUMS`` checks it by hand).

    Raises
    ------
    BundleError
        If a file is missing or altered, or the weights do not fit the network.
    """
    checksums = verify(bundle_root)
    try:
        weights, digest = (WEIGHTS, checksums[WEIGHTS]) if checkpoint is None else _large_file(bundle_root, checkpoint)
        config = read_config(bundle_root, checkpoint)
        network: nn.Module = config.get_parsed_content("network_def")
        preprocess = config.get_parsed_content("preprocessing")
        metadata: dict[str, Any] = json.loads((bundle_root / "configs" / "metadata.json").read_text("utf-8"))
        version = str(metadata["version"])
        network.load_state_dict(read_weights(bundle_root / weights), strict=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        raise BundleError(f"bundle {bundle_root.name} cannot be used ({type(error).__name__}: {error})") from error
    return Bundle(
        name=bundle_root.name,
        version=version,
        sha256=digest,
        network=network.eval().to(memory_format=torch.channels_last),
        preprocess=preprocess,
        metadata=metadata,
    )


def load_classifier(bundle_root: Path) -> Bundle:
    """Load a bundle that classifies.

    Raises
    ------
    BundleError
        If it cannot be used, is no classifier, or its metadata lack what was fitted.
    """
    bundle = load_bundle(bundle_root)
    if not isinstance(bundle.network, ClassifierNetwork):
        raise BundleError(f"bundle {bundle.name} is no classifier: its network lacks forward_features or forward_head")
    if "limits" not in bundle.metadata:
        raise BundleError(f"bundle {bundle.name}: metadata.json lacks limits, which every report quotes")
    _ = bundle.fitted
    return bundle


def load_segmenter(bundle_root: Path, checkpoint: str | None = None) -> Bundle:
    """Load a bundle that outlines; raise BundleError if it does not."""
    bundle = load_bundle(bundle_root, checkpoint)
    if not isinstance(bundle.network, Sam):
        raise BundleError(f"bundle {bundle.name} holds no Segment Anything Model")
    return bundle


def verify(bundle_root: Path) -> dict[str, str]:
    """Compare the files of a bundle with its ``SHA256SUMS`` and return {file: sha256}.

    Raises
    ------
    BundleError
        If the bundle, a file or a checksum is missing or different.
    """
    listing = bundle_root / CHECKSUMS
    if not listing.is_file():
        raise BundleError(f"bundle {bundle_root.name}: no {CHECKSUMS} in {bundle_root}; check -m / HOLOSCAN_MODEL_PATH")
    checksums: dict[str, str] = {}
    try:
        for line in listing.read_text("utf-8").rstrip("\n").split("\n"):
            digest, name = line.split("  ", 1)
            checksums[name] = digest
    except ValueError as error:
        raise BundleError(f"bundle {bundle_root.name}: {CHECKSUMS} is damaged; restore the bundle") from error
    for name in sorted({WEIGHTS, "configs/metadata.json", "configs/inference.json"} | set(checksums)):
        file = bundle_root / name
        if not file.is_file():
            raise BundleError(f"bundle {bundle_root.name}: {name} is missing; restore the bundle")
        if sha256(file) != checksums.get(name):
            raise BundleError(f"bundle {bundle_root.name}: {name} does not match its sha256; restore the bundle")
    return checksums


def _large_file(bundle_root: Path, checkpoint: str) -> tuple[str, str]:
    """Return (file, sha256) of a published checkpoint after comparing the two."""
    listing = yaml.safe_load((bundle_root / LARGE_FILES).read_text("utf-8"))["large_files"]
    entry = next((item for item in listing if Path(item["path"]).name.startswith(checkpoint)), None)
    if entry is None:
        raise BundleError(f"bundle {bundle_root.name}: {LARGE_FILES} names no checkpoint {checkpoint}")
    file = bundle_root / entry["path"]
    if not file.is_file():
        raise BundleError(
            f"bundle {bundle_root.name}: {entry['path']} is missing; fetch it: python -m training.download {checkpoint}"
        )
    if sha256(file) != entry["hash_val"]:
        raise BundleError(f"bundle {bundle_root.name}: {entry['path']} does not match its sha256; fetch it again")
    return entry["path"], entry["hash_val"]


def read_config(bundle_root: str | Path, overlay: str | None = None) -> ConfigParser:
    """Return the parsed ``inference.json`` of a bundle, the one home of its pre-processing and its network."""
    names = ["inference"] if overlay is None else ["inference", overlay]
    files = [str(Path(bundle_root) / "configs" / f"{name}.json") for name in names]
    parser = ConfigParser()
    parser.read_config(_with_current_names(ConfigParser.load_config_files(files)))
    parser.parse(True)
    return parser


def _with_current_names(content: Any) -> Any:
    """Return a configuration in which the modules that version 0.1 knew by other names have those of today."""
    if isinstance(content, dict):
        return {key: _with_current_names(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_current_names(value) for value in content]
    if isinstance(content, str):
        for old, new in _RENAMED.items():
            content = content.replace(old, new)
    return content
