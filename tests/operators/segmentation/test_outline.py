"""SAM's prompts and masks are where the box is, whatever it is told; the four published architectures load."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from operators.networks.sam_networks import build_mobile_sam
from operators.records.geometry import PixelBox
from operators.records.images import Localization
from operators.records.rules import MASKS, PROMPTS, PromptRule
from operators.segmentation.outline import choose, outline_each, segment, vote, window_of
from operators.segmentation.prompts import to_input
from operators.segmentation.sam import encode
from tests.phantoms import classification, tiny_bundle
from tests.sams import SIDE, Echo, compact_bundle, preprocess

ROWS, COLUMNS = 160, 128
SHAPE = (ROWS, COLUMNS)
PIXELS = np.full(SHAPE, 0.25, np.float32)
BOXES = (
    PixelBox(40, 60, 80, 90),
    PixelBox(0, 0, 30, 40),  # at the border, so that its window reaches beyond the image
    PixelBox(100, 120, 128, 160),
    PixelBox(5, 5, 6, 6),  # one pixel
    PixelBox(0, 0, 128, 160),  # the whole image
)
RULES = [
    {"prompt": prompt, "votes": votes, "masks": masks}
    for prompt, votes, masks in itertools.product(PROMPTS[:3], (1, 5), MASKS)
]


def localization(*boxes: PixelBox) -> Localization:
    return Localization(classification(), heat_of(*boxes), boxes, (0.5,) * len(boxes))


def heat_of(*boxes: PixelBox) -> np.ndarray:
    heat = np.zeros(SHAPE, np.float32)
    for box in boxes:
        heat[box.slices()] = 0.6
        heat[box.top, box.left] = 0.9
    return heat


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def pixels_per_cell(box: PixelBox, zoom: float | None, longest: int = ROWS) -> float:
    return longest / SIDE if zoom is None else max(32, zoom * max(box.width, box.height)) / SIDE


@pytest.mark.parametrize("zoom", [None, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("told", RULES, ids=lambda told: "-".join(map(str, told.values())))
def test_the_mask_of_a_prompt_lies_on_its_box(zoom, told):
    echo = Echo()
    for box in BOXES:
        ((mask, score),) = outline_each(PIXELS, [box], echo.bundle, PromptRule(zoom, **told), heat_of(box))
        assert mask.shape == SHAPE
        assert mask.dtype == bool
        cell = pixels_per_cell(box, zoom)
        if max(box.width, box.height) > 2 * cell:
            assert extent(mask) == pytest.approx((box.left, box.top, box.right, box.bottom), abs=1 + cell)
        assert score == pytest.approx(0.7) if told["votes"] == 1 else 0 <= score <= 0.7
    assert echo.decoded == len(BOXES)


@pytest.mark.parametrize("told", RULES, ids=lambda told: "-".join(map(str, told.values())))
def test_every_vote_and_every_point_is_told_in_one_call(told):
    echo, box, zoom = Echo(), BOXES[0], 2.5
    rule = PromptRule(zoom, **told)
    outline_each(PIXELS, [box], echo.bundle, rule, heat_of(box))
    (call,) = echo.told
    assert call.boxes.shape == (told["votes"], 4)
    geometry = encode(PIXELS, window_of(box, SHAPE, rule), echo.bundle).geometry
    assert call.boxes[0].tolist() == pytest.approx(geometry.box_to_input(box), abs=1e-4)
    if told["prompt"] == "box":
        assert call.points is None
        return
    place = (60, 75) if told["prompt"] == "box_centre" else (40.5, 60.5)  # where ``heat_of`` is highest
    expected = to_input(np.array([place]), geometry)[0]
    for points, labels in zip(call.points, call.labels, strict=True):  # the same for every vote
        assert points[0].tolist() == pytest.approx(expected, abs=1e-4)
        assert labels.tolist() == ([1.0] if told["prompt"] == "box_centre" else [1.0, 0.0, 0.0])
    assert len(call.points) == told["votes"]


@pytest.mark.parametrize("zoom", [None, 1.5, 4.0])
def test_a_point_lands_on_the_pixel_that_the_network_shows_there(zoom):
    pixels, box, (row, column) = np.zeros(SHAPE, np.float32), PixelBox(90, 20, 120, 60), (33, 101)
    pixels[row, column] = 1
    echo = Echo()
    seen = []
    echo.bundle.network.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0].clone()))
    outline_each(pixels, [box], echo.bundle, PromptRule(zoom, prompt="box_points"), pixels)
    x, y = echo.told[0].points[0, 0].tolist()
    brightest = torch.nonzero(seen[0] > seen[0].amax() - 1e-3).float().mean(dim=0) + 0.5
    assert (y, x) == pytest.approx(tuple(brightest.tolist()), abs=1)


def test_points_without_a_heat_map_are_the_centre():
    first, second = Echo(), Echo()
    outline_each(PIXELS, BOXES, first.bundle, PromptRule(2.5, prompt="box_points"))
    outline_each(PIXELS, BOXES, second.bundle, PromptRule(2.5, prompt="box_centre"))
    for one, other in zip(first.told, second.told, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("votes", [1, 5])
def test_boxes_that_share_a_window_are_encoded_once(votes):
    echo = Echo()
    boxes = (PixelBox(10, 10, 40, 40), PixelBox(60, 60, 90, 90))
    segment(localization(*boxes), echo.bundle, PromptRule(None, votes=votes))
    assert (echo.encoded, echo.decoded) == (1, 2)
    segment(localization(*boxes), echo.bundle, PromptRule(2.5, votes=votes))
    assert (echo.encoded, echo.decoded) == (3, 4)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_image_without_a_box_costs_nothing(prompt):
    echo = Echo()
    assert segment(localization(), echo.bundle, PromptRule(2.5, prompt=prompt)).masks == ()
    assert echo.encoded == echo.decoded == 0


def test_an_image_of_more_than_4000_pixels():
    shape, boxes = (4400, 3100), (PixelBox(3000, 4300, 3100, 4400), PixelBox(1500, 10, 1560, 150))
    heat = np.zeros(shape, np.float32)
    echo = Echo(three_iou=(0.1, 0.9, 0.1))  # the map is flat
    rule = PromptRule(2.5, prompt="box_points", votes=3, masks="best_of_three")
    outlines = outline_each(np.zeros(shape, np.float32), boxes, echo.bundle, rule, heat)
    for box, (mask, _) in zip(boxes, outlines, strict=True):
        assert mask.shape == shape
        cell = pixels_per_cell(box, 2.5)
        assert extent(mask) == pytest.approx((box.left, box.top, box.right, box.bottom), abs=1 + cell)


def test_segment_tells_the_heat_map():
    echo = Echo()
    result = segment(localization(*BOXES[:2]), echo.bundle, PromptRule(2.5, prompt="box_points"))
    assert [len(call.labels[0]) for call in echo.told] == [3, 3]
    assert result.predicted_iou == pytest.approx((0.7, 0.7))
    assert not result.masks[0].flags.writeable


@pytest.mark.parametrize("told", RULES, ids=lambda told: "-".join(map(str, told.values())))
def test_scores_stay_between_zero_and_one(told):
    torch.manual_seed(0)
    for mask, score in outline_each(PIXELS, BOXES[:2], compact_bundle(), PromptRule(2.5, **told), heat_of(BOXES[0])):
        assert mask.shape == SHAPE
        assert 0 <= score <= 1


@pytest.mark.parametrize("masks", MASKS)
def test_votes_that_agree_are_the_single_mask(masks, monkeypatch):
    torch.manual_seed(0)
    bundle = compact_bundle()
    monkeypatch.setattr("operators.segmentation.prompts.JITTERS", ((1.0, 0.0, 0.0),) * 5)
    boxes = (PixelBox(40, 60, 80, 90),)
    ((one, score),) = outline_each(PIXELS, boxes, bundle, PromptRule(2.5, masks=masks))
    ((five, of_five),) = outline_each(PIXELS, boxes, bundle, PromptRule(2.5, votes=5, masks=masks))
    assert 0 < one.sum() < one.size
    assert np.array_equal(one, five)
    assert of_five == pytest.approx(score, abs=1e-5)


def test_the_vote_is_the_mean_probability_and_disagreement_costs():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (5, 3, 16, 12)).astype(np.float32)
    iou = rng.random((5, 3)).astype(np.float32)
    agreed, score = vote(logits, iou)
    mean = (1 / (1 + np.exp(-logits))).mean(axis=0)
    assert agreed == pytest.approx(np.log(mean / (1 - mean)), abs=1e-4)
    for index in range(3):
        together = agreed[index] > 0
        overlaps = [((one[index] > 0) & together).sum() / ((one[index] > 0) | together).sum() for one in logits]
        assert score[index] == pytest.approx(iou[:, index].mean() * np.mean(overlaps), abs=1e-5)


def test_the_vote_of_sure_masks_and_of_empty_ones():
    sure = np.full((3, 1, 4, 4), 40, np.float32)
    sure[:, :, 2:] = -40
    agreed, score = vote(sure, np.full((3, 1), 0.9, np.float32))
    assert agreed[0] == pytest.approx(sure[0, 0], rel=1e-5)
    assert score == pytest.approx([0.9])
    assert vote(-np.abs(sure), np.full((3, 1), 0.9, np.float32))[1] == pytest.approx([0.9])


def test_the_best_of_three_is_the_one_on_the_heat():
    masks = [np.zeros((8, 8), bool) for _ in range(3)]
    masks[0][:2, :2], masks[1][4:7, 4:7], masks[2][:] = True, True, True
    heat = np.zeros((8, 8), np.float32)
    heat[4:7, 4:8] = 0.2
    even, scores = np.full(3, 0.5, np.float32), np.array([0.9, 0.5, 0.6], np.float32)
    assert choose(masks, even, heat) == 1
    assert choose(masks, scores, heat) == 1
    assert choose(masks, np.array([0.9, 0.1, 0.6], np.float32), heat) == 2
    assert choose(masks, scores, None) == choose(masks, scores, np.zeros_like(heat)) == 0
    away = np.zeros_like(heat)
    away[0, 7] = 1
    assert choose(masks[:2], scores[:2], away) == 0  # none on the heat: by predicted IoU
    nothing = [np.zeros((8, 8), bool)] * 3
    assert choose(nothing, scores, heat) == 0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0), (1.0, 1), (1.5, 2)])
def test_the_heat_map_picks_the_size_of_the_mask(share, expected):
    echo, box = Echo(three_iou=(0.5, 0.6, 0.7)), PixelBox(40, 60, 80, 100)
    margin = round(40 * (share - 1) / 2)
    heat = np.zeros(SHAPE, np.float32)
    heat[60 - margin : 100 + margin, 40 - margin : 80 + margin] = 0.4
    ((mask, score),) = outline_each(PIXELS, [box], echo.bundle, PromptRule(2.5, masks="best_of_three"), heat)
    assert score == pytest.approx(echo.three_iou[expected])
    assert extent(mask) == pytest.approx((40 - margin, 60 - margin, 80 + margin, 100 + margin), abs=3)
    ((_, score),) = outline_each(PIXELS, [box], echo.bundle, PromptRule(2.5, masks="best_of_three"))
    assert score == pytest.approx(0.7)  # without a map


def test_a_window_of_the_whole_image():
    assert window_of(PixelBox(1, 1, 5, 5), SHAPE, PromptRule(None)) == PixelBox(0, 0, 128, 160)


@pytest.mark.parametrize("wrong", [{"prompt": "point"}, {"masks": "two"}, {"votes": 0}, {"votes": 26}])
def test_a_rule_that_does_not_exist_is_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match="votes from 1 to 25") as refused:
        PromptRule(2.5, **wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("prompt", ["box", "automatic"])
def test_a_classifier_is_no_segmenter(prompt):
    bundle = tiny_bundle(torch.nn.Identity(), preprocess())
    with pytest.raises(TypeError, match="Segment Anything"):
        segment(localization(PixelBox(1, 1, 5, 5)), bundle, PromptRule(2.5, prompt=prompt))


@pytest.mark.slow
def test_mobile_sam_takes_every_prompt_and_its_encoder_keeps_its_last_resolution():
    torch.manual_seed(0)
    bundle = tiny_bundle(build_mobile_sam(), preprocess(1024))
    shapes = []
    bundle.network.image_encoder.register_forward_hook(lambda _, inputs, output: shapes.append(output.shape))
    rule = PromptRule(None, prompt="box_points", votes=3, masks="best_of_three")
    outlines = outline_each(PIXELS, BOXES[:2], bundle, rule, heat_of(BOXES[0]))
    assert [mask.shape for mask, _ in outlines] == [SHAPE, SHAPE]
    assert shapes == [(1, 256, 64, 64)]


def published_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename timm's TinyViT as MobileSAM's checkpoint names it."""
    renamed = {}
    for key, tensor in state.items():
        name = key.removeprefix("image_encoder.")
        if name != key:
            name = name.replace("patch_embed.conv1.", "patch_embed.seq.0.").replace(
                "patch_embed.conv2.", "patch_embed.seq.2."
            )
            for stage in (1, 2, 3):
                name = name.replace(f"stages.{stage}.downsample", f"layers.{stage - 1}.downsample")
            name = "image_encoder." + name.replace("stages.", "layers.").replace(".conv.", ".c.")
        renamed[name] = tensor
    renamed["image_encoder.norm_head.weight"] = renamed["image_encoder.head.weight"] = torch.zeros(3)
    return renamed


def test_mobile_sam_s_checkpoint_loads_by_its_published_names():
    torch.manual_seed(0)
    first, second = build_mobile_sam().eval(), build_mobile_sam().eval()
    second.load_state_dict(published_names(first.state_dict()), strict=True)
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    "box", [PixelBox(300, 400, 2900, 3300), PixelBox(1500, 0, 3000, 1700), PixelBox(0, 0, 3000, 4000)]
)
def test_a_window_far_larger_than_the_image_is_outlined_in_its_place(box):
    echo = Echo()
    ((mask, _),) = outline_each(np.zeros((4000, 3000), np.float32), [box], echo.bundle, PromptRule(2.5))
    assert mask.shape == (4000, 3000)
    assert extent(mask) == pytest.approx((box.left, box.top, box.right, box.bottom), abs=2 * pixels_per_cell(box, 2.5))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_mask_of_what_is_no_number_is_an_error(value):
    bundle = compact_bundle()
    with torch.no_grad():
        bundle.network.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(value)
    with pytest.raises(ArithmeticError, match="no finite numbers"):
        outline_each(PIXELS, BOXES[:1], bundle, PromptRule(2.5))
