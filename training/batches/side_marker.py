"""A side marker burnt into a training image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable
from PIL import Image, ImageDraw
from torch import Tensor


class RandSideMarker(Randomizable):
    """Burn a side marker into an item's ``image`` (1, rows, columns) at random; letters are no findings.

    Parameters
    ----------
    prob
        Share of the images that get one.
    largest
        Largest height of the letter, pixels.
    """

    def __init__(self, prob: float, largest: int) -> None:
        self.prob = prob
        self.largest = largest

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the item, or a copy with a marker as bright as the image's brightest pixel."""
        if self.R.random() >= self.prob:
            return dict(item)
        image: Tensor = item["image"].clone()
        size = int(self.R.randint(8, self.largest))
        letter = Image.new("L", (size, size), 0)
        ImageDraw.Draw(letter).text((1, 0), str(self.R.choice(list("RLAP"))), fill=255, font_size=size * 0.9)
        turned = letter.rotate(float(self.R.choice([0, 0, 0, 90, 180])) + self.R.uniform(-8, 8))
        stamp = np.asarray(turned, np.float32)[:, :: int(self.R.choice([1, 1, -1]))] / 255
        top, left = (int(self.R.randint(0, max(1, side - size))) for side in image.shape[1:])
        place = image[0, top : top + size, left : left + size]
        mark = torch.from_numpy(stamp[: place.shape[0], : place.shape[1]].copy()) > 0.5
        place[mark] = float(image.max())
        return {**item, "image": image}
