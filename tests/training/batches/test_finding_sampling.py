"""Prompts, windows and draws that SAM is trained with; SAM as a network of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from ignite.engine import Engine
from monai.transforms import Compose
from PIL import Image
from torch.nn import functional

from operators.networks.sam_networks import PyramidImageEncoder, build_sam
from operators.records.geometry import PixelBox, square_around
from training.batches.finding_sampling import (
    HardFindingSampler,
    SampledFindings,
    cut_surroundings,
    one_minus_dice,
    outline_points,
)
from training.batches.findings import CutFinding, findings, misplaced, pixel_box, prepare_prompt_batch
from training.batches.image_sampling import SampledIndex
from training.batches.images import read_pixels
from training.batches.prompt_jitter import (
    NEGATIVE,
    NO_POINT,
    POSITIVE,
    BoxErrors,
    RandPromptedWindow,
    WindowRange,
    draw_points,
    sample,
)
from training.datasets.manifest import ManifestError, read_manifest
from training.learning.optimisation import frozen
from training.learning.prompted_sam import PromptedMaskLoss, PromptedSam, decode, single_mask
from training.phantoms import main as write_phantoms

NO_ERROR = BoxErrors(edge=0.0, own_share=0.0)
STILL = WindowRange(zoom=2.5, zoom_change=0.0, window_shift=0.0, rotation=0.0, stretch=0.0)
NEVER = (0.0, 0.0)
SIZE = 64


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    assert write_phantoms([str(folder), "--count", "20", "--seed", "3"]) == 0
    return findings(read_manifest(folder))


def picture(folder, box, shape=(200, 300), name="a"):
    """A finding that fills its box, on a random image."""
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    mask = np.zeros(shape, np.uint8)
    mask[PixelBox(*box).slices()] = 255
    for kind, pixels in (("image", image), ("mask", mask)):
        Image.fromarray(pixels).save(folder / f"{name}_{kind}.png")
    return {"image": str(folder / f"{name}_image.png"), "mask": str(folder / f"{name}_mask.png"), "box": box}


def drawn(item, seed=0, window=STILL, errors=NO_ERROR, *, size=SIZE, reach=8.0):
    transform = RandPromptedWindow(size, window, errors, NEVER)
    transform.set_random_state(seed)
    return transform({**cut_surroundings(item, reach, 512), "index": 7})


def extent(mask):
    """Left, top, right, bottom of a mask (1, height, width)."""
    rows, columns = (np.flatnonzero(mask[0].numpy().any(axis=axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


# --- boxes


def test_a_careful_hand_s_box_is_a_little_off_and_our_localizer_s_a_lot():
    random, box = np.random.RandomState(0), np.array([10.0, 20, 50, 40])
    hand = np.array([BoxErrors(own_share=0.0).draw(box, random) for _ in range(2000)])
    assert (hand - box).std(axis=0) == pytest.approx([2, 1, 2, 1], rel=0.1)
    own = np.array([BoxErrors(own_share=1.0).draw(box, random) for _ in range(2000)])
    centre, sides = (own[:, :2] + own[:, 2:]) / 2 - [30, 30], own[:, 2:] - own[:, :2]
    assert centre.std(axis=0) == pytest.approx([0.18 * 40, 0.18 * 20], rel=0.1)
    assert np.log(sides / [40, 20]).std(axis=0) == pytest.approx([0.35, 0.35], rel=0.1)
    assert sides.min() > 0
    overlap = np.minimum(own[:, 2:], box[2:]) - np.maximum(own[:, :2], box[:2])
    assert overlap.min() > 0  # every box shares something with the finding


def test_the_mixture_has_its_share():
    random, box = np.random.RandomState(0), np.array([0.0, 0, 100, 100])
    mixed = np.array([BoxErrors(edge=0.0, own_share=0.35).draw(box, random) for _ in range(2000)])
    assert (mixed != box).any(axis=1).mean() == pytest.approx(0.35, abs=0.03)


def test_misplaced_boxes_are_the_same_for_the_same_seed(items):
    first, second, other = (misplaced(items, BoxErrors(own_share=1.0), seed) for seed in (1, 1, 2))
    assert [item["prompt"] for item in first] == [item["prompt"] for item in second]
    assert [item["prompt"] for item in first] != [item["prompt"] for item in other]
    assert [item["box"] for item in first] == [item["box"] for item in items]


# --- points


def test_points_lie_where_their_kind_says():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:40, 24:36] = True
    box, random, kinds = np.array([22.0, 18, 38, 42]), np.random.RandomState(0), {0: 0, 1: 0, 2: 0, 3: 0}
    for _ in range(600):
        points, labels = draw_points(mask, box, (0.2, 0.3), random)
        count = int((labels != NO_POINT).sum())
        kinds[count] += 1
        assert (labels[count:] == NO_POINT).all()
        assert (labels[:1] == POSITIVE).all() or count == 0
        assert (labels[1:count] == NEGATIVE).all()
        for (x, y), label in zip(points[:count], labels[:count], strict=True):
            inside = mask[int(y), int(x)]
            assert inside == (label == POSITIVE)
            if label == NEGATIVE:
                off = np.abs(np.array([x, y]) - [30, 30]) / [16, 24]
                assert 0.5 - 0.04 <= off.max() <= 0.75 + 0.04
    assert kinds[0] / 600 == pytest.approx(0.5, abs=0.07)
    assert min(kinds[2], kinds[3]) > 30


def test_the_centre_is_the_box_s_even_beside_the_finding():
    mask = np.zeros((SIZE, SIZE), bool)
    points, labels = draw_points(mask, np.array([0.0, 0, 10, 20]), (1.0, 0.0), np.random.RandomState(0))
    assert points[0].tolist() == [5, 10]
    assert labels.tolist() == [POSITIVE, NO_POINT, NO_POINT]


# --- cuts and windows


@pytest.mark.parametrize(
    "box", [(100, 80, 140, 110), (0, 0, 30, 20), (270, 170, 300, 200), (0, 0, 300, 200), (9, 9, 10, 10)]
)
def test_a_cut_holds_the_finding_where_the_image_has_it(tmp_path, box):
    item = picture(tmp_path, box)
    wide = cut_surroundings(item, 8.0, 512)
    x, y = wide["mask_place"].astype(int)
    assert wide["mask"].shape == (box[3] - box[1], box[2] - box[0])
    assert wide["mask"].min() == 255
    whole = np.round(read_pixels(item["image"]) * 255)
    shown = wide["image"][y : y + box[3] - box[1], x : x + box[2] - box[0]]
    assert np.array_equal(shown, whole[PixelBox(*box).slices()])
    assert wide["outline"].min(axis=0).tolist() == [x, y]
    assert wide["outline"].max(axis=0).tolist() == [x + box[2] - box[0], y + box[3] - box[1]]


def test_a_large_finding_is_reduced_and_keeps_its_place(tmp_path):
    wide = cut_surroundings(picture(tmp_path, (100, 60, 200, 140)), 2.0, 50)
    assert wide["scale"] == 2
    assert wide["image"].shape == (100, 100)
    assert (wide["mask_place"].tolist(), wide["mask"].shape) == ([25, 30], (40, 50))


def test_a_box_beside_its_mask_is_named(tmp_path):
    item = {**picture(tmp_path, (100, 60, 200, 140)), "box": (0, 0, 20, 20)}
    with pytest.raises(ManifestError, match=r"a_mask\.png: nothing in the box \(0, 0, 20, 20\)"):
        cut_surroundings(item, 8.0, 512)


def test_the_outline_holds_the_hull_of_any_mask():
    random = np.random.default_rng(0)
    for _ in range(10):
        mask = random.random((12, 9)) > 0.8
        mask[4, 4] = True
        y, x = np.nonzero(mask)
        corners = np.concatenate([np.stack([x + i, y + j], 1) for i in (0, 1) for j in (0, 1)])
        for direction in random.normal(size=(8, 2)):
            assert (outline_points(mask) @ direction).max() == pytest.approx((corners @ direction).max())


@pytest.mark.parametrize("box", [(100, 80, 140, 112), (0, 0, 40, 30), (270, 160, 298, 200), (150, 100, 156, 108)])
def test_without_chance_the_window_is_the_application_s(tmp_path, box):
    item = picture(tmp_path, box)
    seen = drawn(item, reach=12.0)
    cut = CutFinding(2.5, SIZE)(item)
    assert seen["box"].numpy() == pytest.approx(cut["box"].numpy(), abs=1.5)  # windows begin at whole pixels
    expected = [
        functional.interpolate(torch.from_numpy(cut[key])[None, None], (SIZE, SIZE), mode="bilinear", antialias=True)[0]
        for key in ("image", "mask")
    ]
    flips = [(), (1,), (2,), (1, 2)]  # flips are always drawn
    overlap = max(
        float(
            ((expected[1].flip(dims) > 0.5) & (seen["mask"] > 0)).sum()
            / ((expected[1].flip(dims) > 0.5) | (seen["mask"] > 0)).sum()
        )
        for dims in flips
    )
    assert overlap > 0.9
    likeness = max(
        float(torch.corrcoef(torch.stack([expected[0].flip(d).flatten(), seen["image"].flatten()]))[0, 1])
        for d in flips
    )
    assert likeness > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_the_box_is_tight_around_the_turned_finding(items, seed):
    for item in items:
        seen = drawn(item, seed, WindowRange(), size=128)
        assert extent(seen["mask"]) == pytest.approx(seen["box"].numpy(), abs=2.0)
        assert set(seen["mask"].unique().tolist()) == {0.0, 1.0}
        assert 0 <= float(seen["image"].min()) <= float(seen["image"].max()) <= 1 + 1e-6
        assert seen["index"] == 7


@pytest.mark.parametrize("seed", range(20))
def test_the_window_follows_the_prompted_box(tmp_path, seed):
    item = picture(tmp_path, (100, 80, 140, 112))
    seen = drawn(item, seed, STILL, BoxErrors(own_share=1.0))
    left, top, right, bottom = seen["box"].tolist()
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((SIZE / 2, SIZE / 2), abs=1e-3)
    assert max(right - left, bottom - top) == pytest.approx(SIZE / 2.5, abs=1e-3)
    assert bool(seen["mask"].any())  # the finding is still in it
    assert np.abs(extent(seen["mask"]) - seen["box"].numpy()).max() > 1


def test_a_small_finding_gets_the_smallest_window(tmp_path):
    seen = drawn(picture(tmp_path, (100, 80, 104, 84)))
    assert float(seen["box"][2] - seen["box"][0]) == pytest.approx(4 * SIZE / 32)


def test_validation_cuts_as_the_application_does(tmp_path):
    item = {**picture(tmp_path, (100, 80, 140, 112)), "prompt": (110.2, 70.0, 170.9, 100.0)}
    window = square_around(pixel_box(item["prompt"]), 2.5, 32)
    cut = CutFinding(2.5, SIZE)(item)
    assert cut["image"].shape == cut["mask"].shape == (window.height, window.width)
    scale = SIZE / window.width
    assert cut["box"].tolist() == pytest.approx(
        [
            (110 - window.left) * scale,
            (70 - window.top) * scale,
            (171 - window.left) * scale,
            (100 - window.top) * scale,
        ]
    )
    assert cut["mask"].sum() == 40 * 32  # the mask is the finding's, wherever the prompt is
    assert (cut["point_labels"] == NO_POINT).all()


# --- sampling


def test_sampling_a_whole_picture_returns_it():
    pixels = torch.randint(0, 255, (1, 1, SIZE, SIZE), dtype=torch.uint8)
    frame = np.array([[SIZE, 0, 0], [0, SIZE, 0]], float)
    assert sample(pixels, frame, SIZE).numpy() == pytest.approx(pixels[0, 0].float().numpy(), abs=1e-2)
    half = sample(pixels, frame, SIZE // 2).numpy()
    assert half == pytest.approx(functional.avg_pool2d(pixels[0].float(), 2)[0].numpy(), abs=1e-2)


def test_what_lies_beyond_a_picture_is_zero():
    pixels = torch.full((1, 1, 40, 60), 200, dtype=torch.uint8)
    seen = sample(pixels, np.array([[120, 0, -30], [0, 80, -20]], float), 48)
    assert seen[24, 24] == 200
    assert not seen[:11].any()
    assert not seen[:, :11].any()
    assert not seen[-11:].any()
    assert not sample(pixels, np.array([[10, 0, 500], [0, 10, 500]], float), 48).any()


def test_sampling_keeps_the_area_of_a_turned_square():
    pixels = torch.zeros((1, 1, 80, 80), dtype=torch.uint8)
    pixels[..., 30:50, 30:50] = 255
    for angle in (0.0, 0.3, 0.8):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 60
        frame = np.column_stack([turn, np.array([40, 40]) - turn @ [0.5, 0.5]])
        area = float((sample(pixels, frame, 120) >= 127.5).sum()) / 4
        assert area == pytest.approx(400, rel=0.02)


# --- draws


def test_equal_findings_are_drawn_once_each():
    sampler = HardFindingSampler(50, seed=1)
    draws = list(sampler)
    assert sorted(draw.index for draw in draws) == list(range(50))
    assert draws == list(HardFindingSampler(50, seed=1))
    sampler.epoch = 2
    assert draws != list(sampler)


def test_hard_findings_are_drawn_more_often_and_none_is_lost():
    sampler = HardFindingSampler(40, seed=1, memory=1.0)
    sampler.note(torch.arange(40), torch.cat([torch.full((20,), 0.16), torch.full((20,), 0.64)]))
    counts = np.zeros(40)
    for epoch in range(30):
        sampler.epoch = epoch
        for draw in sampler:
            counts[draw.index] += 1
    assert counts[20:].sum() / counts[:20].sum() == pytest.approx(2.0, rel=0.1)  # (.64 / .16) ** .5
    assert counts.min() > 0
    flat = HardFindingSampler(40, seed=1, power=0.0)
    flat.difficulty = sampler.difficulty
    assert sorted(draw.index for draw in flat) == list(range(40))


def test_a_resumed_sampler_goes_on_as_if_it_had_never_stopped():
    first = HardFindingSampler(10, seed=1)
    first.note(torch.tensor([3, 3, 5]), torch.tensor([1.0, 1.0, 0.1]))
    second = HardFindingSampler(10, seed=1)
    second.load_state_dict(first.state_dict())
    first.epoch = second.epoch = 4
    assert list(first) == list(second)
    assert float(first.difficulty[3]) == pytest.approx(0.5 + 0.3 * 0.5 + 0.3 * 0.35)
    with pytest.raises(ValueError, match="10 findings, the data set has 11"):
        HardFindingSampler(11, seed=1).load_state_dict(first.state_dict())


def test_a_training_that_goes_on_within_an_epoch_draws_what_is_left():
    first = HardFindingSampler(10, seed=1)
    whole = list(first)
    first.note(torch.tensor([3, 3, 5]), torch.tensor([1.0, 1.0, 0.1]))  # learned within the epoch
    second = HardFindingSampler(10, seed=1)
    second.load_state_dict(first.state_dict())
    second.done = 4
    assert list(second) == whole[4:]
    first.epoch, second.epoch, second.done = 2, 2, 0
    assert list(second) == list(first)


def test_the_sampler_follows_its_trainer():
    sampler = HardFindingSampler(4, seed=1, memory=1.0)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :4] = 1
    logits = torch.full((2, 4, 8, 8), -1.0)
    logits[0, 0, :4] = 1  # right
    logits[1, 0, 4:] = 1  # wrong
    trainer = Engine(lambda _engine, _batch: {"pred": {"logits": logits}, "label": mask})
    sampler.attach(trainer)
    trainer.run([{"index": torch.tensor([2, 0])}], max_epochs=3)
    assert sampler.epoch == 3
    assert sampler.difficulty.tolist() == pytest.approx([1.0, 0.5, 0.0, 0.5])
    assert one_minus_dice({"pred": {"logits": logits}, "label": mask}).tolist() == pytest.approx([0, 1])


def test_a_draw_is_its_seed(items):
    transform = Compose([RandPromptedWindow(SIZE, WindowRange(), BoxErrors())])
    data = SampledFindings(items, transform, 8.0, 200)
    assert len(data) == len(items)
    first, again, other = (data[SampledIndex(1, seed)] for seed in (5, 5, 6))
    assert all(torch.equal(first[key], again[key]) for key in ("image", "mask", "box", "points"))
    assert not torch.equal(first["image"], other["image"])
    assert first["index"] == 1


def test_a_manifest_without_masks_is_named(items):
    with pytest.raises(ManifestError, match="columns mask_file and boxes_xyxy"):
        findings([])


# --- the network


def small_sam():
    torch.manual_seed(0)
    encoder = timm.create_model("mobilenetv2_035", features_only=True, out_indices=[2, 3, 4], pretrained=False)
    return build_sam(PyramidImageEncoder(encoder, SIZE, 32), 32, SIZE // 8, 64)


def prompt(labels=((-1, -1, -1), (1, -1, -1), (1, 0, 0), (-1, -1, -1), (1, 0, -1))):
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(len(labels), 2, generator=generator) * 30
    return {
        "box": torch.cat([corner, corner + 20], dim=1),
        "points": torch.rand(len(labels), 3, 2, generator=generator) * SIZE,
        "point_labels": torch.tensor(labels),
    }


def test_a_batch_gives_what_the_application_s_decoder_gives_one_by_one():
    sam, asked = small_sam().eval(), prompt()
    image = torch.rand(5, 3, SIZE, SIZE) * 255
    with torch.inference_mode():
        together = PromptedSam(sam).eval()(image, asked)
        embeddings = sam.image_encoder((image - sam.pixel_mean) / sam.pixel_std)
        for index, labels in enumerate(asked["point_labels"]):
            used = labels != NO_POINT
            points = (asked["points"][index][used][None], labels[used][None]) if bool(used.any()) else None
            sparse, dense = sam.prompt_encoder(points=points, boxes=asked["box"][index][None], masks=None)
            single = [
                sam.mask_decoder(
                    embeddings[index][None], sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=several
                )
                for several in (False, True)
            ]
            logits, iou = (torch.cat(parts, dim=1) for parts in zip(*single, strict=True))
            assert together["logits"][index][None].numpy() == pytest.approx(logits.numpy(), abs=1e-4)
            assert together["iou"][index][None].numpy() == pytest.approx(iou.numpy(), abs=1e-4)


def test_decoding_a_batch_of_one_is_segment_anything_s():
    sam = small_sam().eval()
    embedding = torch.randn(1, 32, 8, 8)
    sparse, dense = sam.prompt_encoder(points=None, boxes=torch.tensor([[3.0, 4, 40, 50]]), masks=None)
    place = sam.prompt_encoder.get_dense_pe()
    for ours, theirs in zip(
        decode(sam.mask_decoder, embedding, place, sparse, dense),
        sam.mask_decoder.predict_masks(embedding, place, sparse, dense),
        strict=True,
    ):
        assert ours.detach().numpy() == pytest.approx(theirs.detach().numpy(), abs=1e-5)


def test_only_the_best_of_three_learns():
    logits = torch.zeros(2, 4, 16, 16)
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    logits[0, 2], logits[1, 3] = 0.1 * (functional.avg_pool2d(mask, 2)[:, 0] * 2 - 1)  # a little better than the rest
    for weight in (0.5, 0.0):
        prediction = {"logits": logits.clone().requires_grad_(), "iou": torch.zeros(2, 4)}
        PromptedMaskLoss(three_weight=weight)(prediction, mask).backward()
        learns = prediction["logits"].grad.flatten(2).abs().amax(dim=2) > 0
        assert learns.tolist() == [[True, False, weight > 0, False], [True, False, False, weight > 0]]


def test_the_loss_is_least_for_the_mask_and_its_true_iou():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    right = (mask * 2 - 1).expand(1, 4, 32, 32) * 12
    values = {}
    for name, logits, iou in (("right", right, 1.0), ("wrong", -right, 0.0), ("unsure of itself", right, 0.3)):
        values[name] = float(PromptedMaskLoss()({"logits": logits, "iou": torch.full((1, 4), iou)}, mask))
    assert values["right"] == pytest.approx(0, abs=1e-3)
    assert values["unsure of itself"] == pytest.approx(0.49, abs=1e-2)
    assert values["wrong"] > 1


def test_the_single_mask_of_a_prediction():
    logits = torch.randn(4, 16, 16)
    assert single_mask({"logits": logits}, 32).shape == (1, 32, 32)
    assert torch.equal(single_mask({"logits": logits}, 16), logits[:1])


def test_every_part_learns_and_the_loss_falls():
    network = PromptedSam(small_sam())
    image, mask = torch.rand(5, 3, SIZE, SIZE) * 255, torch.zeros(5, 1, SIZE, SIZE)
    mask[..., : SIZE // 2, :] = 1
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = PromptedMaskLoss()(network(image, prompt()), mask)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    learns = {name.split(".")[1] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learns == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_prompts_of_mixed_kinds_are_decoded_in_bfloat16():
    sam = frozen(small_sam(), ["image_encoder"])
    sam.image_encoder.forward = lambda image: torch.randn(len(image), 32, SIZE // 8, SIZE // 8)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = PromptedSam(sam)(torch.rand(5, 3, SIZE, SIZE), prompt())
    assert {prediction["logits"].dtype, prediction["iou"].dtype} == {torch.float32}
    PromptedMaskLoss()(prediction, torch.ones(5, 1, SIZE, SIZE)).backward()


def test_a_frozen_encoder_stays_as_it_is():
    sam = frozen(small_sam(), ["image_encoder", "prompt_encoder"])
    network = PromptedSam(sam).train()
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)
    prediction = network(torch.rand(5, 3, SIZE, SIZE) * 255, prompt())
    PromptedMaskLoss()(prediction, (torch.rand(5, 1, SIZE, SIZE) > 0.5).float()).backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, tensor in sam.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"mask_decoder"}  # nor do the running statistics of batch norm move
    assert not sam.image_encoder.training
    assert sam.mask_decoder.training


def test_a_batch_is_prepared_for_the_engines(items):
    data = SampledFindings(items[:2], Compose([RandPromptedWindow(SIZE, WindowRange(), BoxErrors())]), 8.0, 200)
    samples = [data[SampledIndex(index, index)] for index in (0, 1)]
    batch = torch.utils.data.default_collate([{**s, "image": s["image"].expand(3, -1, -1) * 255} for s in samples])
    image, mask, (asked,), _ = prepare_prompt_batch(batch, torch.device("cpu"))
    assert (image.shape, mask.shape, asked["points"].shape) == ((2, 3, SIZE, SIZE), (2, 1, SIZE, SIZE), (2, 3, 2))
