"""Data, losses, metrics and phantoms that the models are made with."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from operators.networks.map_classifier import MapClassifier
from training.batches.images import items, read_pixels
from training.batches.map_batches import prepare_map_batch
from training.batches.side_marker import RandSideMarker
from training.datasets.manifest import ManifestError, read_manifest
from training.datasets.phantoms import FINDINGS, draw_phantom, mask_box
from training.learning.bundle_weights import mean_weights
from training.learning.checkpoints import BEST, load_network, read_network
from training.learning.initialise import load_encoder, unfold_batch_norm
from training.learning.losses import MapGuidedLoss, WithMap
from training.learning.optimisation import AutocastInferer, parameter_groups
from training.phantoms import main as write_phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    assert write_phantoms([str(folder), "--count", "20", "--seed", "3"]) == 0
    return folder


# --- phantoms


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_phantom_is_its_seed(finding):
    first, second, other = draw_phantom(5, finding), draw_phantom(5, finding), draw_phantom(6, finding)
    assert np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, other.pixels)
    assert (first.pixels.min(), first.pixels.dtype) == (0, np.float32)
    assert first.pixels.max() <= 1


def test_a_finding_changes_the_picture_only_where_the_mask_is_or_the_fragment_moved():
    none, lytic = draw_phantom(8, "none"), draw_phantom(8, "lytic")
    assert not none.mask.any()
    changed = np.abs(none.pixels - lytic.pixels) > 0.1
    assert changed[lytic.mask].mean() > 0.3
    assert changed[~lytic.mask].mean() < 0.01


@pytest.mark.parametrize("seed", range(12))
def test_a_finding_is_always_in_the_picture(seed):
    for finding in FINDINGS[1:]:
        phantom = draw_phantom(seed, finding, 320, 256)
        left, top, right, bottom = mask_box(phantom.mask)
        assert 0 <= left < right <= 256
        assert 0 <= top < bottom <= 320
        assert phantom.pixels[phantom.mask].mean() > 0.05  # not in the collimated border


def test_an_unknown_finding_is_refused():
    with pytest.raises(ValueError, match="bent"):
        draw_phantom(1, "bent")


# --- manifests


def test_a_written_folder_reads_back(phantoms):
    records = read_manifest(phantoms)
    assert len(records) == 20
    assert {record.split for record in records} == {"train", "val", "test"}
    for record in records:
        assert (record.mask is not None) == bool(record.boxes) == bool(record.label)
    assert [record.label for record in read_manifest(phantoms, "val")] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [{k: v for k, v in row.items() if k != "label"} for row in rows], "column label is missing"),
        (lambda rows: [rows[0] | {"label": "maybe"}], "row 2: label 'maybe'"),
        (lambda rows: [rows[0], rows[1] | {"split": "holdout"}], "row 3: split 'holdout'"),
        (lambda rows: [rows[0] | {"file": "images/gone.png"}], "gone.png does not exist"),
        (lambda rows: [rows[0] | {"boxes_xyxy": "[1, 2"}], "row 2: boxes_xyxy"),
        (lambda rows: [row | {"group_id": "one"} for row in rows], "a patient belongs to one split only"),
    ],
)
def test_a_mistake_in_a_manifest_is_named(phantoms, change, message):
    with (phantoms / "manifest.csv").open() as file:
        rows = change(list(csv.DictReader(file)))
    with (phantoms / "wrong.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ManifestError, match=message):
        read_manifest(phantoms / "wrong.csv")


def test_an_absent_manifest_and_an_empty_split_are_named(tmp_path, phantoms):
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "none")
    (tmp_path / "manifest.csv").write_text("file,label,split\n")
    with pytest.raises(ManifestError, match="no image of split 'test'"):
        read_manifest(tmp_path, "test")


# --- data


def test_pictures_are_read_in_their_own_depth(tmp_path):
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(eight).save(tmp_path / "8.png")
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "16.png")
    assert read_pixels(str(tmp_path / "8.png")) == pytest.approx(eight / 255)
    assert read_pixels(str(tmp_path / "16.png")) == pytest.approx(eight / 255)


def test_a_side_marker_is_burnt_in_at_random():
    always, never = RandSideMarker(1.0, 30), RandSideMarker(0.0, 30)
    always.set_random_state(1)
    item = {"image": torch.rand(1, 90, 70), "mask": torch.zeros(1, 90, 70)}
    marked = always(item)
    assert torch.equal(never(item)["image"], item["image"])
    changed = (marked["image"] != item["image"]).sum()
    assert 5 < changed < 900
    assert marked["image"].max() == item["image"].max()
    assert marked["mask"] is item["mask"]


def test_a_crop_without_the_finding_is_normal():
    mask = torch.zeros(4, 1, 8, 8)
    mask[0, 0, 2, 2] = 1
    batch = {
        "image": torch.rand(4, 1, 8, 8),
        "mask": mask,
        "label": torch.tensor([1.0, 1.0, 0.0, 1.0]),
        "guided": torch.tensor([True, True, True, False]),
    }
    _, target = prepare_map_batch(batch, torch.device("cpu"))
    assert target["label"].flatten().tolist() == [1, 0, 0, 1]  # the last has no mask, so its label stands


def test_items_say_whose_pixels_are_known(phantoms):
    assert all(item["guided"] for item in items(read_manifest(phantoms)))


# --- networks and losses


def small_network() -> MapClassifier:
    torch.manual_seed(0)
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    return MapClassifier(encoder, feature_channels=16)


def target(label: float, mask: torch.Tensor, guided: bool = True):
    return {"label": torch.tensor([[label]]), "mask": mask, "guided": torch.tensor([guided])}


def test_the_loss_falls_when_the_map_meets_the_mask():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:32, 16:32] = 1
    right = torch.full((1, 1, 8, 8), -8.0)
    right[..., 2:4, 2:4] = 8
    wrong = right.flip(-1)
    loss = MapGuidedLoss()
    values = [float(loss({"logit": torch.tensor([[8.0]]), "map": m}, target(1.0, mask))) for m in (right, wrong)]
    assert values[0] < 0.1 < values[1]


def test_without_a_mask_only_the_label_counts():
    prediction = {"logit": torch.tensor([[0.3]]), "map": torch.randn(1, 1, 8, 8)}
    weak = MapGuidedLoss()(prediction, target(1.0, torch.zeros(1, 1, 64, 64), guided=False))
    assert float(weak) == pytest.approx(float(np.log1p(np.exp(-0.3))), abs=1e-5)
    assert float(MapGuidedLoss(map_weight=0)(prediction, target(1.0, torch.ones(1, 1, 64, 64)))) == pytest.approx(
        float(weak)
    )


def test_one_step_learns():
    network = WithMap(small_network())
    image, mask = torch.rand(4, 1, 64, 64), torch.zeros(4, 1, 64, 64)
    mask[:2, :, 10:30, 10:30] = 1
    goal = {
        "label": torch.tensor([[1.0], [1.0], [0.0], [0.0]]),
        "mask": mask,
        "guided": torch.ones(4, dtype=torch.bool),
    }
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.01), lr=1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = MapGuidedLoss()(network(image), goal)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


def test_unfolding_batch_norm_changes_the_statistics_and_not_the_function():
    network = small_network().eval()
    image = torch.randn(8, 1, 64, 64)
    with torch.inference_mode():
        before = network(image)
    unfold_batch_norm(network, [image[:4], image[4:]])
    with torch.inference_mode():
        after = network.eval()(image)
    assert after == pytest.approx(before.numpy(), abs=1e-4)
    assert float(network.encoder.bn1.running_var.mean()) != pytest.approx(1.0, abs=1e-3)


def test_batches_come_to_where_the_network_is():
    network = small_network().double()  # as on a GPU, what comes from the loader does not suit it as it is
    unfold_batch_norm(network, [torch.randn(4, 1, 64, 64)])
    assert network.encoder.bn1.running_mean.dtype == torch.float64


@pytest.mark.gpu
def test_a_network_on_a_gpu_gets_the_statistics_of_batches_from_the_loader():
    network = small_network().cuda()
    unfold_batch_norm(network, [torch.randn(4, 1, 64, 64)])
    assert float(network.encoder.bn1.running_var.mean()) != pytest.approx(1.0, abs=1e-3)


def test_a_colour_stem_is_summed_and_a_foreign_file_refused(tmp_path):
    colour = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], pretrained=False)
    torch.save(colour.state_dict(), tmp_path / "colour.pth")
    grey = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    load_encoder(grey, tmp_path / "colour.pth")
    assert torch.allclose(grey.conv1.weight[:, 0], colour.conv1.weight.sum(1))
    torch.save({"x": torch.zeros(1)}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match="lacks"):
        load_encoder(grey, tmp_path / "foreign.pth")
    with pytest.raises(FileNotFoundError, match="initial_weights"):
        load_encoder(grey, tmp_path / "absent.pth")


def test_json_of_phantom_boxes(phantoms):
    with (phantoms / "manifest.csv").open() as file:
        assert all(isinstance(json.loads(row["boxes_xyxy"]), list) for row in csv.DictReader(file))


# --- starting


def test_a_training_starts_from_the_best_of_another(tmp_path):
    source, first, second = (torch.nn.Linear(3, 2) for _ in range(3))
    torch.save({"network": source.state_dict(), "checkpointer": {}}, tmp_path / BEST)
    load_network([first, second], tmp_path / BEST)
    assert torch.equal(first.weight, source.weight)
    assert torch.equal(second.weight, source.weight)
    with pytest.raises(FileNotFoundError, match="initial_checkpoint"):
        load_network([first], tmp_path / "none.pt")


def test_what_metrics_get_is_float32():
    layer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1))
    image = torch.randn(2, 1, 4, 4)
    assert AutocastInferer(True)(image, layer).dtype == torch.float32
    assert AutocastInferer(True)(image, layer).detach().numpy() == pytest.approx(
        layer(image).detach().numpy(), abs=0.05
    )


def test_the_mean_of_checkpoints(tmp_path):
    first = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    second = {"weight": torch.tensor([3.0, 6.0]), "count": torch.tensor(5)}
    torch.save({"network": first}, tmp_path / "a.pt")
    torch.save({"network": first, "average": second}, tmp_path / "b.pt")
    states = [read_network(tmp_path / name, "average") for name in ("a.pt", "b.pt")]
    mean = mean_weights(states)
    assert mean["weight"].tolist() == [2.0, 4.0]
    assert int(mean["count"]) == 3
    with pytest.raises(ValueError, match="different networks"):
        mean_weights([first, {"weight": torch.zeros(3), "count": torch.tensor(0)}])
