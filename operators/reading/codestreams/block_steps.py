"""Steps between blocks: how a picture looks whose later blocks are all brighter, or darker, by the same amount."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Fitted on 150 images of FracAtlas at four qualities: 1 of 600 reaches the score, and 29 % of the flips that no other
# check finds do.
LEAST_SCORE: Final = 20.0
_LEAST_STEP, _FLOOR = 1.2, 0.15  # grey levels of 256; both are more where the means are coded more coarsely
_EDGE = 0.2  # of the columns: nearer to a side, a step cannot be told from the edge of a collimator
_STANDARD_ERROR = 1.86  # of a median, by the median absolute deviation, for one value
_AGREEMENT, _SLACK = 0.15, 0.2  # how much the steps of both parts may differ: share, grey levels
_PLACES = 64  # columns at which a step is looked for


def step_score(means: NDArray[np.float64], unit: float) -> float:
    """Return how surely the blocks from one on, in their coded order, are all shifted by one amount.

    At the first shifted block, the boundary runs below the row before in the columns from that block on, and below its
    own row in those before: a staircase. Across both parts the means step by the same amount; the edge of a collimator
    or of a plaster is straight, and of different heights.

    Parameters
    ----------
    means
        Mean of each block, (block rows, block columns), in grey levels of 256.
    unit
        What they are multiples of, in grey levels.

    Returns
    -------
    The step in standard errors, of the part where it is less clear; 0 where no two parts agree.
    """
    rows, columns = means.shape
    margin = max(4, round(columns * _EDGE))
    if rows < 6 or columns < 3 * margin:
        return 0.0
    jumps = np.diff(means, axis=0)
    excess = jumps[1:-1] - (jumps[:-2] + jumps[2:]) / 2  # beyond what the rows around let expect
    best = 0.0
    for column in range(margin, columns - margin + 1, max(1, columns // _PLACES)):
        left, left_score = _step(excess[1:, :column], unit)
        right, right_score = _step(excess[:-1, column:], unit)
        highest = np.maximum(np.abs(left), np.abs(right))
        agree = (np.sign(left) == np.sign(right)) & (np.abs(left - right) <= _AGREEMENT * highest + _SLACK)
        agree &= np.minimum(np.abs(left), np.abs(right)) >= max(_LEAST_STEP, unit)
        best = max(best, float(np.max(np.minimum(left_score, right_score), initial=0, where=agree)))
    return best


def _step(excess: NDArray[np.float64], unit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median of each row, and how many standard errors it is from zero."""
    medians = np.median(excess, axis=1)
    spread = np.median(np.abs(excess - medians[:, np.newaxis]), axis=1)
    errors = (_STANDARD_ERROR * spread + max(_FLOOR, unit / 2)) / np.sqrt(excess.shape[1])
    return medians, np.abs(medians) / errors
