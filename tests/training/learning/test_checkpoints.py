"""Checkpoints: one reader for every form, and clear errors for what is none, or is of another network."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from training.datasets.errors import InputError
from training.learning.bundle_weights import compress
from training.learning.checkpoints import load_network, read_network

WEIGHTS = {"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.tensor([0.5])}


def test_every_form_gives_the_same_float32_weights(tmp_path):
    torch.save(WEIGHTS, tmp_path / "plain.pt")
    torch.save({"network": WEIGHTS, "scheduler": {"total_steps": 3}}, tmp_path / "training.pt")
    torch.save({"average": WEIGHTS, "network": {}}, tmp_path / "average.pt")
    torch.save({name: tensor.half() for name, tensor in WEIGHTS.items()}, tmp_path / "half.pt")
    save_file(compress(WEIGHTS, "int8"), tmp_path / "int8.safetensors")
    for name in ("plain.pt", "training.pt", "average.pt", "half.pt", "int8.safetensors"):
        weights = read_network(tmp_path / name, "average")
        assert weights.keys() == WEIGHTS.keys()
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
        assert all(torch.allclose(weights[key], WEIGHTS[key], atol=0.01) for key in WEIGHTS), name


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors", "list.pt", "counters.pt"])
def test_what_is_no_checkpoint_is_named(name, tmp_path):
    (tmp_path / "damaged.pt").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "damaged.safetensors").write_bytes(b"cut off")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "counters.pt")
    with pytest.raises(InputError, match=f"{name}: (not a checkpoint|holds no weights)"):
        read_network(tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"network": WEIGHTS}, tmp_path / "best.pt")
    with pytest.raises(InputError, match="another network than Linear"):
        load_network([torch.nn.Linear(3, 1)], tmp_path / "best.pt")
