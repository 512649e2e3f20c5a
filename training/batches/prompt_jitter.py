"""Random prompts: boxes with the errors that boxes have in use, points beside them, and the window that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from monai.transforms import Randomizable
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[np.float64]
Box = NDArray[np.float64]  # (4,): left, top, right, bottom
POSITIVE, NEGATIVE, NO_POINT = 1, 0, -1  # as segment_anything's prompt encoder has them
MAXIMUM_POINTS = 3
_FARTHEST = 2.5  # standard deviations; a box farther off shares nothing with the finding


class Prompt(TypedDict):
    """``box`` (batch, 4) left, top, right, bottom, ``points`` (batch, n, 2) x, y, network pixels; their labels."""

    box: Tensor
    points: Tensor
    point_labels: Tensor


@dataclass(frozen=True, slots=True)
class BoxErrors:
    """How far a prompted box is off: a mixture of what a careful hand does and of what our localizer does.

    Parameters
    ----------
    edge
        The hand's: standard deviation of each edge's shift, in sides of the box.
    own_share
        Probability of an error of the localizer's kind.
    own_shift, own_log_size
        The localizer's: standard deviations of the centre's shift, in sides of the box, and of the logarithm of each
        side's length.
    """

    edge: float = 0.05
    own_share: float = 0.35
    own_shift: float = 0.18
    own_log_size: float = 0.35

    def draw(self, box: Box, random: np.random.RandomState) -> Box:
        """Return a box with a random error."""
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        is_own = random.random_sample() < self.own_share
        normal = random.standard_normal(4).clip(-_FARTHEST, _FARTHEST)
        if not is_own:
            return np.asarray(box + self.edge * normal * np.tile(sides, 2))
        centre = (box[:2] + box[2:]) / 2 + self.own_shift * normal[:2] * sides
        half = sides * np.exp(self.own_log_size * normal[2:]) / 2
        return np.concatenate([centre - half, centre + half])


def draw_points(
    mask: NDArray[np.bool_], box: Box, shares: tuple[float, float], random: np.random.RandomState
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the points that go with a box, (3, 2) x, y of pixel centres, and their labels (3,).

    Parameters
    ----------
    mask
        The finding in the window, (side, side).
    shares
        Probabilities of the box's centre, and of a point in the mask with up to two points beside it, between the box
        and the box enlarged by half its sides; else no point.
    """
    points, labels = np.zeros((MAXIMUM_POINTS, 2), np.float32), np.full(MAXIMUM_POINTS, NO_POINT, np.int64)
    kind = random.random_sample()
    if kind < shares[0]:
        points[0], labels[0] = (box[:2] + box[2:]) / 2, POSITIVE
    elif kind < sum(shares) and mask.any():
        inside = np.flatnonzero(mask)
        place = inside[random.randint(len(inside))]
        points[0], labels[0] = (place % mask.shape[1] + 0.5, place // mask.shape[1] + 0.5), POSITIVE
        for index in range(1, 1 + random.randint(MAXIMUM_POINTS)):
            place = _place_around(box, random)
            column, row = np.floor(place).astype(int).clip(0, mask.shape[0] - 1)
            if not mask[row, column]:
                points[index], labels[index] = (column + 0.5, row + 0.5), NEGATIVE
    # the points first: a prompt of two points is the same whichever of three places is empty
    order = np.argsort(labels == NO_POINT, kind="stable")
    return points[order], labels[order]


def _place_around(box: Box, random: np.random.RandomState) -> Array:
    """Return a random (x, y) between a box and the box enlarged by half its sides."""
    place = random.uniform(-0.75, 0.75, 2)
    axis = random.randint(2)
    place[axis] = math.copysign(random.uniform(0.5, 0.75), place[axis])
    return np.asarray((box[:2] + box[2:]) / 2 + place * (box[2:] - box[:2]))


@dataclass(frozen=True, slots=True)
class WindowRange:
    """What may happen to a finding between image and window.

    Parameters
    ----------
    zoom
        Side of the window in longer sides of the prompted box, as the application has it.
    zoom_change, window_shift
        Largest change of the zoom, as a share, and largest distance of the window's centre from the box's, in sides of
        the window: what varies when several boxes vote on one window.
    rotation
        Largest angle, radians.
    stretch
        Largest stretch of an axis, as a share.
    smallest
        Least side of the window, original pixels.
    """

    zoom: float = 2.5
    zoom_change: float = 0.15
    window_shift: float = 0.03
    rotation: float = 0.8
    stretch: float = 0.2
    smallest: int = 32


class RandPromptedWindow(Randomizable):
    """Turn, stretch and flip a finding at random, prompt it with a box, and cut out the window that follows the box.

    Takes the items of ``training.batches.finding_sampling.cut_surroundings`` and gives ``image`` and ``mask``
    (1, size, size) float32, the image [0, 1], the mask 0 or 1; ``box``, ``points``, ``point_labels`` of a ``Prompt``.
    """

    def __init__(
        self,
        size: int,
        window: WindowRange,
        errors: BoxErrors,
        point_shares: tuple[float, float] = (0.2, 0.3),
    ) -> None:
        self.size = size
        self.window = window
        self.errors = errors
        self.point_shares = point_shares

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item."""
        turn = self._draw_turn()
        centre = item["outline"].mean(axis=0)
        outline = (item["outline"] - centre) @ turn.T
        prompt = self.errors.draw(np.concatenate([outline.min(axis=0), outline.max(axis=0)]), self.R)
        corner, side = self._draw_window(prompt, float(item["scale"]))
        to_cut = np.linalg.inv(turn)
        frame = np.column_stack([to_cut * side, to_cut @ corner + centre])  # window [0, 1] x [0, 1] -> cut
        image = sample(torch.from_numpy(item["image"])[None, None], frame, self.size)
        frame[:, 2] -= item["mask_place"]
        mask = sample(torch.from_numpy(item["mask"])[None, None], frame, self.size) >= 127.5
        box = (prompt - np.tile(corner, 2)) * (self.size / side)
        points, labels = draw_points(mask.numpy(), box, self.point_shares, self.R)
        return {
            "image": image[None] / 255,
            "mask": mask[None].float(),
            "box": torch.from_numpy(box.astype(np.float32)),
            "points": torch.from_numpy(points),
            "point_labels": torch.from_numpy(labels),
            "index": item["index"],
        }

    def _draw_turn(self) -> Array:
        """Return a (2, 2) matrix of x, y: rotation, stretch along the image's axes, flips."""
        angle = self.R.uniform(-self.window.rotation, self.window.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        stretch = np.exp(self.R.uniform(-1, 1, 2) * math.log1p(self.window.stretch))
        return np.asarray(np.array([[cos, -sin], [sin, cos]]) @ np.diag(stretch * self.R.choice([-1, 1], 2)))

    def _draw_window(self, prompt: Box, scale: float) -> tuple[Array, float]:
        """Return the window's top-left corner and its side, in the turned cut's pixels (``scale`` original ones)."""
        longer = float((prompt[2:] - prompt[:2]).max())
        side = max(self.window.zoom * longer, self.window.smallest / scale)
        side *= math.exp(self.R.uniform(-1, 1) * math.log1p(self.window.zoom_change))
        centre = (prompt[:2] + prompt[2:]) / 2 + self.R.uniform(-1, 1, 2) * self.window.window_shift * side
        return centre - side / 2, side


def sample(picture: Tensor, frame: Array, size: int) -> Tensor:
    """Return a parallelogram of a picture, (size, size) float32, bilinear, 0 beyond the picture.

    Parameters
    ----------
    picture
        (1, 1, height, width) uint8.
    frame
        (2, 3): from x, y in [0, 1] of the result to x, y of the picture, pixel edges.
    """
    corners = frame[:, :2] @ np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) + frame[:, 2:]
    limit = np.array(picture.shape[:1:-1])
    low = np.clip(np.floor(corners.min(axis=1)).astype(int) - 1, 0, limit - 1)  # the part that is needed, no more
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int) + 1, low + 1, limit)
    part = picture[..., low[1] : high[1], low[0] : high[0]].float()
    per_pixel = math.sqrt(abs(np.linalg.det(frame[:, :2]))) / size
    finer = max(1, round(per_pixel))  # a pixel that covers several is their mean
    centred = np.column_stack([frame[:, :2] / 2, frame @ [0.5, 0.5, 1] - low])
    theta = centred * (2 / (high - low))[:, None] - np.array([[0, 0, 1]])
    grid = functional.affine_grid(torch.from_numpy(theta)[None].float(), [1, 1, size * finer, size * finer], False)
    sampled = functional.grid_sample(part, grid, "bilinear", "zeros", align_corners=False)
    return functional.avg_pool2d(sampled, finer)[0, 0] if finer > 1 else sampled[0, 0]
