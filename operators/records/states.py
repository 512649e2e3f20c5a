"""The state that an image or a study ends in."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What became of an image or of a study; the values are those of ``result.json``."""

    NORMAL = "normal"
    DOUBT = "doubt"
    ABNORMAL = "abnormal"
    DECLINED = "declined"
    FAILED = "failed"


WORST_FIRST = (State.ABNORMAL, State.DOUBT, State.FAILED, State.DECLINED, State.NORMAL)
