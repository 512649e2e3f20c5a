"""What can be wrong with a training, found out before it starts; each error says what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from training.datasets.dataset import read_dataset
from training.datasets.errors import InputError
from training.datasets.fracatlas import mask_folder
from training.datasets.manifest import ImageRecord, check_for_training, choose_split
from training.datasets.splits import in_fold
from training.learning.checkpoints import BEST


def training_records(
    dataset_dir: str | Path,
    phantom_dir: str | Path | None = None,
    parts: Sequence[str] = (),
    protocol: str = "official",
    fold: str | None = None,
) -> list[ImageRecord]:
    """Return the records of a data set, and of the phantoms that are trained with it (never validated on).

    Raises
    ------
    InputError
        If the data cannot be trained on, or there is no such ``fold`` (see ``training.datasets.splits.in_fold``).
    """
    records = in_fold(read_dataset(dataset_dir, None, tuple(parts), protocol, mask_folder(dataset_dir)), fold)
    check_for_training(records, dataset_dir)
    phantoms = read_dataset(phantom_dir, "train") if phantom_dir else []
    return records + phantoms


def split_records(
    dataset_dir: str | Path,
    split: str,
    parts: Sequence[str] = (),
    protocol: str = "official",
    fold: str | None = None,
) -> list[ImageRecord]:
    """Return the records of one split; raise InputError if there are none or the data cannot be read."""
    if fold is None:
        return read_dataset(dataset_dir, split, tuple(parts), protocol)
    return choose_split(in_fold(read_dataset(dataset_dir, None, tuple(parts), protocol), fold), split, dataset_dir)


def device(wanted: str | torch.device) -> torch.device:
    """Return the device of a training; raise InputError if this machine does not have it."""
    try:
        chosen = torch.device(wanted)
    except RuntimeError as error:
        raise InputError(f"--device {wanted}: no such device; pass --device cpu or leave it out") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {wanted}: no usable GPU here; pass --device cpu or leave it out")
    return chosen


def save_untrained(network: nn.Module, output_dir: str | Path) -> None:
    """Write the checkpoint of a network that has nothing to train."""
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict()}, Path(output_dir) / BEST)
    sys.stdout.write(f"{output_dir}/{BEST}: nothing to train\n")
