"""What the configuration of a bundle may call: a closed table, ``_target_`` -> function or class.

A name that is not in the table is never imported. What is in it computes, and neither reads, writes, fetches nor
evaluates anything, whatever its arguments are. Where a library's own function could, the table holds one that cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import monai.transforms
import segment_anything
import timm
from segment_anything.modeling import Sam
from torch import nn

from operators.networks.map_classifier import MapClassifier
from operators.networks.paper_networks import FrozenBackbone, RandomBaseline, SmallCnn
from operators.networks.sam_networks import PyramidImageEncoder, TinyViTImageEncoder, build_mobile_sam, build_sam

# Transforms of one array. Not among them: what loads, saves or takes a function.
_TRANSFORMS = (
    "AdjustContrast",
    "Compose",
    "DivisiblePad",
    "EnsureChannelFirst",
    "HistogramNormalize",
    "Identity",
    "NormalizeIntensity",
    "RepeatChannel",
    "Resize",
    "ScaleIntensity",
    "ScaleIntensityRange",
    "ScaleIntensityRangePercentiles",
    "SpatialPad",
)
_NETWORKS = (
    FrozenBackbone,
    MapClassifier,
    PyramidImageEncoder,
    RandomBaseline,
    SmallCnn,
    TinyViTImageEncoder,
    build_mobile_sam,
    build_sam,
)
_PUBLISHED_SAMS = ("build_sam_vit_b", "build_sam_vit_l", "build_sam_vit_h")
# Arguments of timm.create_model that say how a network is built; others name files, addresses or code.
_TIMM_ARGUMENTS = frozenset(
    ("drop_path_rate", "drop_rate", "features_only", "global_pool", "img_size", "in_chans", "num_classes")
) | {"out_indices", "output_stride", "pad_type"}
_MODULES_OF_0_1 = {"operators.baselines.": "operators.networks."}


def component(target: str) -> Callable[..., Any] | None:
    """Return what a ``_target_`` stands for, or None if a bundle may not name it; bundles of 0.1 load as before."""
    for old, new in _MODULES_OF_0_1.items():
        target = new + target.removeprefix(old) if target.startswith(old) else target
    return COMPONENTS.get(target)


def _timm_model(model_name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Build an untrained network of timm's own; raise ValueError for what would read a file or the network."""
    refused = sorted(set(options) - _TIMM_ARGUMENTS)
    if refused or pretrained is not False:
        what = ", ".join(refused) or "pretrained"
        raise ValueError(f"timm.create_model must not get {what}: weights are the bundle's own")
    if not isinstance(model_name, str) or not timm.is_model(model_name):
        raise ValueError("timm.create_model must get the name of a model that timm itself holds")
    model: nn.Module = timm.create_model(model_name, pretrained=False, **options)
    return model


def _untrained(build: Callable[[], Sam]) -> Callable[[], Sam]:
    """Return a builder of segment_anything without its argument, a checkpoint that it would unpickle."""

    def build_untrained() -> Sam:
        return build()

    return build_untrained


COMPONENTS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(monai.transforms, name) for name in _TRANSFORMS},
    **{f"monai.transforms.{name}": getattr(monai.transforms, name) for name in _TRANSFORMS},
    **{f"operators.networks.{network.__name__}": network for network in _NETWORKS},
    **{f"segment_anything.{name}": _untrained(getattr(segment_anything, name)) for name in _PUBLISHED_SAMS},
    "timm.create_model": _timm_model,
}
