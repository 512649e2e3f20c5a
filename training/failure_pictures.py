"""Where a classifier errs, shown on phantoms: no image of a data set may be published with a model card.

``python -m training.failure_pictures bundles/msk_resnet50`` writes ``docs/failures.png`` into the bundle.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from pydicom.dataset import Dataset
from tqdm import tqdm

from operators.classification.classify import classify
from operators.localization.localize import localize
from operators.networks.bundle import Bundle
from operators.networks.loading import load_classifier
from operators.records.images import Localization, Radiograph
from operators.records.sources import SourceFile, SourceImage
from operators.records.states import State
from training.datasets.errors import or_exit
from training.datasets.phantoms import FINDINGS, Phantom, draw_phantom, mask_box

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

ROWS, COLUMNS = 480, 384  # of a phantom, pixels
SHOWN = 3  # of each kind of error
TRUTH, FOUND = "#56b4e9", "#e69f00"  # Okabe-Ito: told apart by the colour-blind


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A phantom and the classifier's result for it."""

    phantom: Phantom
    localization: Localization

    @property
    def probability(self) -> float:
        """Probability [0, 1] of "abnormal"."""
        return self.localization.classification.probability


def try_phantoms(bundle: Bundle, count: int, seed: int) -> list[Tried]:
    """Classify ``count`` phantoms, half of them without a finding, that no training has seen (its seeds are small)."""
    fitted = bundle.fitted
    tried = []
    for index in tqdm(range(count), unit="phantom", disable=not sys.stderr.isatty()):
        finding = "none" if index % 2 == 0 else FINDINGS[1 + (index // 2) % 3]
        phantom = draw_phantom(seed * 1_000_000 + index, finding, ROWS, COLUMNS)
        file = SourceFile(Path(str(index)), str(index))
        source = SourceImage(file, Dataset(), str(index), None, None, None, None, True)
        classification = classify(Radiograph(source, phantom.pixels), bundle, fitted.maps)
        tried.append(Tried(phantom, localize(classification, fitted.boxes)))
    return tried


def worst(tried: Sequence[Tried], count: int = SHOWN) -> list[Tried]:
    """Return the findings with the lowest probability, then the phantoms without a finding with the highest."""
    ordered = sorted(tried, key=lambda each: each.probability)
    missed = [each for each in ordered if each.phantom.finding != "none"][:count]
    return missed + [each for each in reversed(ordered) if each.phantom.finding == "none"][:count]


def draw(shown: Sequence[Tried], title: str, path: Path) -> None:
    """Write the phantoms side by side with heat map, the finding's box (dashed) and the boxes found (solid)."""
    columns = math.ceil(len(shown) / 2)
    figure, axes = plt.subplots(2, columns, figsize=(2.6 * columns, 7.0), squeeze=False)
    for axis, each in zip(axes.flat, shown, strict=False):
        axis.imshow(each.phantom.pixels, cmap="gray", vmin=0, vmax=1)
        axis.imshow(each.localization.heatmap, cmap="inferno", alpha=0.35, vmin=0, vmax=1)
        if each.phantom.mask.any():
            left, top, right, bottom = mask_box(each.phantom.mask)
            axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=TRUTH, ls="--", lw=1.5))
        for box in each.localization.boxes:
            axis.add_patch(Rectangle((box.left, box.top), box.width, box.height, fill=False, ec=FOUND, lw=1.5))
        state = each.localization.classification.state
        axis.set_title(f"{each.phantom.finding}: {each.probability:.2f}, {state}", fontsize=9)
        axis.set_axis_off()
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=72, metadata={"Software": ""})
    plt.close(figure)


def summary(tried: Sequence[Tried]) -> str:
    """Return how the states fell, in one line."""
    parts = []
    for name, wanted in (("with a finding", True), ("without", False)):
        states = [t.localization.classification.state for t in tried if (t.phantom.finding != "none") is wanted]
        counts = ", ".join(f"{states.count(state)} {state}" for state in (State.NORMAL, State.DOUBT, State.ABNORMAL))
        parts.append(f"{len(states)} {name}: {counts}")
    brightest = np.mean([t.probability for t in tried])
    return f"{'; '.join(parts)}; mean probability {brightest:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Draw a bundle's worst errors on phantoms."""
    parser = argparse.ArgumentParser(prog="python -m training.failure_pictures", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=987)
    parser.add_argument("--output", type=Path, help="default: docs/failures.png in the bundle")
    sys.stdout.write(or_exit(draw_failures, parser.parse_args(arguments)))
    return 0


def draw_failures(options: argparse.Namespace) -> str:
    """Draw the worst errors and return one line about all phantoms."""
    tried = try_phantoms(load_classifier(options.bundle), options.count, options.seed)
    path = options.output or options.bundle / "docs" / "failures.png"
    title = f"{options.bundle.resolve().name} on phantoms: findings given least (top), none given most (bottom)"
    draw(worst(tried), title, path)
    return f"{path}: {summary(tried)}\n"


if __name__ == "__main__":
    sys.exit(main())
