"""Builders of Segment Anything Models for tests: a small one, and one whose decoder draws what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from monai.transforms import Compose, EnsureChannelFirst, RepeatChannel, Resize, ScaleIntensityRange
from torch import Tensor

from operators.networks.bundle import Bundle
from operators.networks.sam_networks import PyramidImageEncoder, build_sam
from tests.phantoms import tiny_bundle

SIDE = 64  # cells of the echo's masks


def compact(size: int = 128) -> Any:
    encoder = timm.create_model("mobilenetv2_035", features_only=True, out_indices=[2, 3, 4], pretrained=False)
    return build_sam(PyramidImageEncoder(encoder, size, 32), 32, size // 8, 64)


def preprocess(size: int = 128) -> Compose:
    return Compose(
        [
            EnsureChannelFirst(channel_dim="no_channel"),
            Resize(size, size_mode="longest", mode="area"),
            ScaleIntensityRange(0, 1, 0, 255),
            RepeatChannel(3),
        ]
    )


def compact_bundle(size: int = 128) -> Bundle:
    return tiny_bundle(compact(size), preprocess(size))


def drawn(box: Tensor, size: int, share: float = 1.0) -> Tensor:
    """Logits (SIDE, SIDE), 1 inside a box in network pixels, of ``share`` of its sides, and -1 outside."""
    left, top, right, bottom = box.tolist()
    cut_x, cut_y = (right - left) * (1 - share) / 2, (bottom - top) * (1 - share) / 2
    x = (torch.arange(SIDE) + 0.5) * size / SIDE
    in_x, in_y = (x > left + cut_x) & (x < right - cut_x), (x > top + cut_y) & (x < bottom - cut_y)
    return (in_y[:, None] & in_x[None]).float() * 2 - 1


class Blocks(torch.nn.Module):
    """An image encoder that costs nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.img_size = size

    def forward(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image[:, :1], 8).expand(-1, 32, -1, -1)


@dataclass
class Told:
    """What the prompt encoder was told in one call: ``boxes`` (n, 4), ``points`` (n, k, 2), ``labels`` (n, k)."""

    boxes: Tensor
    points: Tensor | None
    labels: Tensor | None


@dataclass
class Echo:
    """A bundle whose SAM draws its boxes; of its three masks the second is the box, the others 0.5 and 1.5 of it."""

    size: int = 128
    iou: float = 0.7
    three_iou: tuple[float, float, float] = (0.7, 0.7, 0.7)
    told: list[Told] = field(default_factory=list)
    decoded: int = 0
    encoded: int = 0
    bundle: Bundle = field(init=False)

    def __post_init__(self) -> None:
        sam = build_sam(Blocks(self.size), 32, self.size // 8, 64, pixel_mean=[0] * 3, pixel_std=[1] * 3)
        encode = sam.prompt_encoder.forward

        def remember(points, boxes, masks):
            self.told.append(Told(boxes.clone(), *(points or (None, None))))
            return encode(points, boxes, masks)

        sam.prompt_encoder.forward = remember
        sam.mask_decoder.forward = self.decode
        sam.image_encoder.register_forward_hook(self.count)
        self.bundle = tiny_bundle(sam, preprocess(self.size))

    def count(self, *_: Any) -> None:
        self.encoded += 1

    def decode(self, image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output):
        self.decoded += 1
        boxes = self.told[-1].boxes
        assert len(sparse_prompt_embeddings) == len(boxes)
        shares = (0.5, 1.0, 1.5) if multimask_output else (1.0,)
        logits = torch.stack([torch.stack([drawn(box, self.size, share) for share in shares]) for box in boxes])
        return logits, torch.tensor([self.three_iou if multimask_output else (self.iou,)]).expand(len(boxes), -1)
