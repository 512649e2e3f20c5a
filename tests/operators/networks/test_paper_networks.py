"""The networks of the source papers: their size, what they compute, what of them learns."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from operators.networks.configuration import read_config
from operators.networks.map_classifier import MapClassifier
from operators.networks.paper_networks import FrozenBackbone, RandomBaseline, SmallCnn


def values(network: nn.Module) -> tuple[int, int]:
    """(all values with the statistics of batch norm, trainable ones)."""
    stored = sum(tensor.numel() for name, tensor in network.state_dict().items() if "num_batches" not in name)
    return stored, sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def test_the_small_cnn_is_the_papers(bundles):
    for overlay in (None, "paper"):
        network = read_config(bundles / "msk_cnn", overlay).get_parsed_content("network_def")
        assert values(network) == (3_309_921, 3_309_441)
    assert SmallCnn().forward_features(torch.zeros(1, 3, 224, 224)).shape == (1, 128, 14, 14)


def test_densenet169_is_the_papers(bundles):
    ours = read_config(bundles / "msk_densenet169").get_parsed_content("network_def")
    assert values(ours)[0] == 12_644_545
    papers = read_config(bundles / "msk_densenet169", "paper").get_parsed_content("network_def")
    assert values(papers) == (12_644_545, 1_665)


def test_a_frozen_backbone_stays_as_it_is_while_its_head_learns():
    torch.manual_seed(0)
    network = FrozenBackbone(timm.create_model("resnet18", num_classes=1, pretrained=False)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.randn(4, 3, 64, 64)).sum().backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"encoder.fc.weight", "encoder.fc.bias"}


def test_a_random_score_is_uniform_and_belongs_to_the_image():
    network = RandomBaseline(seed=1)
    random = torch.Generator().manual_seed(0)
    images = torch.rand((1000, 1, 32, 24), generator=random)
    scores = torch.sigmoid(network(images)).flatten().numpy()
    assert scores[::-1] == pytest.approx(torch.sigmoid(network(images.flip(0))).flatten().numpy(), abs=1e-6)
    counts, _ = np.histogram(scores, bins=10, range=(0, 1))
    assert counts.min() > 60  # 100 expected, standard deviation 9.5
    assert abs(np.corrcoef(scores, images.mean(dim=(1, 2, 3)).numpy())[0, 1]) < 0.1
    other = torch.sigmoid(RandomBaseline(seed=2)(images)).flatten().numpy()
    assert abs(np.corrcoef(scores, other)[0, 1]) < 0.1


def test_one_grey_level_draws_another_score():
    image = torch.full((1, 1, 16, 16), 128 / 255)
    changed = image.clone()
    changed[0, 0, 3, 7] += 1 / 255
    network = RandomBaseline()
    assert float(network(image)) != float(network(changed))
    assert float(network(image)) == float(network(image + 1e-4))  # what an engine's arithmetic may differ by


def test_a_map_classifier_without_a_pyramid_adds_its_linear_map_only():
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[4], in_chans=1, pretrained=False)
    network = MapClassifier(encoder, feature_channels=None).eval()
    assert values(network)[0] == values(encoder)[0] + 512 + 1
    image = torch.randn(2, 1, 64, 96)
    features = network.forward_features(image)
    assert features.shape == (2, 512, 2, 3)
    cells = (features * network.classifier.weight[0]).sum(dim=1) + network.classifier.bias
    expected = torch.logsumexp(cells.flatten(1) * 2, dim=1) / 2
    assert network(image)[:, 0].detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)
