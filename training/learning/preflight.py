"""What can be wrong with a training, found out before it starts; every problem is one line that says what to do."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from operators.records.errors import BundleError
from training.datasets.dataset import read_dataset
from training.datasets.manifest import ImageRecord, check_for_training

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PROBLEMS = (BundleError, OSError, RuntimeError, ValueError)


def or_exit(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function and end the program with one line if its input is at fault.

    MONAI wraps what a configuration raises into a page of traceback; SystemExit passes through it.
    """
    try:
        return function(*arguments)
    except PROBLEMS as error:
        raise SystemExit(f"error: {str(error).splitlines()[0]}") from error


def training_records(
    dataset_dir: str | Path,
    phantom_dir: str | Path | None = None,
    parts: Sequence[str] = (),
    protocol: str = "official",
) -> list[ImageRecord]:
    """Return the records of a data set, and of the phantoms that are trained with it (never validated on).

    Raises
    ------
    SystemExit
        If the data cannot be trained on.
    """

    def read() -> list[ImageRecord]:
        records = read_dataset(dataset_dir, None, tuple(parts), protocol, _mask_dir(dataset_dir))
        check_for_training(records, dataset_dir)
        phantoms = read_dataset(phantom_dir, "train") if phantom_dir else []
        return records + phantoms

    return or_exit(read)


def split_records(
    dataset_dir: str | Path, split: str, parts: Sequence[str] = (), protocol: str = "official"
) -> list[ImageRecord]:
    """Return the records of one split; raise SystemExit if there are none or the data cannot be read."""
    return or_exit(read_dataset, dataset_dir, split, tuple(parts), protocol)


def _mask_dir(dataset_dir: str | Path) -> Path:
    return Path("runs/masks") / Path(dataset_dir).resolve().name  # FracAtlas's polygons, drawn once


def device(wanted: str | torch.device) -> torch.device:
    """Return the device of a training; raise SystemExit if it is a GPU that this machine does not have."""
    chosen = torch.device(wanted)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"error: --device {wanted}: no usable GPU here; pass --device cpu or leave it out")
    return chosen


def start(trainer: Any, dry_run: bool) -> None:
    """Train, or with ``dry_run`` draw one batch, compute its loss and stop: everything was built and checked."""
    if not dry_run:
        trainer.run()
        return
    batch = next(iter(trainer.data_loader))
    image, target, *more = trainer.prepare_batch(batch, trainer.state.device)
    prompts = more[0] if more else ()  # what the network takes beside the image
    loss = trainer.loss_function(trainer.inferer(image, trainer.network, *prompts), target)
    sys.stdout.write(f"dry run: {tuple(image.shape)} a batch, loss {float(loss):.4f}; nothing was trained\n")


def save_untrained(network: nn.Module, output_dir: str | Path) -> None:
    """Write the checkpoint of a network that has nothing to train."""
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict()}, Path(output_dir) / "best.pt")
    sys.stdout.write(f"{output_dir}/best.pt: nothing to train\n")
