"""The benchmark as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from training.evaluation.figures import BLUE, GREEN, GREY, ORANGE, SERIES, STYLE, png
from training.localization.arm_measures import ALL
from training.localization.arms import BOXES, MAPS, OUTLINES
from training.localization.froc import FALSE_BOXES
from training.localization.summary import ArmResult
from training.localization.tables import arm_labels, measured_columns

LINES = ("-", "--", ":", "-.")
HEADINGS = {
    MAPS: "FROC of ways to make the map, the application's boxes",
    BOXES: "FROC of ways to find boxes, on the application's map",
}
NOTE = (
    "Bold: what the application does. Bars: 95 % intervals over resampled patients, where there are ten or more. "
    "IoU and Dice: overlap of two areas, 0 to 1.\n"
    "FROC: the share of all findings that are met if so many false boxes per image are allowed; boxes of abnormal and "
    "normal images are ranked by their score.\n"
    "Pointing game: the share of abnormal images whose map is brightest inside the expert's mask."
)
Panel = tuple[str, Mapping[str, tuple[str, str, str]]]  # heading, {measure: (name in the legend, colour, marker)}
BOX_PANELS: tuple[Panel, ...] = (
    (
        "Pointing game",
        {"pointing_game": ("brightest point in the expert's mask", BLUE, "o")},
    ),
    ("Box recall, IoU at least .3", {"box_recall_0.3": ("findings that a box meets", BLUE, "o")}),
)
MASK_PANELS: tuple[Panel, ...] = (
    ("Dice, outlines in the expert's boxes", {"dice_given": ("abnormal images", BLUE, "o")}),
    (
        "Dice, outlines in the boxes found",
        {
            "dice_own": ("all abnormal images are outlined", ORANGE, "s"),
            "dice_own_gated": ("none where the classifier says normal", GREEN, "^"),
        },
    ),
    ("Agreement, not accuracy", {"agreement": ("outlines and map, no expert's mask", GREY, "D")}),
)


def draw(results: Sequence[ArmResult], title: str) -> bytes:
    """Return the picture as PNG: FROC curves at the left, dots with 95 % intervals of every arm at the right."""
    boxes, outlines = ([r for r in results if (r.arm.kind == OUTLINES) is kind] for kind in (False, True))
    blocks = [block for block in (_block(boxes, BOX_PANELS), _block(outlines, MASK_PANELS)) if block is not None]
    curves = [kind for kind in (MAPS, BOXES) if any(r.arm.kind == kind for r in boxes)]
    heights = [4.5 + len(rows) for rows, _ in blocks]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(17, max(2 + 0.33 * sum(heights), 5.6 * len(curves))), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=14, x=0.01, ha="left")
        figure.supxlabel(NOTE, fontsize=10, x=0.01, ha="left")
        widths = (1, 1.7) if curves else (1,)
        parts = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
        if curves:
            for axes, kind in zip(parts[0].subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
                _froc(axes, [r for r in boxes if r.arm.kind == kind], kind)
        if blocks:
            places = parts[-1].subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
            for place, (rows, panels) in zip(places, blocks, strict=True):
                _panels(place, rows, panels)
        return png(figure)


def _block(results: Sequence[ArmResult], panels: Sequence[Panel]) -> tuple[Sequence[ArmResult], list[Panel]] | None:
    """Return the arms with those panels that some of them has a value for, or None."""
    known = [panel for panel in panels if measured_columns(results, dict.fromkeys(panel[1], ""))]
    return (results, known) if known else None


def _froc(axes: Axes, results: Sequence[ArmResult], kind: str) -> None:
    axes.set_title(HEADINGS[kind], loc="left")
    axes.grid(color="#e3e7eb", linewidth=0.8)
    for place, (result, label) in enumerate(zip(results, arm_labels(results), strict=True)):
        false_boxes, sensitivity = result.curves[ALL]
        axes.plot(
            false_boxes,
            sensitivity,
            LINES[place // len(SERIES) % len(LINES)],
            color=SERIES[place % len(SERIES)],
            linewidth=3 if result.default else 1.6,
            label=f"{label} (the application's)" if result.default else label,
            drawstyle="steps-post",
        )
    axes.set(
        xlim=(0, 2.05),
        ylim=(0, 1),
        xlabel="false boxes per image",
        ylabel="findings that a box meets, IoU at least .3",
    )
    axes.set_xticks((0, *FALSE_BOXES))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=9)


def _panels(place: SubFigure, results: Sequence[ArmResult], panels: Sequence[Panel]) -> None:
    """Draw one row per arm, and beside each other what was measured of it."""
    row = place.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (heading, measures) in zip(row, panels, strict=True):
        _dots(axes, results, heading, measures)
    row[0].set_yticks(range(len(results)), list(arm_labels(results)))
    for label, result in zip(row[0].get_yticklabels(), results, strict=True):
        label.set_fontweight("bold" if result.default else "normal")
    row[0].set_ylim(len(results) - 0.5, -0.5)


def _dots(axes: Axes, results: Sequence[ArmResult], heading: str, measures: Mapping[str, tuple[str, str, str]]) -> None:
    axes.set_title(heading, loc="left")
    axes.grid(color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for place, (measure, (label, colour, marker)) in enumerate(measures.items()):
        offset = (place - (len(measures) - 1) / 2) * 0.3
        axes.plot([], [], marker, color=colour, label=label)  # the legend's entry, also where no arm has a value
        for row, result in enumerate(results):
            estimate = result.overall.get(measure)
            if estimate is None or estimate.value is None:
                continue
            axes.plot(
                estimate.value, row + offset, marker, color=colour, ms=8 if result.default else 5.5, clip_on=False
            )
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [row + offset] * 2, color=colour, lw=1.3)
    for row in range(1, len(results)):
        if results[row].arm.kind != results[row - 1].arm.kind:
            axes.axhline(row - 0.5, color=GREY, lw=0.8)
    axes.set_xlim(0, 1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), fontsize=9)
