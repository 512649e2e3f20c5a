"""Bundles and their networks.

The names here are public and stable: the configurations of bundles refer to them as ``operators.networks.<name>``.
Each is imported when it is first asked for, so that the files of a bundle can be verified without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operators.networks.bundle import Bundle, Models
    from operators.networks.classifier_network import ClassifierNetwork
    from operators.networks.configuration import read_config
    from operators.networks.fitted import Fitted
    from operators.networks.loading import load_bundle, load_classifier, load_segmenter
    from operators.networks.map_classifier import MapClassifier
    from operators.networks.paper_networks import FrozenBackbone, RandomBaseline, SmallCnn
    from operators.networks.sam_networks import PyramidImageEncoder, TinyViTImageEncoder, build_mobile_sam, build_sam
    from operators.networks.workflow import bundle_root, is_library_call

_MODULES = {
    "bundle": ("Bundle", "Models"),
    "classifier_network": ("ClassifierNetwork",),
    "configuration": ("read_config",),
    "fitted": ("Fitted",),
    "loading": ("load_bundle", "load_classifier", "load_segmenter"),
    "map_classifier": ("MapClassifier",),
    "paper_networks": ("FrozenBackbone", "RandomBaseline", "SmallCnn"),
    "sam_networks": ("PyramidImageEncoder", "TinyViTImageEncoder", "build_mobile_sam", "build_sam"),
    "workflow": ("bundle_root", "is_library_call"),
}
__all__ = [
    "Bundle",
    "ClassifierNetwork",
    "Fitted",
    "FrozenBackbone",
    "MapClassifier",
    "Models",
    "PyramidImageEncoder",
    "RandomBaseline",
    "SmallCnn",
    "TinyViTImageEncoder",
    "build_mobile_sam",
    "build_sam",
    "bundle_root",
    "is_library_call",
    "load_bundle",
    "load_classifier",
    "load_segmenter",
    "read_config",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
