"""Without a prompt SAM's masks are where they are in the image, and a box takes the one that suits it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.networks.sam_networks import build_sam
from operators.records.geometry import PixelBox
from operators.records.rules import PromptRule
from operators.segmentation.automatic_masks import AutomaticRule, every_mask, generate, mask_of_box
from operators.segmentation.outline import outline_each
from tests.phantoms import tiny_bundle
from tests.sams import SIDE, Blocks, compact_bundle, drawn, preprocess

SIZE = 128
SHAPES = [(160, 128), (128, 160), (128, 128), (97, 301)]


class Things(torch.nn.Module):
    """A mask decoder that knows things by their boxes in network pixels, and gives the thing that a point lies on."""

    def __init__(self, things: list[tuple[float, float, float, float]], iou: list[float]) -> None:
        super().__init__()
        self.things, self.iou, self.batches = torch.tensor(things), iou, []
        self.points: torch.Tensor | None = None

    def forward(self, image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output):
        self.batches.append(len(self.points))
        logits, scores = torch.full((len(self.points), 3, SIDE, SIDE), -20.0), torch.zeros(len(self.points), 3)
        for index, (x, y) in enumerate(self.points.tolist()):
            for thing, score in zip(self.things, self.iou, strict=True):
                if thing[0] < x < thing[2] and thing[1] < y < thing[3]:
                    logits[index, 1], scores[index, 1] = 20 * drawn(thing, SIZE), score
        return logits, scores


def bundle_of(things, iou, shape):
    """A bundle that finds things, boxes in original pixels of an image of a shape."""
    scale = SIZE / max(shape)
    sam = build_sam(Blocks(SIZE), 32, SIZE // 8, 64, pixel_mean=[0] * 3, pixel_std=[1] * 3)
    decoder = Things([tuple(edge * scale for edge in thing) for thing in things], iou)
    encode = sam.prompt_encoder.forward

    def remember(points, boxes, masks):
        decoder.points = points[0][:, 0].clone()
        return encode(points, boxes, masks)

    sam.prompt_encoder.forward = remember
    sam.mask_decoder = decoder
    return tiny_bundle(sam, preprocess(SIZE))


def extent(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_is_found_where_it_is(shape):
    rows, columns = shape
    things = [(0, 0, columns // 3, rows // 2), (columns // 2, rows // 4, columns - 10, rows - 5)]
    found = every_mask(np.zeros(shape, np.float32), bundle_of(things, [0.9, 0.8], shape))
    assert sorted(score for _, score in found) == pytest.approx([0.8, 0.9])
    for thing, (mask, _) in zip(things, sorted(found, key=lambda item: -item[1]), strict=True):
        assert mask.shape == shape
        assert mask.dtype == bool
        assert extent(mask) == pytest.approx(thing, abs=1 + max(shape) / SIDE)


def test_a_box_takes_the_surest_mask_that_lies_on_it():
    shape = (160, 128)
    whole, part, other = (0, 0, 128, 160), (20, 20, 70, 70), (80, 100, 120, 150)
    bundle = bundle_of([whole, other], [0.95, 0.6], shape)
    pixels = np.zeros(shape, np.float32)
    found = generate(pixels, bundle)
    mask, score = mask_of_box(PixelBox(82, 95, 121, 148), found)
    assert score == pytest.approx(0.6)
    assert extent(mask) == pytest.approx(other, abs=4)
    mask, score = mask_of_box(PixelBox(*part), found)
    assert score == pytest.approx(0.95)
    assert mask.mean() > 0.9


@pytest.mark.parametrize("box", [PixelBox(0, 0, 1, 1), PixelBox(100, 140, 128, 160), PixelBox(0, 0, 20, 20)])
def test_a_box_that_nothing_overlaps_has_an_empty_mask(box):
    mask, score = mask_of_box(
        box, generate(np.zeros((160, 128), np.float32), bundle_of([(40, 40, 90, 90)], [0.9], (160, 128)))
    )
    assert mask.shape == (160, 128)
    assert not mask.any()
    assert score == 0


def test_a_box_of_less_than_a_pixel_of_the_network_finds_its_mask():
    shape = (4400, 3000)
    bundle = bundle_of([(500, 500, 1500, 1500)], [0.9], shape)
    found = generate(np.zeros(shape, np.float32), bundle)
    assert found.masks[0].shape == (128, 87)
    mask, score = mask_of_box(PixelBox(700, 701, 701, 702), found)
    assert score == pytest.approx(0.9)
    assert mask.shape == shape
    assert extent(mask) == pytest.approx((500, 500, 1500, 1500), abs=4400 / SIDE)


def test_the_network_sees_the_grey_levels_of_the_bundle():
    pixels = np.random.default_rng(0).random((160, 128), np.float32)
    bundle, seen = bundle_of([(0, 0, 9, 9)], [0.9], pixels.shape), []
    bundle.network.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    generate(pixels, bundle)
    expected = bundle.preprocess(pixels).as_tensor()
    assert len(seen) == 1
    assert seen[0][0, :, : expected.shape[1], : expected.shape[2]].numpy() == pytest.approx(expected.numpy(), abs=0.51)
    assert not seen[0][0, :, :, expected.shape[2] :].any()  # padding


def test_the_points_are_decoded_in_batches_and_once_for_all_boxes():
    shape, boxes = (160, 128), (PixelBox(20, 20, 40, 40), PixelBox(30, 30, 60, 90))
    bundle = bundle_of([(0, 0, 128, 160)], [0.9], shape)
    outlines = outline_each(np.zeros(shape, np.float32), boxes, bundle, PromptRule(2.5, prompt="automatic"))
    assert bundle.network.mask_decoder.batches == [64] * 4
    assert [score for _, score in outlines] == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("least", [0.0, 0.5, 2.0])
def test_a_network_without_training_gives_masks_or_none(least):
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).random((160, 128), np.float32)
    rule = AutomaticRule(points_per_side=4, least_predicted_iou=least, least_stability=0.0)
    found = every_mask(pixels, compact_bundle(), rule)
    assert not (least > 1 and found)
    for mask, score in found:
        assert mask.shape == (160, 128)
        assert 0 <= score <= 1
