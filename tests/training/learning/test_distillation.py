"""A student and its teacher; MobileNetV2's weights in EfficientNet."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional

from operators.networks.map_classifier import MapClassifier
from training.learning.distillation import WithTeacher
from training.learning.initialise import student
from training.learning.losses import LabelLoss, MapGuidedLoss
from training.learning.transplant import embed, transplant

BUNDLES = Path(__file__).parents[3] / "bundles"


def network(indices: list[int], channels: int | None = 16, grey: int = 1) -> MapClassifier:
    encoder = timm.create_model("resnet18", features_only=True, out_indices=indices, in_chans=grey, pretrained=False)
    return MapClassifier(encoder, channels)


def test_a_student_that_is_its_teacher_has_the_same_map():
    torch.manual_seed(0)
    teacher = network([2, 3, 4])
    student = network([2, 3, 4])
    student.load_state_dict(teacher.state_dict())
    both = WithTeacher(student, teacher).eval()
    both.project.weight.data = torch.eye(16)[:, :, None, None]  # its features are the teacher's already
    both.project.bias.data.zero_()
    both.standardise.running_var.fill_(1 - both.standardise.eps)
    prediction = both(torch.randn(2, 1, 64, 64))
    assert prediction["map"].shape == (2, 1, 8, 8)
    assert float(prediction["imitation"]) < 1e-9
    teachers = teacher.eval()(torch.ones(1, 1, 64, 64))
    assert float(both(torch.ones(1, 1, 64, 64))["logit"]) == pytest.approx(float(teachers), abs=1e-4)


def test_a_coarse_student_gets_the_teacher_s_image_logit():
    torch.manual_seed(0)
    teacher, student = network([2, 3, 4]).eval(), network([4], None, grey=3).eval()
    seen = {}
    both = WithTeacher(student, teacher).eval()
    original = functional.smooth_l1_loss

    def spy(prediction, target, **options):
        seen["target"] = target
        return original(prediction, target, **options)

    image = torch.randn(1, 1, 64, 64).repeat(1, 3, 1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "smooth_l1_loss", spy)
        both(image)
    assert seen["target"].shape == (1, 1, 2, 2)
    assert float(teacher.pool(seen["target"], image)) == pytest.approx(float(teacher(image[:, :1])), abs=1e-4)


@pytest.mark.slow
def test_the_student_learns_and_the_teacher_does_not():
    torch.manual_seed(0)
    teacher, student = network([2, 3, 4]), network([2, 3, 4])
    both = WithTeacher(student, teacher).train()
    before = [parameter.clone() for parameter in teacher.parameters()]
    optimizer = torch.optim.AdamW(both.parameters(), lr=3e-3)
    image = torch.randn(4, 1, 32, 32)
    target = {"label": torch.tensor([[1.0], [0], [1], [0]]), "mask": torch.zeros(4, 1, 32, 32)}
    target["guided"] = torch.zeros(4, dtype=torch.bool)
    losses = []
    for _ in range(5):
        loss = MapGuidedLoss()(both(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    assert not any("teacher" in name for name in both.state_dict())
    assert not teacher.training


def test_the_label_alone_is_cross_entropy():
    target = {"label": torch.tensor([[1.0], [0.0]]), "mask": torch.zeros(0), "guided": torch.zeros(0)}
    assert float(LabelLoss()(torch.tensor([[0.0], [0.0]]), target)) == pytest.approx(math.log(2))


def test_an_embedded_convolution_computes_what_the_small_one_does():
    torch.manual_seed(0)
    small, large = torch.randn(4, 3, 3, 3), torch.randn(6, 5, 5, 5)
    image = torch.randn(1, 5, 9, 9)
    inside = functional.conv2d(image, embed(small, large), padding=2)[:, :4]
    assert torch.allclose(inside, functional.conv2d(image[:, :3], small, padding=1), atol=1e-5)
    assert torch.equal(embed(small, large)[4:], large[4:])


def test_a_grey_stem_sums_the_colours():
    small, large = torch.randn(4, 3, 3, 3), torch.randn(6, 1, 3, 3)
    grey = torch.randn(1, 1, 5, 5)
    expected = functional.conv2d(grey.repeat(1, 3, 1, 1), small)
    assert torch.allclose(functional.conv2d(grey, embed(small, large))[:, :4], expected, atol=1e-5)


def test_efficientnet_starts_from_mobilenet(tmp_path):
    torch.manual_seed(0)
    relative = timm.create_model("mobilenetv2_100", features_only=True, pretrained=False).eval()
    torch.save(relative.state_dict(), tmp_path / "mobilenet.pth")
    encoder = timm.create_model("efficientnet_b3", features_only=True, in_chans=1, pretrained=False)
    untouched = timm.create_model("efficientnet_b3", features_only=True, in_chans=1, pretrained=False).eval()
    image = torch.randn(2, 1, 64, 64)
    transplant(encoder, tmp_path / "mobilenet.pth", [image])

    theirs = relative(image.repeat(1, 3, 1, 1))[0].flatten(2)

    def likeness(network):
        ours = network(image)[0].flatten(2)[:, : theirs.shape[1]]
        centred = (ours - ours.mean(2, keepdim=True), theirs - theirs.mean(2, keepdim=True))
        return float(functional.cosine_similarity(*centred, dim=2).mean())

    with torch.no_grad():
        assert likeness(encoder.eval()) > 0.5 > abs(likeness(untouched))


def test_a_teacher_is_where_its_student_is():
    """As on a GPU: the device ``meta`` computes shapes alone, but takes no tensor of another device."""
    both = student(network([2, 3, 4]).to("meta"), BUNDLES / "msk_resnet50").to("meta").eval()
    assert both(torch.rand(1, 1, 64, 64, device="meta"))["imitation"].device.type == "meta"


@pytest.mark.gpu
def test_a_student_on_a_gpu_learns_from_a_teacher():
    both = student(network([2, 3, 4]).cuda(), BUNDLES / "msk_resnet50").cuda().eval()
    with torch.inference_mode():
        assert both(torch.rand(1, 1, 64, 64, device="cuda"))["imitation"].isfinite()
