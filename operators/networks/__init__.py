"""Bundles and their networks.

The names here are public and stable: the configurations of bundles refer to them as ``operators.networks.<name>``.
"""

from operators.networks.bundle import Bundle, Models
from operators.networks.classifier_network import ClassifierNetwork
from operators.networks.configuration import read_config
from operators.networks.fitted import Fitted
from operators.networks.loading import load_bundle, load_classifier, load_segmenter
from operators.networks.map_classifier import MapClassifier
from operators.networks.paper_networks import FrozenBackbone, RandomBaseline, SmallCnn
from operators.networks.sam_networks import PyramidImageEncoder, TinyViTImageEncoder, build_mobile_sam, build_sam

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
    "load_bundle",
    "load_classifier",
    "load_segmenter",
    "read_config",
]
