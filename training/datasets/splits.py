"""Which patients are held out: for validation and test where a data set brings no such split, and fold by fold."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping

from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord

FOLDS = "folds"  # the seed of their hash


def hold_out(strata: Mapping[str, str], share: float, seed: str) -> set[str]:
    """Choose a share of the groups of every stratum, by a hash of seed and name.

    Parameters
    ----------
    strata
        Group (patient) -> stratum, such as class and body part.
    share
        In [0, 1]. The nearest whole number of each stratum is chosen, and at least one of two or more, so that small
        data sets have every class and body part in every split.
    """
    members: dict[str, list[str]] = {}
    for group, stratum in strata.items():
        members.setdefault(stratum, []).append(group)
    chosen: set[str] = set()
    for groups in members.values():
        count = max(round(share * len(groups)), int(len(groups) > 1))
        chosen |= set(sorted(groups, key=lambda group: _hash(seed, group))[:count])
    return chosen


def in_fold(records: Iterable[ImageRecord], fold: str | None) -> list[ImageRecord]:
    """Split what a data set gives for training anew for a cross-validation; ``test`` stays as it is.

    ``train`` and ``val`` together are divided by group into folds with about the same share of abnormal images and of
    every body part. The fold that is named becomes ``val``, the others become ``train``.

    Parameters
    ----------
    fold
        Which one of how many, such as ``2/5``; None: the splits stay.

    Raises
    ------
    InputError
        If there is no such fold.
    """
    records = list(records)
    if fold is None:
        return records
    named = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", str(fold))
    if named is None or not 1 <= int(named[1]) <= int(named[2]) or int(named[2]) < 2:
        raise InputError(f"--fold {fold}: pass which one of how many, from 1/5 to 5/5 for five folds")
    held_out = _folds((record for record in records if record.split != "test"), int(named[2]))[int(named[1]) - 1]
    return [
        record
        if record.split == "test"
        else dataclasses.replace(record, split="val" if record.group in held_out else "train")
        for record in records
    ]


def _folds(records: Iterable[ImageRecord], count: int) -> list[set[str]]:
    """Deal the groups out to ``count`` folds, stratum by stratum, in the order of their hashes."""
    strata: dict[str, tuple[int, str]] = {}
    for record in sorted(records, key=lambda record: (-record.label, record.body_part)):
        strata.setdefault(record.group, (-record.label, record.body_part))
    order = sorted(strata, key=lambda group: (strata[group], _hash(FOLDS, group)))
    return [set(order[number::count]) for number in range(count)]


def _hash(seed: str, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
