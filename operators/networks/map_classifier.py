"""A classifier whose last layer is a linear map: its activation map needs no gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

POOLINGS = ("log_sum_exp", "average", "top_k", "attention")


def merge_top_down(stages: list[Tensor]) -> Tensor:
    """Add stages of the same number of channels, from the coarsest, the last, to the finest, the first."""
    merged = stages[-1]
    for finer in stages[-2::-1]:
        merged = finer + functional.interpolate(merged, size=finer.shape[-2:], mode="nearest")
    return merged


class MapClassifier(nn.Module):
    """Classify an image by pooling a linear map of its last features.

    A 1x1 convolution with one output turns the features into a map of logits, and a pooling of the map, by default a
    soft maximum, is the image's logit. Because the last layer is linear, ``features`` x ``feature_weights`` IS the
    class activation map; nothing has to be propagated back to get it.

    Parameters
    ----------
    encoder
        A timm model built with ``features_only=True``: (batch, channels, height, width) -> list of stages.
    feature_channels
        The stages are merged from the coarsest to the finest (feature pyramid) to this many channels; None: the last
        stage alone is what is pooled, and nothing is added to the encoder but the linear map.
    sharpness
        ``r`` of the pooling ``log(sum(exp(r * map))) / r``: the larger, the closer to the maximum. Sum, not mean:
        a finding counts the same in a small and in a large image.
    prior
        Probability that the map gives to an average cell before training.
    pooling
        ``log_sum_exp``; ``average``: what global average pooling and a linear layer compute; ``top_k``: mean of the
        brightest cells; ``attention``: mean weighted by a softmax over all cells, from a 1x1 convolution of the
        features. The average drowns a finding of one cell, the others do not.
    brightest
        ``k`` of ``top_k``, cells.

    Raises
    ------
    ValueError
        If there is no such pooling.

    Notes
    -----
    Feature pyramid: Lin et al., CVPR 2017. Log-sum-exp pooling: Pinheiro & Collobert, CVPR 2015. Attention: Ilse et
    al., ICML 2018.
    """

    def __init__(
        self,
        encoder: nn.Module,
        feature_channels: int | None = 128,
        sharpness: float = 2.0,
        prior: float = 0.01,
        *,
        pooling: str = "log_sum_exp",
        brightest: int = 8,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r}; known are {', '.join(POOLINGS)}")
        self.encoder = encoder
        self.sharpness = sharpness
        self.pooling = pooling
        self.brightest = brightest
        stages: Sequence[int] = encoder.feature_info.channels()  # type: ignore[operator, union-attr]
        self.lateral = nn.ModuleList()
        self.merge: nn.Module = nn.Identity()
        if feature_channels is not None:
            self.lateral.extend(nn.Conv2d(channels, feature_channels, 1) for channels in stages)
            self.merge = nn.Sequential(
                nn.Conv2d(feature_channels, feature_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(feature_channels),
                nn.ReLU(inplace=True),
            )
        channels = stages[-1] if feature_channels is None else feature_channels
        self.classifier = nn.Conv2d(channels, 1, 1)
        self.attention: nn.Module = nn.Conv2d(channels, 1, 1) if pooling == "attention" else nn.Identity()
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.constant_(self.classifier.bias, float(torch.logit(torch.tensor(prior))))  # type: ignore[arg-type]

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last features, (batch, channels, height / s, width / s), s = the finest stage's stride."""
        stages: list[Tensor] = self.encoder(image)
        if len(self.lateral) == 0:
            return self.merge(stages[-1])  # type: ignore[no-any-return]
        projected: list[Tensor] = []
        for index, convolution in enumerate(self.lateral):  # TorchScript takes no comprehension here
            projected.append(convolution(stages[index]))
        return self.merge(merge_top_down(projected))  # type: ignore[no-any-return]

    @torch.jit.export
    def forward_map(self, features: Tensor) -> Tensor:
        """Return the map of logits, (batch, 1, height / s, width / s), of ``forward_features``."""
        return self.classifier(features)  # type: ignore[no-any-return]

    @torch.jit.export
    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of ``forward_features``."""
        return self.pool(self.forward_map(features), features)

    def pool(self, logit_map: Tensor, features: Tensor) -> Tensor:
        """Return the image's logit, (batch, 1), of the map of logits and the features that it was made of."""
        cells = logit_map.flatten(2).float()
        if self.pooling == "average":
            return cells.mean(dim=2)
        if self.pooling == "top_k":  # a slice, unlike topk, may be longer than a small map
            return cells.sort(dim=2, descending=True)[0][:, :, : self.brightest].mean(dim=2)
        if self.pooling == "attention":
            return (torch.softmax(self.attention(features).flatten(2).float(), dim=2) * cells).sum(dim=2)
        return torch.logsumexp(cells * self.sharpness, dim=2) / self.sharpness

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def get_classifier(self) -> nn.Module:
        """Return the last, linear layer (timm's name for it)."""
        return self.classifier

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit of "abnormal", (batch, 1), of images (batch, channels, height, width)."""
        return self.forward_head(self.forward_features(image))
