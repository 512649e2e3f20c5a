"""Where a classifier's map is brightest, and its logit, for every image of a data set, as two tables.

In a cross-validation the tables of all folds together hold what each image gets from a network that has not seen it:
what a second look at the candidates, calibration and operating points can be fitted to.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from operators.classification.classify import classify
from operators.localization.activation_maps import activation_map
from operators.localization.boxes import find_peaks
from operators.networks.bundle import Bundle
from operators.networks.map_classifier import MapClassifier
from operators.records.rules import MapRule
from training.datasets.manifest import ImageRecord
from training.fitting.predictions import not_fitted, record_as_radiograph

SCORES, CANDIDATES = "scores.csv", "candidates.csv"
COUNT = 20  # candidates of an image
MAPS = MapRule(flips=True, scales=(0.75, 1.0))  # the application's


class OnDevice(nn.Module):
    """A map classifier whose features are computed on a device; the linear layer stays where the maps are made.

    Parameters
    ----------
    network
        Its encoder is moved to ``device``.
    """

    def __init__(self, network: MapClassifier, device: torch.device) -> None:
        super().__init__()
        self.network = network
        self.device = device
        for part in (network.encoder, network.lateral, network.merge):
            part.to(device)

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last features of images (batch, channels, height, width), on the processor."""
        return self.network.forward_features(image.to(self.device)).cpu()

    def forward_map(self, features: Tensor) -> Tensor:
        """Return the map of logits of ``forward_features``."""
        return self.network.forward_map(features)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logit of ``forward_features``."""
        return self.network.forward_head(features)

    def get_classifier(self) -> nn.Module:
        """Return the last, linear layer."""
        return self.network.get_classifier()  # type: ignore[no-any-return]


def write_candidates(
    bundle: Bundle,
    records: Sequence[ImageRecord],
    device: torch.device,
    output_dir: str | Path,
    fold: str | None = None,
) -> None:
    """Write ``scores.csv`` (file, fold, label, logit) and ``candidates.csv`` (file, fold, rank, x, y, value).

    ``x`` and ``y`` are pixels of the image as it is stored, ``value`` is the map's there, [0, 1]. Logit and map are as
    if nothing were fitted: temperature 1, bias 0.
    """
    plain = not_fitted(bundle)
    plain = dataclasses.replace(plain, network=OnDevice(plain.network, device))  # type: ignore[arg-type]
    scores, candidates = [], []
    for record in tqdm(records, unit="image", disable=not sys.stderr.isatty()):
        classification = classify(record_as_radiograph(record), plain, MAPS, everything=True)
        name = {"file": record.path.name, "fold": fold or ""}
        scores.append({**name, "label": record.label, "logit": round(classification.logit, 5)})
        peaks = find_peaks(classification, activation_map(classification, MAPS), COUNT)
        candidates += [
            {
                **name,
                "rank": rank,
                "x": (box.left + box.right) / 2,
                "y": (box.top + box.bottom) / 2,
                "value": float(f"{value:.5g}"),
            }
            for rank, (value, box) in enumerate(peaks, 1)
        ]
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    _write(Path(output_dir) / SCORES, ("file", "fold", "label", "logit"), scores)
    _write(Path(output_dir) / CANDIDATES, ("file", "fold", "rank", "x", "y", "value"), candidates)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
