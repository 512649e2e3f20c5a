"""Which patients are held out for validation and test, where a data set brings no such split of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


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


def _hash(seed: str, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
