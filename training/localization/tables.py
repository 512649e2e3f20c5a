"""The benchmark as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from training.evaluation.metrics import Estimate
from training.evaluation.text_tables import NONE, Table, number
from training.localization.arm_measures import ABNORMAL, ALL
from training.localization.arms import OUTLINES
from training.localization.froc import FALSE_BOXES
from training.localization.images import Images, list_strata
from training.localization.rows import RECALL_IOUS
from training.localization.summary import ArmResult

Columns = Mapping[str, str]  # measure -> heading
MAIN: Columns = {
    "pointing_game": "pointing game",
    "box_recall_0.3": "box recall, IoU .3",
    "false_boxes_per_abnormal_image": "false boxes per abnormal image",
    f"sensitivity_at_1_false_boxes_{ALL}": "found at 1 false box per image",
    "dice_given": "Dice, given boxes",
    "dice_own": "Dice, own boxes",
    "dice_own_gated": "Dice, own boxes, gated",
}
WHOLE: Columns = {
    "pointing_game": "pointing game",
    "pointing_game_box": "in the expert's box",
    **{f"box_recall_{iou:g}": f"recall, IoU {iou:g}" for iou in RECALL_IOUS},
    "false_boxes_per_abnormal_image": "false boxes per abnormal image",
    "boxes_per_normal_image": "boxes per normal image",
    "box_recall_0.3_gated": "recall, IoU 0.3, gated",
    "false_boxes_per_abnormal_image_gated": "false boxes per abnormal image, gated",
    "boxes_per_normal_image_gated": "boxes per normal image, gated",
}
FROC: Columns = {
    f"sensitivity_at_{level:g}_false_boxes_{kind}": f"{level:g}, {name}"
    for kind, name in ((ALL, "all images"), (ABNORMAL, "abnormal images"))
    for level in FALSE_BOXES
}
MASKS: Columns = {
    f"{measure}_{kind}": f"{name}, {boxes}"
    for kind, boxes in (("given", "given boxes"), ("own", "own boxes"), ("own_gated", "own boxes, gated"))
    for measure, name in (("dice", "Dice"), ("iou", "IoU"), ("hd95", "HD95, px"))
}
BOX_NOTE = (
    "At the operating point that was fitted, the gate open; gated: no box where the classifier calls the image normal. "
    "A false box meets no finding, or one that another box has found, at an IoU of at least .3."
)
FROC_NOTE = (
    "Share of the findings met at an IoU of at least .3, with so many false boxes per image; boxes of all images "
    "ranked by their score, gate open. A map without a scale of its own (all but CAM of one stage) gives every "
    "image's first box a score near 1, so that it hardly ranks images."
)
MASK_NOTE = (
    "Union of all outlines against the expert's mask. Given boxes: the expert's; own boxes: the application's. Gated: "
    "an empty mask, Dice 0, where the classifier calls the image normal. HD95 is the median over the images, in pixels "
    "of the image; where nothing was outlined it is the image's diagonal."
)
AGREEMENT_NOTE = (
    "Dice of the outlines in the own boxes and the thresholded map on abnormal images that have no expert's mask. It "
    "says how alike two answers of the same model are, and nothing of whether they are right."
)


def benchmark_tables(results: Sequence[ArmResult], images: Images, title: str) -> list[Table]:
    """Return the tables; measures that no image allows are left out, and tables without a measure too.

    Where no finding is marked, agreement is all there is.
    """
    boxes, outlines = ([r for r in results if (r.arm.kind == OUTLINES) is kind] for kind in (False, True))
    found = [
        _main(results, images, title),
        _table("Boxes", boxes, WHOLE, BOX_NOTE),
        _table("FROC: sensitivity at false boxes per image", boxes, FROC, FROC_NOTE),
        _table("Outlines", outlines, MASKS, MASK_NOTE),
        *(
            _strata(f"{heading} {by}", of, images, kind, measure)
            for kind, by in (("body_part", "by body part"), ("size", "by fracture size"))
            for of, measure, heading in (
                (boxes, "pointing_game", "Pointing game"),
                (boxes, "box_recall_0.3", "Box recall, IoU 0.3,"),
                (outlines, "dice_given", "Dice, given boxes,"),
                (outlines, "dice_own", "Dice, own boxes,"),
            )
        ),
    ]
    agreement = _table(f"{title}: agreement", outlines, {"agreement": "Dice of outlines and map"}, AGREEMENT_NOTE)
    return [table for table in (*(found if images.abnormal.any() else ()), agreement) if table is not None]


def _main(results: Sequence[ArmResult], images: Images, title: str) -> Table:
    columns = measured_columns(results, MAIN)
    cells = []
    for result in results:
        seconds = (number(value, 2) for value in (result.seconds.find, result.seconds.outline))
        cells.append((*(_cell(result.overall.get(measure)) for measure in columns), *seconds))
    counts = f"{int(images.abnormal.sum())} abnormal images with a finding marked, {int(images.normal.sum())} normal"
    note = (
        f"{counts}; 95 % intervals over resampled patients, none below ten patients. Bold: what the application does. "
        "Seconds: median per image of what the arm needs alone on the machine that this ran on; finding is "
        "classification with the map's views, map and boxes. Gated: nothing is outlined where the classifier calls the "
        "image normal; all else is measured with the gate open."
    )
    return _with_heads(title, results, (*columns.values(), "seconds to find", "seconds to outline"), cells, note)


def _table(title: str, results: Sequence[ArmResult], columns: Columns, note: str) -> Table | None:
    present = measured_columns(results, columns)
    cells = [tuple(_cell(r.overall.get(measure)) for measure in present) for r in results]
    return _with_heads(title, results, tuple(present.values()), cells, note) if present else None


def _strata(title: str, results: Sequence[ArmResult], images: Images, kind: str, measure: str) -> Table | None:
    counts = {name: int((chosen & images.abnormal).sum()) for of, name, chosen in list_strata(images) if of == kind}
    known = {name for r in results for name, estimates in r.strata[kind].items() if _known(estimates.get(measure))}
    names = [name for name in counts if name in known]
    cells = [tuple(_cell(r.strata[kind][name].get(measure)) for name in names) for r in results]
    heads = tuple(f"{name} (n = {counts[name]})" for name in names)
    note = "n: abnormal images with a finding marked. No interval below ten patients."
    if kind == "size" and images.cuts is not None:
        note += f" Thirds by the mask's share of the image, cut at {images.cuts[0]:.2%} and {images.cuts[1]:.2%}."
    return _with_heads(title, results, heads, cells, note) if names else None


def _with_heads(
    title: str, results: Sequence[ArmResult], heads: tuple[str, ...], cells: Sequence[tuple[str, ...]], note: str
) -> Table:
    """Return a table of arms; what the application does is bold."""
    rows = []
    for result, label, values in zip(results, arm_labels(results), cells, strict=True):
        text = f"**{label}**" if result.default else label
        rows.append((result.arm.kind, f"{text} (`{result.arm.name}`)", *values))
    return Table(title, ("kind", "arm", *heads), tuple(rows), note)


def measured_columns(results: Sequence[ArmResult], columns: Columns) -> Columns:
    """Return the columns that some result has a value for."""
    return {m: heading for m, heading in columns.items() if any(_known(r.overall.get(m)) for r in results)}


def _known(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return NONE
    digits = 1 if estimate.value >= 10 else 3
    interval = "" if estimate.low is None else f" [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"
    return number(estimate.value, digits) + interval


def arm_labels(results: Sequence[ArmResult]) -> Iterable[str]:
    """Yield the title of each result's arm, after its classifier where there are several."""
    several = len({result.classifier for result in results}) > 1
    return (f"{r.classifier}: {r.arm.title}" if several else r.arm.title for r in results)
