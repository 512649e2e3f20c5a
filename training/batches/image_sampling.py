"""Which image is trained on when, with which random numbers: the same for any number of processes or workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose
from torch.utils.data import Dataset, Sampler

from training.batches.cache import ImageCache
from training.batches.map_batches import as_plain_tensor
from training.datasets.manifest import ImageRecord


@dataclass(frozen=True, slots=True)
class SampledIndex:
    """One sample of an epoch: the image's place in the data set and the seed of its random transforms."""

    index: int
    seed: int


class SampledImages(Dataset[dict[str, Any]]):
    """Cached images, transformed at random by the seed of the draw.

    An item holds ``image`` and ``mask`` (1, height, width) float32, ``label`` 0 or 1, and ``guided``: the pixels of
    the finding are known, always so in a normal image.

    Parameters
    ----------
    transform
        Random transforms of an item, seeded for each draw.
    channels
        What gives the image the network's channels in the end; None: one channel.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        cache: ImageCache,
        transform: Compose,
        channels: Callable[[Any], Any] | None = None,
    ) -> None:
        self.records = records
        self.cache = cache
        self.transform = transform
        self.channels = channels

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: SampledIndex) -> dict[str, Any]:
        record = self.records[draw.index]
        image, mask = self.cache.read(draw.index)
        self.transform.set_random_state(draw.seed)
        item = {
            "image": torch.from_numpy(image),
            "mask": torch.from_numpy(mask),
            "label": float(record.label),
            "guided": record.label == 0 or record.mask is not None,
        }
        drawn = self.transform(item)
        drawn = drawn[0] if isinstance(drawn, list) else drawn  # a crop transform returns a list of samples
        if self.channels is not None:
            drawn["image"] = as_plain_tensor(self.channels(drawn["image"]))
        return drawn  # type: ignore[no-any-return]


class BalancedSampler(Sampler[SampledIndex]):
    """Draw ``count`` images per epoch, ``abnormal_share`` of them abnormal; a process gets every n-th draw.

    The draws are a function of seed and epoch: a resumed training goes on as if it had never stopped, and n processes
    with batches of b see what one process with batches of n x b sees.

    Parameters
    ----------
    abnormal_share
        None: every image once per epoch in random order (``count`` is then the number of images).
    """

    def __init__(self, records: Sequence[ImageRecord], count: int, abnormal_share: float | None, seed: int) -> None:
        self.labels = np.array([record.label for record in records])
        self.count = len(records) if abnormal_share is None else count
        self.abnormal_share = abnormal_share
        self.seed = seed
        self.epoch = 1
        self.done = 0  # draws of this epoch that a training that goes on has had
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank, self.processes = (
            (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
        )

    def __len__(self) -> int:
        return self.count // self.processes

    def __iter__(self) -> Iterator[SampledIndex]:
        random = np.random.default_rng([self.seed, self.epoch])
        if self.abnormal_share is None:
            chosen = random.permutation(len(self.labels))
        else:
            abnormal, normal = (np.flatnonzero(self.labels == label) for label in (1, 0))
            is_abnormal = random.random(self.count) < self.abnormal_share
            chosen = np.where(is_abnormal, random.choice(abnormal, self.count), random.choice(normal, self.count))
        seeds = random.integers(0, 2**31, self.count)
        shared = slice(self.done * self.processes + self.rank, len(self) * self.processes, self.processes)
        yield from (SampledIndex(int(i), int(s)) for i, s in zip(chosen[shared], seeds[shared], strict=True))

    def attach(self, trainer: Engine) -> None:
        """Follow the trainer's epochs; one that goes on within an epoch is not shown its first images again."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._follow)

    def _follow(self, trainer: Engine) -> None:
        self.epoch = trainer.state.epoch
        self.done = draws_done(trainer)


def draws_done(trainer: Engine) -> int:
    """Return how many draws of the epoch that starts were learned from before its training was interrupted."""
    steps = trainer.state.iteration % trainer.state.epoch_length
    return steps * int(trainer.state.dataloader.batch_size) if steps else 0
