"""SAM's prompts and masks are where the box is; the four published architectures load."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from monai.transforms import Compose, EnsureChannelFirst, RepeatChannel, Resize

from operators.geometry import PixelBox
from operators.networks import PyramidImageEncoder, TinyViTImageEncoder, build_mobile_sam, build_sam
from operators.records import Localization
from operators.segmentation import PromptRule, segment, window_of
from tests.phantoms import classification, tiny_bundle


class Everything(torch.nn.Module):
    """A mask decoder that says "finding" inside the box that it was prompted with, for tests of the geometry only."""

    def forward(self, image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output):
        left, top, right, bottom = self.box
        y, x = torch.meshgrid(torch.arange(64) * 1.0 + 0.5, torch.arange(64) * 1.0 + 0.5, indexing="ij")
        inside = (x * 2 > left) & (x * 2 < right) & (y * 2 > top) & (y * 2 < bottom)
        return (inside.float() * 2 - 1)[None, None], torch.tensor([[0.7]])


def compact(size: int = 128):
    encoder = timm.create_model("mobilenetv2_035", features_only=True, out_indices=[2, 3, 4], pretrained=False)
    return build_sam(PyramidImageEncoder(encoder, size, 32), 32, size // 8, 64)


def preprocess(size: int = 128) -> Compose:
    return Compose(
        [EnsureChannelFirst(channel_dim="no_channel"), Resize(size, size_mode="longest", mode="area"), RepeatChannel(3)]
    )


def echoing_bundle():
    """A SAM whose decoder draws the prompt itself."""
    sam, decoder = compact(), Everything()
    encode = sam.prompt_encoder.forward

    def remember(points, boxes, masks):
        decoder.box = boxes[0].tolist()
        return encode(points, boxes, masks)

    sam.prompt_encoder.forward = remember
    sam.mask_decoder = decoder
    return tiny_bundle(sam, preprocess())


def localization(*boxes: PixelBox) -> Localization:
    return Localization(classification(), np.zeros((160, 128), np.float32), boxes, (0.5,) * len(boxes))


@pytest.mark.parametrize("zoom", [None, 1.0, 2.5, 4.0])
@pytest.mark.parametrize(
    "box", [PixelBox(40, 60, 80, 90), PixelBox(0, 0, 30, 40), PixelBox(100, 120, 128, 160), PixelBox(5, 5, 6, 6)]
)
def test_the_mask_of_a_prompt_lies_on_its_box(zoom, box):
    (mask,) = segment(localization(box), echoing_bundle(), PromptRule(zoom)).masks
    assert mask.shape == (160, 128)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    scale = 160 / 64 if zoom is None else max(32, (zoom or 1) * max(box.width, box.height)) / 64  # pixels per mask cell
    if max(box.width, box.height) > 2 * scale:
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert found == pytest.approx((box.left, box.top, box.right, box.bottom), abs=1 + scale)


def test_boxes_that_share_a_window_are_encoded_once():
    bundle = echoing_bundle()
    calls = []
    bundle.network.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    boxes = (PixelBox(10, 10, 40, 40), PixelBox(60, 60, 90, 90))
    segment(localization(*boxes), bundle, PromptRule(None))
    assert len(calls) == 1
    segment(localization(*boxes), bundle, PromptRule(2.5))
    assert len(calls) == 3


def test_an_image_without_a_box_costs_nothing():
    bundle = echoing_bundle()
    bundle.network.image_encoder.register_forward_hook(lambda *_: pytest.fail("the encoder ran"))
    assert segment(localization(), bundle, PromptRule(2.5)).masks == ()


def test_scores_stay_between_zero_and_one():
    result = segment(localization(PixelBox(20, 20, 60, 60)), tiny_bundle(compact(), preprocess()), PromptRule(2.5))
    assert 0 <= result.predicted_iou[0] <= 1


def test_a_window_of_the_whole_image():
    assert window_of(PixelBox(1, 1, 5, 5), (160, 128), PromptRule(None)) == PixelBox(0, 0, 128, 160)


def test_a_classifier_is_no_segmenter():
    bundle = tiny_bundle(torch.nn.Identity(), preprocess())
    with pytest.raises(TypeError, match="Segment Anything"):
        segment(localization(PixelBox(1, 1, 5, 5)), bundle, PromptRule(2.5))


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


def test_mobile_sam_s_encoder_keeps_its_last_resolution():
    with torch.inference_mode():
        assert TinyViTImageEncoder().eval()(torch.zeros(1, 3, 1024, 1024)).shape == (1, 256, 64, 64)
