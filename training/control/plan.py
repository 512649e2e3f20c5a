"""What a training is going to do, printed before it starts: images, crops, steps, estimated time, where results go."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.control.progress import duration
from training.control.schedule import validations
from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord
from training.learning import processes
from training.learning.checkpoints import BEST
from training.learning.history import HISTORY

BACKWARD = 3.0  # a training step in forward passes
UNIT = "crops"


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of a training.

    Parameters
    ----------
    samples
        Crops of an epoch, ``unit`` what they are.
    batch_size
        Of all processes together.
    schedule
        Epochs between two validations, and minutes between two checkpoints at most.
    """

    epochs: int
    samples: int
    batch_size: int
    schedule: tuple[int, float]
    output_dir: str
    unit: str = UNIT

    @property
    def steps(self) -> int:
        """Steps of an epoch; what does not fill a batch is left out."""
        return self.samples // self.batch_size


def announce(plan: Plan, dataset_dir: str | Path, records: Sequence[ImageRecord]) -> None:
    """Print the plan of a training on the images of ``train`` and ``val``.

    Raises
    ------
    InputError
        If there is nothing to do: no epoch, or fewer images than one batch takes.
    """
    interval, minutes = plan.schedule
    if plan.epochs < 1 or interval < 1:
        raise InputError(f"--epochs {plan.epochs} --validation_interval {interval}: give 1 or more of each")
    if plan.steps < 1:
        raise InputError(f"{plan.samples} {plan.unit} fill no batch of {plan.batch_size}; lower --batch_size")
    if not processes.is_first():
        return
    times = validations(1, plan.epochs, interval)
    lines = {
        "data": f"{dataset_dir}; train: {_count(records, 'train')}; val: {_count(records, 'val')}",
        "training": f"{plan.epochs} epochs of {plan.steps:,} steps of {plan.batch_size} {plan.unit}: "
        f"{plan.epochs * plan.steps * plan.batch_size:,} {plan.unit}",
        "validation": f"every {interval} epochs and after the last: {times} in all",
        "checkpoint": f"after each validation and every {minutes:g} minutes",
        "results": f"{plan.output_dir}/{BEST} and {HISTORY}",
    }
    sys.stdout.write("".join(f"{name:<11} {text}\n" for name, text in lines.items()))
    sys.stdout.flush()


def _count(records: Iterable[ImageRecord], split: str) -> str:
    chosen = [record for record in records if record.split == split]
    studies = len({record.study for record in chosen})
    abnormal = sum(record.label for record in chosen)
    return f"{len(chosen):,} images of {studies:,} studies, {abnormal:,} abnormal"


@dataclass(frozen=True, slots=True)
class Trial:
    """One batch, computed but not learned from; seconds of a training step, and of one batch of each validation."""

    shape: tuple[int, ...]
    loss: float
    step: float
    validation: float

    def left(self, trainer: Any, interval: int) -> str:
        """Say how long the rest of a training takes, and what that is made of."""
        state = trainer.state
        steps = state.epoch_length * state.max_epochs - state.iteration
        times = validations(state.iteration // state.epoch_length + 1, state.max_epochs, interval)
        seconds = steps * self.step + times * self.validation
        return f"about {duration(seconds)}: {self.step:.2g} s a step, {duration(self.validation)} a validation"


def attempt(trainer: Any, evaluators: Iterable[Any]) -> Trial:
    """Compute the loss of one batch and time it, so that nothing of the training is changed.

    The network is in evaluation mode and no gradient is computed; a training step is taken for three of its passes.
    """
    loader = trainer.data_loader
    draws = list(itertools.islice(iter(loader.sampler), loader.batch_size))
    started = time.perf_counter()
    batch = loader.collate_fn([loader.dataset[draw] for draw in draws])
    loading = time.perf_counter() - started
    image, target, prompts = _prepared(trainer, batch)
    prediction, computing = _timed(trainer, image, prompts)
    loss = float(trainer.loss_function(prediction, target).mean())
    step = BACKWARD * computing
    step = max(step, loading / loader.num_workers) if loader.num_workers else step + loading
    return Trial(tuple(image.shape), loss, step, sum(map(_validation_seconds, evaluators)))


def _validation_seconds(evaluator: Any) -> float:
    """Return how long a validation takes, from one of its batches."""
    loader = evaluator.data_loader
    size = min(loader.batch_size, len(loader.dataset))
    started = time.perf_counter()
    batch = loader.collate_fn([loader.dataset[index] for index in range(size)])
    loading = time.perf_counter() - started
    image, _, prompts = _prepared(evaluator, batch)
    _, computing = _timed(evaluator, image, prompts)
    return len(loader) * (max(loading / loader.num_workers, computing) if loader.num_workers else loading + computing)


def _prepared(engine: Any, batch: Mapping[str, Any]) -> tuple[Tensor, Any, Sequence[Any]]:
    image, target, *more = engine.prepare_batch(batch, engine.state.device)
    return image, target, more[0] if more else ()  # what the network takes beside the image


def _timed(engine: Any, image: Tensor, prompts: Sequence[Any]) -> tuple[Any, float]:
    """Return the network's output and the seconds of a second pass: the first one prepares the device."""
    was_training = engine.network.training
    engine.network.eval()
    with torch.no_grad():
        engine.inferer(image, engine.network, *prompts)
        _wait(image.device)
        started = time.perf_counter()
        output = engine.inferer(image, engine.network, *prompts)
        _wait(image.device)
        seconds = time.perf_counter() - started
    engine.network.train(was_training)
    return output, seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
