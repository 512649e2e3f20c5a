"""The classifications of a study's images -> the state and the probability of the study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.records.images import Classification
from operators.records.operating_points import OperatingPoints
from operators.records.states import State
from operators.records.study import StudyOutcome


def summarise_study(
    images: Sequence[Classification], excluded: Sequence[State], points: OperatingPoints
) -> StudyOutcome:
    """Return a study's outcome: the mean of its views' probabilities, never normal while one view is abnormal.

    Where the classifiers disagree on a view, the study is not normal either, and abnormal only with an abnormal view.
    Nor is it normal while there is a reason to doubt one of its images.

    Parameters
    ----------
    images
        The classified images.
    excluded
        The states of the others: declined or failed.

    Notes
    -----
    The mean over views is the rule of MURA (Rajpurkar et al., 2017).
    """
    if not images:
        return StudyOutcome(State.FAILED if State.FAILED in excluded else State.DECLINED, None)
    probability = float(np.mean([image.probability for image in images]))
    state = points.state(probability)
    if state == State.NORMAL and any(image.state == State.ABNORMAL or image.doubts for image in images):
        return StudyOutcome(State.DOUBT, probability)
    if any(image.disputed for image in images) and not any(image.state == State.ABNORMAL for image in images):
        state = State.DOUBT
    return StudyOutcome(state, probability)
