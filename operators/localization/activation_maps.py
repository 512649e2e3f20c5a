"""Features and gradients -> the activation map, by one of five methods; several views and stages are averaged.

A method takes the ``features`` and the ``gradients`` of one stage, both (channels, h, w) float32, and returns the map
(h, w), of which the positive part counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from operators.records.geometry import scaled_size
from operators.records.images import Classification, FeatureView
from operators.records.rules import PLAIN, MapRule

Array = NDArray[np.float32]


def grad_cam(features: Array, gradients: Array) -> Array:
    """Weigh each channel by its mean gradient (Selvaraju et al., ICCV 2017)."""
    return _weighted(gradients.mean(axis=(1, 2)), features)


def grad_cam_plus_plus(features: Array, gradients: Array) -> Array:
    """Weigh each channel by its positive gradients, so that several findings count alike.

    Notes
    -----
    Chattopadhay et al., WACV 2018, equation 19, the closed form for exp(logit), both sides of the fraction divided by
    the squared gradient: no epsilon is needed, beside which small gradients would vanish. The form is made for features
    of at least 0; where others make the denominator 0 or less, the weight is 0.
    """
    denominator = 2 + features.sum(axis=(1, 2))[:, None, None] * gradients
    share = np.divide(1, denominator, out=np.zeros_like(gradients), where=(denominator > 0) & (gradients != 0))
    return _weighted((np.maximum(gradients, 0) * share).sum(axis=(1, 2)), features)


def layer_cam(features: Array, gradients: Array) -> Array:
    """Weigh each cell by its own positive gradient; it holds for early stages too (Jiang et al., TIP 2021)."""
    return np.asarray((np.maximum(gradients, 0) * features).sum(axis=0), np.float32)


def hires_cam(features: Array, gradients: Array) -> Array:
    """Weigh each cell by its own gradient (Draelos & Carin, 2020)."""
    return np.asarray((gradients * features).sum(axis=0), np.float32)


_BY_GRADIENTS: dict[str, Callable[[Array, Array], Array]] = {
    "grad_cam": grad_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "layer_cam": layer_cam,
    "hires_cam": hires_cam,
}


def activation_map(classification: Classification, rule: MapRule | None = None) -> Array:
    """Return the activation map, (h, w) float32 [0, 1], one value per cell of the plain view's last stage.

    CAM of one stage with a bias is a probability per cell: the views' logits are averaged before the sigmoid. Any other
    map has no absolute scale: each view's and each stage's is relative to its own maximum, and their mean is 1 only
    where all agree. Of CAM over several stages only the last has a linear layer; the earlier ones take Grad-CAM's
    weights. Of a normal image no more than the plain view was computed, so its map is the plain CAM.

    Parameters
    ----------
    classification
        What the map is made of.
    rule
        None: the rule that the image was classified by. Another one needs no more than that one computed.

    Raises
    ------
    ValueError
        If the image is not normal and was classified by another rule that lacks what this one needs.
    """
    rule = _computed(classification, rule)
    views = _views(classification, rule)
    linear = _is_linear(classification, rule)
    if linear and rule.stages == 1:
        return _probabilities(classification, views)
    maps = [_mean_of_views(classification, views, rule, stage) for stage in range(-rule.stages, 0)]
    if linear:
        maps[-1] = _relative(_probabilities(classification, views))
    return np.asarray(np.mean(maps, axis=0), np.float32)


def is_absolute(classification: Classification, rule: MapRule | None = None) -> bool:
    """Say whether the map is a probability per cell; else it is relative to its own maximum."""
    rule = _computed(classification, rule)
    return _is_linear(classification, rule) and rule.stages == 1


def made_rule(classification: Classification, rule: MapRule | None = None) -> MapRule:
    """Return the rule of the map that ``activation_map`` really makes of this image."""
    rule = _computed(classification, rule)
    if rule.method == "cam" and classification.feature_bias is None:
        return dataclasses.replace(rule, method="grad_cam")
    return rule


def _is_linear(classification: Classification, rule: MapRule) -> bool:
    return rule.method == "cam" and classification.feature_bias is not None


def _computed(classification: Classification, rule: MapRule | None) -> MapRule:
    """Return the rule, or the plain one for a normal image, of which no more was computed."""
    rule = classification.map_rule if rule is None else rule
    views = _views(classification, rule)
    stages = [stage for view in views for stage in view.stages[-rule.stages :]]
    complete = len(views) == len(_sizes(classification, rule)) and len(stages) == len(views) * rule.stages
    if complete and not (rule.needs_gradients and any(stage.gradients is None for stage in stages)):
        return rule
    if classification.has_finding:
        raise ValueError(f"the image was classified without what {rule.name} needs; classify it by the same rule")
    return PLAIN


def _views(classification: Classification, rule: MapRule) -> tuple[FeatureView, ...]:
    """Return the rule's views of those that a classification has; another rule may have asked for more."""
    seen = [(view.geometry.input_height, view.geometry.input_width, view.flipped) for view in classification.views]
    return tuple(classification.views[seen.index(size)] for size in _sizes(classification, rule) if size in seen)


def _sizes(classification: Classification, rule: MapRule) -> dict[tuple[int, int, bool], None]:
    """Return the (height, width, flipped) of a rule's views, the plain one first."""
    return dict.fromkeys((*scaled_size(classification.geometry, scale), flipped) for scale, flipped in rule.views)


def _probabilities(classification: Classification, views: Sequence[FeatureView]) -> Array:
    """Return the CAM of a linear layer: the probability that each cell speaks for, of the views' mean logit."""
    logits = []
    for view in views:
        cells = _weighted(classification.feature_weights, view.stages[-1].features)
        logits.append(_onto_plain(_without_padding(cells, view, -1), view, -1, classification.views[0]))
    return np.asarray(expit(np.mean(logits, axis=0) + classification.feature_bias), np.float32)


def _mean_of_views(classification: Classification, views: Sequence[FeatureView], rule: MapRule, stage: int) -> Array:
    """Return the mean of one stage's maps, each relative to its own maximum."""
    maps = []
    for view in views:
        features, gradients = view.stages[stage].features, view.stages[stage].gradients
        if gradients is None:
            cells = _weighted(classification.feature_weights, features)
        else:
            cells = _BY_GRADIENTS.get(rule.method, grad_cam)(features, gradients)
        cells = _relative(_without_padding(cells, view, stage))
        maps.append(_onto_plain(cells, view, stage, classification.views[0]))
    return np.asarray(np.mean(maps, axis=0), np.float32)


def _weighted(weights: Array, features: Array) -> Array:
    return np.asarray(np.tensordot(weights, features, axes=1), np.float32)


def _relative(cells: Array) -> Array:
    """Return the positive part of a map, relative to its maximum; a map without one is 0."""
    positive = np.maximum(cells, 0)
    return np.asarray(positive / max(float(positive.max()), 1e-12), np.float32)


def _without_padding(cells: Array, view: FeatureView, stage: int) -> Array:
    """Return a map without the cells that lie wholly in the padding: no place for a finding."""
    geometry, stride = view.geometry, view.stages[stage].stride
    return cells[: math.ceil(geometry.input_height / stride), : math.ceil(geometry.input_width / stride)]


def _onto_plain(cells: Array, view: FeatureView, stage: int, plain: FeatureView) -> Array:
    """Resample a map without padding to the cells of the plain view's last stage, (h, w)."""
    here, there = view.geometry, plain.geometry
    stride, wanted = view.stages[stage].stride, plain.stages[-1].stride
    rows, columns = math.ceil(there.input_height / wanted), math.ceil(there.input_width / wanted)
    down = wanted / stride * here.scale_y / there.scale_y
    across = wanted / stride * here.scale_x / there.scale_x
    if down == across == 1:
        return cells
    stretched = _resampling(cells.shape[0], rows, down) @ cells
    return np.asarray(stretched @ _resampling(cells.shape[1], columns, across).T, np.float32)


def _resampling(cells: int, wanted: int, ratio: float) -> Array:
    """Return the (wanted, cells) matrix that resamples ``cells`` cells linearly, ``ratio`` of them to each wanted one.

    It is constant beyond the outermost centres; where several cells fall into one, all of them count.
    """
    position = np.clip((np.arange(wanted) + 0.5) * ratio - 0.5, 0, cells - 1)
    weights = np.maximum(1 - np.abs(position[:, None] - np.arange(cells)) / max(ratio, 1.0), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
