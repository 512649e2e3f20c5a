"""Network + image -> what its stages say of each view: features, and gradients of the logit where a map needs them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operators.networks.bundle import Bundle
from operators.records.errors import BundleError
from operators.records.geometry import PixelGeometry, scaled_size
from operators.records.images import FeatureStage, FeatureView
from operators.records.rules import MapRule

MULTIPLE = 32  # pixels: a scaled view is padded to a multiple of the strides that networks have


@dataclass(frozen=True, slots=True, eq=False)
class ForwardPass:
    """What one run of a network leaves: ``stages`` (1, channels, h, w) in the order they ran, ``output`` (1, 1) logit.

    The last stage is what the head pools. The graph reaches back to the first stage, so gradients can be asked for.
    """

    stages: tuple[Tensor, ...]
    output: Tensor

    def gradients(self) -> tuple[Tensor, ...]:
        """Return the gradients of the logit with respect to each stage; of a head that does not look, zeros."""
        if not self.output.requires_grad:
            return tuple(torch.zeros_like(stage) for stage in self.stages)
        with torch.enable_grad():  # an evaluator may have switched it off
            total = self.output.sum()
        return torch.autograd.grad(total, self.stages, retain_graph=True, materialize_grads=True)


def run(bundle: Bundle, image: Tensor, earlier: Sequence[str] = ()) -> ForwardPass:
    """Run a bundle's network once on an image (channels, height, width).

    The network has timm's interface: ``forward_features`` (batch, channels, h, w), ``forward_head`` (batch, 1) logits.

    Parameters
    ----------
    earlier
        Names of modules whose outputs are kept beside the last features; a graph is built from the first of them on.

    Raises
    ------
    BundleError
        If the network has no such module, or its features do not come from it.
    """
    network, stages = bundle.network, list[Tensor]()

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)  # what runs before the first stage needs no graph and no memory
        stages.append(output if stages else output.detach().requires_grad_(True))
        return stages[-1].clone()  # the next layer may write into it

    with torch.no_grad(), ExitStack() as hooks:
        for name in earlier:
            hooks.callback(_module(bundle, name).register_forward_hook(keep).remove)
        features: Tensor = network.forward_features(image[None])  # type: ignore[operator]
    if len(stages) != len(earlier) or (earlier and not features.requires_grad):
        raise BundleError(
            f"bundle {bundle.name}: its last features do not come from the stages {', '.join(earlier)}, each run once; "
            "correct localization.stages of metadata.json"
        )
    return head_pass(network, features, tuple(stages))


def head_pass(network: nn.Module, features: Tensor, earlier: tuple[Tensor, ...] = ()) -> ForwardPass:
    """Run the head of a network on its last features (1, channels, h, w)."""
    with torch.enable_grad():
        last = features if earlier else features.clone().detach().requires_grad_(True)
        output: Tensor = network.forward_head(last)  # type: ignore[operator]
    return ForwardPass((*earlier, last), output)


def feature_views(
    bundle: Bundle, image: Tensor, geometry: PixelGeometry, rule: MapRule, plain: ForwardPass, *, gradients: bool
) -> tuple[FeatureView, ...]:
    """Return the views that a rule asks for, each with its stages, the plain one first.

    Parameters
    ----------
    image, geometry
        The pre-processed image (channels, height, width) with its padding, and where the radiograph lies in it.
    plain
        The run on ``image``; it is run again only where earlier stages are asked for that it has not kept.
    gradients
        Whether the map is made of gradients, so that the stages hold them.

    Raises
    ------
    BundleError
        If the metadata name too few stages, a stage has no square cells, or the network takes no other size.
    """
    earlier = stage_names(bundle, rule)
    if len(plain.stages) != len(earlier) + 1:
        plain = run(bundle, image, earlier)
    views = [
        FeatureView(stages_of(bundle, plain, image, plain.gradients() if gradients else None), geometry, flipped=False)
    ]
    for scale, flipped in rule.views[1:]:
        size = scaled_size(geometry, scale)
        seen = image if scale == 1 else _scaled(image, geometry, size)
        try:
            done = run(bundle, seen.flip(-1) if flipped else seen, earlier)
        except RuntimeError as error:
            raise BundleError(
                f"bundle {bundle.name}: its network takes no image of {seen.shape[-2]} x {seen.shape[-1]} pixels "
                f"({str(error).splitlines()[0]}); leave the map's scales at 1"
            ) from error
        where = replace(geometry, input_height=size[0], input_width=size[1])
        stages = stages_of(bundle, done, seen, done.gradients() if gradients else None, flipped=flipped)
        views.append(FeatureView(stages, where, flipped))
    return tuple(views)


def stage_names(bundle: Bundle, rule: MapRule) -> tuple[str, ...]:
    """Return the names of the modules whose outputs a rule uses beside the last features, the last ones named.

    Raises
    ------
    BundleError
        If the metadata name fewer.
    """
    named = bundle.fitted.stages
    if len(named) < rule.stages - 1:
        raise BundleError(
            f"bundle {bundle.name}: {rule.stages} stages of its map are asked for, metadata.json has {len(named) + 1}; "
            "add modules to localization.stages"
        )
    return named[len(named) - (rule.stages - 1) :]


def stages_of(
    bundle: Bundle,
    done: ForwardPass,
    image: Tensor,
    gradients: Sequence[Tensor] | None = None,
    *,
    flipped: bool = False,
) -> tuple[FeatureStage, ...]:
    """Return what a run on an image, or its mirror image, left; of the mirror image it is mirrored back.

    Raises
    ------
    BundleError
        If a stage is no map of square cells.
    """
    stages = []
    for features, gradient in zip(done.stages, gradients or (None,) * len(done.stages), strict=True):
        if features.ndim != 4:
            shape = " x ".join(map(str, features.shape))
            raise BundleError(f"bundle {bundle.name}: a stage of {shape} values is no map of cells; name another stage")
        stride = feature_stride(image.shape[-2:], features.shape[-2:], bundle.name)
        slopes = None if gradient is None else _array(gradient, flipped)
        stages.append(FeatureStage(_array(features, flipped), slopes, stride))
    return tuple(stages)


def feature_stride(input_size: Sequence[int], cells: Sequence[int], bundle: str) -> float:
    """Return the input pixels per cell of the features, the same down and across.

    Parameters
    ----------
    input_size, cells
        (height, width) of the network's input with its padding, and of its features. A single cell stands for the
        whole input, whatever its shape.
    bundle
        Name of the bundle, for the error's text.

    Raises
    ------
    BundleError
        If the stride differs down and across.
    """
    if tuple(cells) == (1, 1):
        return float(max(input_size))
    down, across = (pixels / count for pixels, count in zip(input_size, cells, strict=True))
    if down != across:
        raise BundleError(
            f"bundle {bundle}: its features have a stride of {down:g} rows and {across:g} columns; let its "
            "preprocessing pad the image to a multiple of the network's stride"
        )
    return down


def _module(bundle: Bundle, name: str) -> nn.Module:
    try:
        return bundle.network.get_submodule(name)
    except AttributeError as error:
        raise BundleError(
            f"bundle {bundle.name}: metadata.json names the stage {name}, which its network lacks; correct "
            "localization.stages"
        ) from error


def _scaled(image: Tensor, geometry: PixelGeometry, size: tuple[int, int]) -> Tensor:
    """Return the image without its padding at another (height, width), padded again with its smallest value."""
    inside = image[None, :, : geometry.input_height, : geometry.input_width]
    scaled = functional.interpolate(inside, size=size, mode="bilinear", antialias=True)[0]
    below, right = (-side % MULTIPLE for side in size)
    return functional.pad(scaled, (0, right, 0, below), value=float(scaled.min()))


def _array(values: Tensor, flipped: bool) -> NDArray[np.float32]:
    """Return (channels, h, w) float32 of a batch of one."""
    lies_right = values.detach()[0].flip(-1) if flipped else values.detach()[0]
    return lies_right.float().numpy().copy()
