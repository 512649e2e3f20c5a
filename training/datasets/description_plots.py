"""The picture of a data set: normal and abnormal images by body part, one panel for each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.datasets.description import CLASSES, Count
from training.datasets.manifest import SPLITS

# Blue and orange of Okabe and Ito, told apart with any colour vision; hatching tells them apart in print.
STYLE: dict[str, dict[str, Any]] = {
    "normal": {"color": "#0072B2"},
    "abnormal": {"color": "#E69F00", "hatch": "///", "edgecolor": "#7A5400"},
}
_BAR = 0.4  # of the distance between two body parts


def draw_bars(counts: Sequence[Count], title: str, path: Path) -> None:
    """Write grouped bars as PNG: images by body part and class, one panel per split, all on the same scale.

    Every ``mixed:...`` is one body part here, ``mixed``; the table tells them apart.
    """
    splits = [split for split in SPLITS if any(count.split == split for count in counts)]
    parts = sorted({_part(count) for count in counts})
    panels = max(1, len(splits))
    figure = Figure(figsize=(1.5 + panels * (1.2 + 0.5 * len(parts)), 4.5), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for panel, split in zip(axes, splits, strict=False):
        _draw_panel(panel, [count for count in counts if count.split == split], parts)
        panel.set_title(split)
    axes[0].set_ylabel("images")
    if counts:
        axes[0].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, metadata={"Software": None})


def _draw_panel(panel: Axes, counts: Sequence[Count], parts: Sequence[str]) -> None:
    for label, name in enumerate(CLASSES):
        images = Counter[str]()
        for count in counts:
            images[_part(count)] += count.images if count.label == name else 0
        places = [place + (label - 0.5) * _BAR for place in range(len(parts))]
        bars = panel.bar(places, [images[part] for part in parts], _BAR, label=name, **STYLE[name])
        panel.bar_label(bars, fontsize=7, padding=1)
    panel.set_xticks(range(len(parts)), parts, rotation=45, ha="right", rotation_mode="anchor")
    panel.spines[["top", "right"]].set_visible(False)


def _part(count: Count) -> str:
    return count.body_part.split(":", maxsplit=1)[0]
