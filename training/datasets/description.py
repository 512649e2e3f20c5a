"""What is in a data set: counts, sizes, what cannot be decoded, and which images are the same to the pixel."""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from training.datasets.dataset import first_line
from training.datasets.manifest import SPLITS, ImageRecord, Problem, Table

CLASSES = ("normal", "abnormal")  # by label
UNKNOWN = "not given"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image: its size in pixels and a hash of its grey values."""

    columns: int
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Count:
    """How much of one class a body part has in a split; a study or patient with an abnormal image is abnormal."""

    body_part: str
    split: str
    label: str
    images: int
    studies: int
    patients: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, median and largest of a number of pixels."""

    smallest: int
    median: float
    largest: int


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """The numbers of one split; ``views`` counts images, one that is not named is UNKNOWN."""

    split: str
    images: int
    studies: int
    patients: int
    abnormal: int
    hardware: int
    with_mask: int
    with_boxes: int
    views: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Files with the same pixels; each is named as file, row, split and class."""

    files: tuple[tuple[str, int, str, str], ...]

    @property
    def crosses_splits(self) -> bool:
        """Whether the same image is trained on and tested on."""
        return len({split for _, _, split, _ in self.files}) > 1

    @property
    def contradicts(self) -> bool:
        """Whether the same image is called normal and abnormal."""
        return len({label for _, _, _, label in self.files}) > 1


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a data set; files are named relative to its folder."""

    data: str
    counts: tuple[Count, ...]
    splits: tuple[SplitFacts, ...]
    sizes: Mapping[str, Spread]
    duplicates: tuple[Duplicate, ...]
    problems: tuple[tuple[str, int, str], ...]


def describe(table: Table, root: Path) -> Description:
    """Decode every image and count.

    Parameters
    ----------
    root
        The data set's folder; files are named relative to it.
    """
    decoded = decode_all([record.path for record in table.records])
    pairs = list(zip(table.records, decoded, strict=True))
    whole = [(record, seen) for record, seen in pairs if isinstance(seen, Decoded)]
    broken = [Problem(record.path, seen, record.row) for record, seen in pairs if isinstance(seen, str)]
    problems = sorted((*table.problems, *broken), key=lambda problem: (problem.row, problem.path))
    records = [record for record, _ in whole]
    return Description(
        data=root.resolve().name,
        counts=tuple(count(records)),
        splits=tuple(_facts(split, records) for split in SPLITS if any(r.split == split for r in records)),
        sizes=_sizes([seen for _, seen in whole]),
        duplicates=tuple(find_duplicates(whole, root)),
        problems=tuple((_name(problem.path, root), problem.row, problem.reason) for problem in problems),
    )


def decode_all(paths: Sequence[Path]) -> list[Decoded | str]:
    """Decode images on all processors; where that fails, the reason stands in place of the result."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = pool.map(decode, paths)
        return list(tqdm(seen, "decode", len(paths), unit="image", disable=not sys.stderr.isatty(), leave=False))


def decode(path: Path) -> Decoded | str:
    """Decode one image, or say why it cannot be decoded."""
    try:
        with Image.open(path) as image:
            # As training reads it: three equal colour channels are the same picture as one.
            grey = image if image.mode.startswith("I") else image.convert("L")
            digest = hashlib.blake2b(grey.tobytes(), digest_size=16, key=grey.mode.encode()).hexdigest()
            return Decoded(*grey.size, digest)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be decoded: {first_line(error, path)}"


def count(records: Iterable[ImageRecord]) -> list[Count]:
    """Count images, studies and patients by body part, split and class."""
    records = list(records)
    counts = []
    for part, split in sorted(
        {(r.body_part, r.split) for r in records}, key=lambda key: (key[0], SPLITS.index(key[1]))
    ):
        chosen = [record for record in records if (record.body_part, record.split) == (part, split)]
        images = Counter(record.label for record in chosen)
        studies = _count_labels((record.study, record.label) for record in chosen)
        patients = _count_labels((record.group, record.label) for record in chosen)
        counts += [
            Count(part or UNKNOWN, split, name, images[label], studies[label], patients[label])
            for label, name in enumerate(CLASSES)
        ]
    return counts


def _count_labels(members: Iterable[tuple[str, int]]) -> Counter[int]:
    """Count groups by label; one abnormal member makes the group abnormal."""
    labels: dict[str, int] = {}
    for group, label in members:
        labels[group] = max(label, labels.get(group, 0))
    return Counter(labels.values())


def _facts(split: str, records: Iterable[ImageRecord]) -> SplitFacts:
    chosen = [record for record in records if record.split == split]
    return SplitFacts(
        split=split,
        images=len(chosen),
        studies=len({record.study for record in chosen}),
        patients=len({record.group for record in chosen}),
        abnormal=sum(record.label for record in chosen),
        hardware=sum(record.hardware for record in chosen),
        with_mask=sum(record.mask is not None for record in chosen),
        with_boxes=sum(bool(record.boxes) for record in chosen),
        views=dict(Counter(record.view or UNKNOWN for record in chosen).most_common()),
    )


def _sizes(decoded: Sequence[Decoded]) -> dict[str, Spread]:
    measures = {
        "rows": [image.rows for image in decoded],
        "columns": [image.columns for image in decoded],
        "long side": [max(image.rows, image.columns) for image in decoded],
    }
    return {name: Spread(min(sizes), statistics.median(sizes), max(sizes)) for name, sizes in measures.items() if sizes}


def find_duplicates(images: Iterable[tuple[ImageRecord, Decoded]], root: Path) -> list[Duplicate]:
    """Return the sets of images that are the same to the pixel, those that cross splits first."""
    same: dict[Decoded, list[ImageRecord]] = {}
    for record, decoded in images:
        same.setdefault(decoded, []).append(record)
    found = [
        Duplicate(tuple((_name(r.path, root), r.row, r.split, CLASSES[r.label]) for r in records))
        for records in same.values()
        if len(records) > 1
    ]
    return sorted(found, key=lambda duplicate: (not duplicate.crosses_splits, not duplicate.contradicts))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
