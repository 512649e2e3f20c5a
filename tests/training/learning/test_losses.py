"""Losses of maps: where the map is brightest, and what the weights switch off; poolings of the map."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from torch.nn import functional

from operators.networks.map_classifier import POOLINGS, MapClassifier
from training.learning.losses import MapGuidedLoss, WithMap, pointing_loss


def mask_of(*places: tuple[int, int], size: int = 8) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    for row, column in places:
        mask[0, 0, row, column] = 1
    return mask


def target(mask: torch.Tensor, label: float = 1.0, guided: bool = True) -> dict[str, torch.Tensor]:
    return {"label": torch.full((len(mask), 1), label), "mask": mask, "guided": torch.full((len(mask),), guided)}


# --- pointing


def test_pointing_moves_the_brightest_cell_into_the_mask():
    torch.manual_seed(0)
    logit_map = torch.randn(1, 1, 8, 8)
    logit_map[0, 0, 6, 6] = 4  # the brightest cell lies outside
    logit_map.requires_grad_()
    mask = mask_of((2, 3), (2, 4))
    optimizer = torch.optim.SGD([logit_map], 0.5)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = pointing_loss(logit_map, mask)
        loss.backward()
        assert bool((logit_map.grad[mask > 0] <= 0).all())  # a step brightens every cell of the finding
        assert bool((logit_map.grad[mask == 0] >= 0).all())  # and darkens every other
        optimizer.step()
        values.append(float(loss))
    assert values == sorted(values, reverse=True)
    assert mask.flatten()[int(logit_map.argmax())] == 1


def test_pointing_is_zero_where_the_brightest_cell_is_in_the_mask():
    logit_map = torch.full((1, 1, 8, 8), -6.0)
    logit_map[0, 0, 2, 3] = 6.0
    assert float(pointing_loss(logit_map, mask_of((2, 3)))) == pytest.approx(0.0, abs=1e-6)
    assert float(pointing_loss(logit_map, mask_of((5, 5)))) > 10
    assert float(pointing_loss(logit_map, torch.ones(1, 1, 8, 8))) == pytest.approx(0.0, abs=1e-6)


def test_a_finding_smaller_than_a_cell_counts_as_one_that_fills_it():
    logit_map = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    full, part = mask_of((2, 3)), 0.03 * mask_of((2, 3))
    assert float(pointing_loss(logit_map, part)) == pytest.approx(float(pointing_loss(logit_map, full)), abs=1e-3)


def test_empty_masks_contribute_nothing_to_pointing():
    generator = torch.Generator().manual_seed(2)
    logit_map = torch.randn(3, 1, 8, 8, generator=generator).requires_grad_()
    mask = torch.cat([mask_of((1, 1)), mask_of(), mask_of()])
    loss = pointing_loss(logit_map, mask)
    loss.backward()
    assert float(loss) == pytest.approx(float(pointing_loss(logit_map[:1], mask[:1])))
    assert not logit_map.grad[1:].any()
    assert logit_map.grad[0].any()
    assert float(pointing_loss(logit_map, torch.zeros_like(mask))) == 0
    assert np.isfinite(float(pointing_loss(torch.full((1, 1, 8, 8), 1e4), mask[:1])))


@pytest.mark.parametrize(("map_weight", "pointing_weight"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.5), (2.0, 0.5)])
def test_the_weights_switch_the_map_s_terms(map_weight, pointing_weight):
    prediction = {"logit": torch.tensor([[0.3]]), "map": torch.randn(1, 1, 8, 8, requires_grad=True)}
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:24, 16:40] = 1
    of_label = functional.binary_cross_entropy_with_logits(prediction["logit"], torch.ones(1, 1))
    cells = functional.adaptive_avg_pool2d(mask, 8)
    whole = MapGuidedLoss(map_weight, pointing_weight=pointing_weight)
    expected = of_label + pointing_weight * pointing_loss(prediction["map"], cells)
    expected = expected + map_weight * whole.map_loss(prediction["map"], cells)
    assert float(whole(prediction, target(mask))) == pytest.approx(float(expected), abs=1e-5)
    assert float(whole(prediction, target(mask, guided=False))) == pytest.approx(float(of_label), abs=1e-6)


def test_labels_alone_leave_the_masks_out():
    prediction = {"logit": torch.tensor([[0.3]]), "map": torch.randn(1, 1, 8, 8)}
    weak = MapGuidedLoss(map_weight=0.0)
    values = {float(weak(prediction, target(mask))) for mask in (torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64))}
    assert len(values) == 1


# --- pooling


def network(pooling: str, **settings: object) -> MapClassifier:
    torch.manual_seed(0)
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    return MapClassifier(encoder, feature_channels=16, pooling=pooling, **settings).eval()


def test_each_pooling_is_what_its_name_says():
    features = torch.randn(2, 16, 5, 7)
    models = {pooling: network(pooling, brightest=3, sharpness=2.0) for pooling in POOLINGS}
    for pooling, model in models.items():
        model.classifier.load_state_dict(models["average"].classifier.state_dict())
        cells = model.forward_map(features).flatten(2)
        expected = {
            "log_sum_exp": lambda c: torch.log(torch.exp(2 * c).sum(2)) / 2,
            "average": lambda c, m=model: m.classifier(features.mean(dim=(2, 3), keepdim=True))[:, :, 0, 0],
            "top_k": lambda c: c.topk(3, dim=2)[0].mean(2),
            "attention": lambda c, m=model: (m.attention(features).flatten(2).softmax(2) * c).sum(2),
        }[pooling](cells)
        assert model.forward_head(features).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


def test_top_k_of_a_map_with_fewer_cells_is_its_mean():
    model = network("top_k", brightest=50)
    features = torch.randn(1, 16, 2, 2)
    assert float(model.forward_head(features)) == pytest.approx(float(model.forward_map(features).mean()), abs=1e-6)


def test_poolings_that_favour_small_findings_see_one_bright_cell():
    dark, bright = torch.full((1, 1, 10, 10), -5.0), torch.full((1, 1, 10, 10), -5.0)
    bright[..., 4, 4] = 10.0
    gain = {}
    for pooling in ("average", "log_sum_exp", "top_k"):
        model, features = network(pooling, brightest=4), torch.zeros(1, 16, 10, 10)
        gain[pooling] = float(model.pool(bright, features) - model.pool(dark, features))
    assert gain["average"] == pytest.approx(0.15, abs=1e-4)
    assert gain["top_k"] > 20 * gain["average"]
    assert gain["log_sum_exp"] > 50 * gain["average"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_pooled_map_trains_and_is_the_cam(pooling):
    model = network(pooling)
    image = torch.randn(2, 1, 64, 96)
    prediction = WithMap(model)(image)
    features = model.forward_features(image)
    cam = torch.einsum("c,bchw->bhw", model.get_classifier().weight[0, :, 0, 0], features) + model.classifier.bias
    assert prediction["map"][:, 0].detach().numpy() == pytest.approx(cam.detach().numpy(), abs=1e-5)
    assert prediction["logit"].detach().numpy() == pytest.approx(model(image).detach().numpy(), abs=1e-5)
    prediction["logit"].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_only_attention_adds_weights():
    keys = {pooling: set(network(pooling).state_dict()) for pooling in POOLINGS}
    assert keys["log_sum_exp"] == keys["average"] == keys["top_k"]
    assert keys["attention"] - keys["average"] == {"attention.weight", "attention.bias"}
    with pytest.raises(ValueError, match=r"'max'; known are log_sum_exp, average"):
        network("max")


@pytest.mark.parametrize("pooling", POOLINGS)
def test_torchscript_and_onnx_pool_the_same(pooling):
    model, example = network(pooling, brightest=20), torch.randn(2, 1, 96, 64)
    script, file = torch.jit.script(model), io.BytesIO()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    names = {"input_names": ["image"], "output_names": ["pred"], "dynamic_shapes": (free,)}
    torch.onnx.export(model, (example,), file, external_data=False, verbose=False, **names)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for shape in ((1, 1, 64, 160), (2, 1, 32, 32)):  # the second has fewer cells than top_k takes
        image = torch.randn(shape)
        with torch.inference_mode():
            expected = model(image).numpy()
            assert script(image).numpy() == pytest.approx(expected, abs=1e-4)
        assert session.run(None, {"image": image.numpy()})[0] == pytest.approx(expected, abs=1e-4)
