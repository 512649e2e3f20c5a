"""From image records to the batches that a MONAI trainer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.inferers.inferer import Inferer
from monai.transforms import Randomizable
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from training.losses import MapTarget
from training.manifest import ImageRecord


def read_pixels(path: str) -> NDArray[np.float32]:
    """Read a PNG or JPEG image as (rows, columns) float32 [0, 1], grey."""
    with Image.open(path) as image:
        depth = 65535.0 if image.mode.startswith("I") else 255.0
        grey = image if image.mode.startswith("I") else image.convert("L")
        return np.asarray(grey, np.float32) / depth


def items(records: Iterable[ImageRecord]) -> list[dict[str, Any]]:
    """Return what MONAI data sets hold: one dictionary per image.

    ``guided`` says that the pixels of the finding are known: always so in a normal image.
    """
    return [
        {
            "image": str(record.path),
            "mask": str(record.mask) if record.mask else "",
            "label": float(record.label),
            "guided": record.label == 0 or record.mask is not None,
        }
        for record in records
    ]


class ReadImageAndMask:
    """Replace an item's paths by pixels: ``image`` float32 [0, 1] and ``mask`` 0 or 1, both (rows, columns)."""

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new item; without a mask file the mask is empty."""
        image = read_pixels(item["image"])
        mask = (read_pixels(item["mask"]) > 0).astype(np.float32) if item["mask"] else np.zeros_like(image)
        return {**item, "image": image, "mask": mask}


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


def prepare_map_batch(
    batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, MapTarget]:
    """Return (image, target) of a batch of crops.

    Where the finding's pixels are known, a crop is abnormal only if it holds some of them.
    """
    image, mask = (plain(batch[key]).to(device, non_blocking=non_blocking) for key in ("image", "mask"))
    guided = batch["guided"].to(device).bool()
    inside = mask.flatten(1).amax(dim=1) > 0
    label = torch.where(guided, inside, batch["label"].to(device) > 0).float()[:, None]
    return image, {"label": label, "mask": mask, "guided": guided}


def plain(tensor: Tensor) -> Tensor:
    """Drop MONAI's meta data, which slows every operation down."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


class AutocastInferer(Inferer):
    """Run the network in bfloat16 where that is faster: on GPUs, and on processors with AMX.

    Bfloat16 keeps float32's range, so no loss scaling is needed.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output; a tensor is float32 again, for metrics know no bfloat16."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            output = network(inputs, *args, **kwargs)
        return output.float() if isinstance(output, Tensor) else output


def bfloat16_is_fast() -> bool:
    """Say whether this machine multiplies matrices faster in bfloat16 than in float32."""
    return torch.cuda.is_available() or bool(torch.cpu._is_amx_tile_supported())


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Split the parameters for AdamW: no weight decay on biases and norm layers."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
