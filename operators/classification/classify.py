"""Radiograph + bundle -> classification: probability, state, and the features that the activation map is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from torch import Tensor, nn

from operators.classification.forward_pass import ForwardPass, feature_views, head_pass, run, stage_names, stages_of
from operators.networks.bundle import Bundle
from operators.records.codes import ABNORMALITY
from operators.records.geometry import PixelGeometry, geometry_of
from operators.records.images import Classification, FeatureView, Opinion, Radiograph
from operators.records.operating_points import OperatingPoints
from operators.records.reasons import DoubtReason
from operators.records.rules import NOT_TURNED, PLAIN, MapRule, TurnRule
from operators.records.states import State


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A radiograph as a bundle's network saw it: ``image`` (channels, height, width) with its padding."""

    image: Tensor
    geometry: PixelGeometry
    done: ForwardPass


def classify(
    radiograph: Radiograph, bundle: Bundle, rule: MapRule = PLAIN, *, everything: bool = False
) -> Classification:
    """Classify one radiograph with one bundle, as ``classify_together`` does."""
    return classify_together(radiograph, (bundle,), rule, everything=everything)


def classify_together(
    radiograph: Radiograph,
    bundles: Sequence[Bundle],
    rule: MapRule = PLAIN,
    *,
    everything: bool = False,
    turns: TurnRule = NOT_TURNED,
) -> Classification:
    """Classify one radiograph with several bundles: the mean of their probabilities by the mean of their points.

    Where one bundle calls the image normal and another abnormal, by its own operating points, the image is in doubt
    whatever the mean. The first bundle gives the features, and so the heat map. A radiograph with reasons for doubt is
    in doubt where it would be normal.

    Parameters
    ----------
    rule
        The map that will be made. Its further views, earlier stages and gradients are computed only where there is a
        finding to show; probability and state come from the plain view alone.
    everything
        Compute them for images without a finding too.
    turns
        Whether a radiograph that would be normal is looked at turned, too.

    Raises
    ------
    BundleError
        If the first network cannot give what the rule asks for, or a cell of its features is no square.
    """
    earlier = stage_names(bundles[0], rule)
    seen = [_see(radiograph, bundle, earlier if everything and bundle is bundles[0] else ()) for bundle in bundles]
    opinions = tuple(_opinion(one.done, bundle) for one, bundle in zip(seen, bundles, strict=True))
    probability = fmean(opinion.probability for opinion in opinions)
    first, scale = seen[0], bundles[0].fitted.calibration
    weights, bias = feature_weights(bundles[0].network, first.done.stages[-1])
    together = Classification(
        radiograph=radiograph,
        probability=probability,
        state=image_points(*bundles).state(probability),
        views=(FeatureView(stages_of(bundles[0], first.done, first.image), first.geometry, flipped=False),),
        feature_weights=weights / np.float32(scale.temperature),
        feature_bias=None if bias is None else bias / scale.temperature + scale.bias,
        opinions=opinions,
        map_rule=rule,
    )
    if together.disputed:
        together = dataclasses.replace(together, state=State.DOUBT)
    if together.state == State.NORMAL:
        together = _vouched_for(together, bundles, turns)
    if rule == PLAIN or not (together.has_finding or everything):
        return together
    gradients = rule.needs_gradients or bias is None  # a linear layer's weights are the same in every view
    views = feature_views(bundles[0], first.image, first.geometry, rule, first.done, gradients=gradients)
    return dataclasses.replace(together, views=views)


def _vouched_for(normal: Classification, bundles: Sequence[Bundle], turns: TurnRule) -> Classification:
    """Return a classification that is normal by its probability, in doubt if there is a reason for it."""
    radiograph = normal.radiograph
    if turns.check and not radiograph.doubts and _is_abnormal_turned(radiograph, bundles):
        radiograph = radiograph.doubted(DoubtReason.ABNORMAL_WHEN_TURNED, accepted=turns.accepted)
    if not radiograph.doubts:
        return dataclasses.replace(normal, radiograph=radiograph)
    return dataclasses.replace(normal, radiograph=radiograph, state=State.DOUBT, withheld=True)


def _is_abnormal_turned(radiograph: Radiograph, bundles: Sequence[Bundle]) -> bool:
    """Say whether a radiograph is abnormal when it is turned by one, two or three quarters.

    Against a header that says how the picture stands, only a probability half-way from the rule-in point to 1 counts.
    """
    field, threshold = radiograph.analysed, image_points(*bundles).rule_in
    if radiograph.source.states_orientation:
        threshold = (1 + threshold) / 2
    for more in (1, 3, 2):
        turned = dataclasses.replace(field, quarter_turns=(field.quarter_turns + more) % 4)
        looked_at = dataclasses.replace(radiograph, field=turned)
        opinions = [_opinion(_see(looked_at, bundle).done, bundle) for bundle in bundles]
        if fmean(opinion.probability for opinion in opinions) >= threshold:
            return True
    return False


def _see(radiograph: Radiograph, bundle: Bundle, earlier: Sequence[str] = ()) -> Seen:
    """Run a bundle's network on the plain view of a radiograph."""
    field = radiograph.analysed
    image = bundle.preprocess(field.of(radiograph.pixels))
    geometry = geometry_of(image.affine, radiograph.pixels.shape, field.window, field.quarter_turns)
    image = image.as_subclass(Tensor)
    return Seen(image, geometry, run(bundle, image, earlier))


def _opinion(done: ForwardPass, bundle: Bundle) -> Opinion:
    """Return what a bundle says by itself; raise ArithmeticError if that is no number, which has no state."""
    logit = float(done.output.detach())
    if not math.isfinite(logit):
        raise ArithmeticError(f"bundle {bundle.name}: the network's logit is no finite number")
    probability = bundle.fitted.calibration.probability(logit)
    return Opinion(bundle.name, logit, probability, image_points(bundle).state(probability))


def feature_weights(network: nn.Module, features: Tensor) -> tuple[NDArray[np.float32], float | None]:
    """Return what turns features into an activation map: (channels,) weights and a bias, or None without a scale.

    A linear layer whose pooled output is the logit is its own answer: the logit's gradient, summed over the map, is
    that layer's weights; a network with ``forward_map`` is made so. Any other head answers by its gradient's mean over
    the map, and a head whose logit does not depend on the features by zeros.

    Notes
    -----
    Zhou et al., CVPR 2016 (CAM); Selvaraju et al., ICCV 2017 (Grad-CAM), which for a pooled linear map gives the same
    weights up to a factor.
    """
    layer = network.get_classifier() if hasattr(network, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.weight.shape[:2] != (1, features.shape[1]):
        layer = None
    if layer is not None and hasattr(network, "forward_map"):
        return _linear_weights(layer)
    gradient = head_pass(network, features).gradients()[0][0].float()
    if layer is not None:
        weights, summed = layer.weight.detach().flatten().float(), gradient.sum(dim=(1, 2))
        if torch.allclose(summed, weights, rtol=1e-3, atol=1e-4 * float(weights.abs().max())):
            return _linear_weights(layer)
    return gradient.mean(dim=(1, 2)).numpy(), None


def _linear_weights(layer: nn.Linear | nn.Conv2d) -> tuple[NDArray[np.float32], float]:
    bias = 0.0 if layer.bias is None else float(layer.bias.detach())
    return layer.weight.detach().flatten().float().numpy().copy(), bias


def image_points(*bundles: Bundle) -> OperatingPoints:
    """Return the image-level operating points of a classifier, or of several together: their mean."""
    return _mean_of([bundle.fitted.image_points for bundle in bundles])


def study_points(*bundles: Bundle) -> OperatingPoints:
    """Return the study-level operating points of a classifier, or of several together: their mean."""
    return _mean_of([bundle.fitted.study_points for bundle in bundles])


def common_finding(*bundles: Bundle) -> Code:
    """Return what a classifier finds; of several that find different things, an abnormality."""
    findings = {bundle.fitted.finding for bundle in bundles}
    return findings.pop() if len(findings) == 1 else ABNORMALITY


def _mean_of(points: Sequence[OperatingPoints]) -> OperatingPoints:
    return OperatingPoints(fmean(each.rule_out for each in points), fmean(each.rule_in for each in points))
