"""A data set's description as Markdown, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from training.datasets.description import Count, Description, Duplicate
from training.datasets.description_plots import draw_bars

_LISTED = 50  # problems and duplicates on the page; description.json has them all
_SPLIT_COLUMNS = (
    *("split", "images", "studies", "patients", "abnormal images"),
    *("hardware", "with mask", "with boxes", "views"),
)


def markdown(description: Description) -> str:
    """Return the description as a Markdown page."""
    sections = [
        f"# {description.data}",
        "## Images, studies and patients by body part and split\n\nEach number: normal / abnormal.",
        _table(("body part", "split", "images", "studies", "patients", "abnormal images"), _counts(description.counts)),
        "## Splits",
        _table(_SPLIT_COLUMNS, _splits(description)),
        "## Sizes\n\nIn pixels.",
        _table(
            ("", "smallest", "median", "largest"),
            (
                (name, spread.smallest, f"{spread.median:g}", spread.largest)
                for name, spread in description.sizes.items()
            ),
        ),
        f"## Images that cannot be used: {len(description.problems)}",
        *_list([f"{file}{f', row {row}' if row else ''}: {why}" for file, row, why in description.problems]),
        f"## Sets of identical images: {len(description.duplicates)}, "
        f"across splits: {sum(duplicate.crosses_splits for duplicate in description.duplicates)}",
        *_list([_duplicate(duplicate) for duplicate in description.duplicates]),
    ]
    return "\n\n".join(sections) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def _list(lines: Sequence[str]) -> list[str]:
    """Return a Markdown list, shortened, or nothing where there is nothing to list."""
    shown = [f"- {line}" for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(f"- and {len(lines) - _LISTED} more, all in description.json")
    return ["\n".join(shown)] if shown else []


def _counts(counts: Sequence[Count]) -> Iterator[tuple[object, ...]]:
    for normal, abnormal in zip(counts[::2], counts[1::2], strict=True):
        yield (
            normal.body_part,
            normal.split,
            *(f"{getattr(normal, unit)} / {getattr(abnormal, unit)}" for unit in ("images", "studies", "patients")),
            _share(abnormal.images, normal.images + abnormal.images),
        )


def _splits(description: Description) -> Iterator[tuple[object, ...]]:
    for facts in description.splits:
        views = ", ".join(f"{view} {number}" for view, number in facts.views.items())
        abnormal = f"{facts.abnormal} ({_share(facts.abnormal, facts.images)})"
        amount = (facts.images, facts.studies, facts.patients)
        yield facts.split, *amount, abnormal, facts.hardware, facts.with_mask, facts.with_boxes, views


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _duplicate(duplicate: Duplicate) -> str:
    files = "; ".join(f"{file}, row {row} ({split}, {label})" for file, row, split, label in duplicate.files)
    marks = [
        mark
        for mark, holds in (("across splits", duplicate.crosses_splits), ("both classes", duplicate.contradicts))
        if holds
    ]
    return f"**{', '.join(marks)}**: {files}" if marks else files


def write_description(description: Description, folder: Path) -> None:
    """Write description.md, description.json and description.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "description.md").write_text(
        markdown(description) + "\n![Images by body part](description.png)\n", "utf-8"
    )
    (folder / "description.json").write_text(json.dumps(asdict(description), indent=1) + "\n", "utf-8")
    draw_bars(description.counts, description.data, folder / "description.png")
