"""Which finding is trained on when: hard ones more often, and the same for any number of workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from training.batches.findings import finding_mask, pixel_box
from training.batches.image_sampling import SampledIndex, draws_done
from training.batches.images import read_pixels
from training.batches.map_batches import as_plain_tensor
from training.datasets.errors import InputError
from training.datasets.manifest import ManifestError


def cut_surroundings(item: Mapping[str, Any], reach: float, largest: int) -> dict[str, Any]:
    """Return the pixels from which all windows of a finding are cut.

    Parameters
    ----------
    item
        As ``training.batches.findings.findings`` gives them.
    reach
        Side of the cut, in longer sides of the box; what lies beyond the image is left out.
    largest
        Longest side that the finding keeps, pixels; a larger one is reduced.

    Returns
    -------
    ``image`` (height, width) uint8 0 to 255; ``mask`` (h, w) uint8 0 to 255, the finding alone, and ``mask_place``, x
    and y of its first pixel in ``image``; ``outline`` (n, 2) x, y in ``image``: points whose hull is the finding's;
    ``scale``: original pixels per pixel

    Raises
    ------
    ManifestError
        If the mask is empty where the box is.
    """
    box = pixel_box(item["box"])
    longer = max(box.width, box.height)
    scale = max(1.0, longer / largest)
    half = reach * longer / 2
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    place = slice(max(round(y - half), 0), round(y + half)), slice(max(round(x - half), 0), round(x + half))
    image = _reduce(np.round(read_pixels(item["image"])[place] * 255).astype(np.uint8), scale)
    mask = _reduce(finding_mask((read_pixels(item["mask"]) > 0).astype(np.float32), box)[place], scale)
    found = mask >= 0.5
    if not found.any():
        raise ManifestError(f"{item['mask']}: nothing in the box {item['box']}; correct the manifest's box or the mask")
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    near = np.round(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 255).astype(np.uint8)
    return {
        "image": np.array(image),  # a copy: the whole picture is not kept
        "mask": near,
        "mask_place": np.array([columns[0], rows[0]], float),
        "outline": outline_points(found),
        "scale": scale,
    }


def outline_points(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners of the first and last pixel of each row, (n, 2) x, y: their hull holds the whole mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([x, y], 1) for x in (first, last) for y in (rows, rows + 1)]).astype(float)


def _reduce(picture: NDArray[Any], scale: float) -> NDArray[Any]:
    if scale <= 1:
        return picture
    height, width = (max(1, round(side / scale)) for side in picture.shape)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


class SampledFindings(Dataset[dict[str, Any]]):
    """Findings in memory, each prompted at random by the seed of its draw.

    Parameters
    ----------
    findings
        As ``training.batches.findings.findings`` gives them.
    transform
        From ``cut_surroundings``'s items to samples, seeded for each draw.
    reach, largest
        As in ``cut_surroundings``.
    """

    def __init__(self, findings: Sequence[Mapping[str, Any]], transform: Compose, reach: float, largest: int) -> None:
        bar = tqdm(findings, desc="findings", unit="finding", disable=not sys.stderr.isatty())
        self.cuts = [{**cut_surroundings(item, reach, largest), "index": index} for index, item in enumerate(bar)]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, draw: SampledIndex) -> dict[str, Any]:
        self.transform.set_random_state(draw.seed)
        return self.transform(self.cuts[draw.index])  # type: ignore[no-any-return]


class HardFindingSampler(Sampler[SampledIndex]):
    """Draw findings with a probability that grows with their recent 1 - Dice.

    The draws are a function of seed, epoch and what was learnt before; the state is saved with the training, so that a
    resumed training goes on as if it had never stopped.

    Parameters
    ----------
    count
        Findings of the data set, and draws per epoch.
    power
        The probability is proportional to (1 - Dice) ** power; 0: each finding alike.
    memory
        Share of the running value that a new one replaces.
    """

    def __init__(self, count: int, seed: int, power: float = 0.5, memory: float = 0.3) -> None:
        self.difficulty = torch.full((count,), 0.5)
        self.seed = seed
        self.power = power
        self.memory = memory
        self.epoch = 1
        self.done = 0  # draws of this epoch that a training that goes on has had
        self._drawn_from = self.difficulty.clone()  # the difficulties when the epoch started

    def __len__(self) -> int:
        return len(self.difficulty)

    def __iter__(self) -> Iterator[SampledIndex]:
        random = np.random.default_rng([self.seed, self.epoch])
        if not self.done:
            self._drawn_from = self.difficulty.clone()
        weights = self._drawn_from.double().numpy().clip(0.02, 1.0) ** self.power
        # one place per draw on the line of all weights, evenly spaced: as even as a shuffle where all weights are equal
        edges = weights.cumsum() / weights.sum()
        places = (np.arange(len(self)) + random.random()) / len(self)
        chosen = random.permutation(np.searchsorted(edges, places, side="right").clip(max=len(self) - 1))
        seeds = random.integers(0, 2**31, len(self))
        left = zip(chosen[self.done :], seeds[self.done :], strict=True)
        yield from (SampledIndex(int(index), int(seed)) for index, seed in left)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        return {"difficulty": self.difficulty.clone(), "drawn_from": self._drawn_from.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        if state["difficulty"].shape != self.difficulty.shape:
            raise InputError(
                f"a checkpoint of {len(state['difficulty'])} findings, the data set has {len(self)}; "
                "give the same data, or another --output_dir"
            )
        self.difficulty = state["difficulty"].clone()
        self._drawn_from = state["drawn_from"].clone()

    def attach(self, trainer: Engine) -> None:
        """Follow the trainer's epochs, and the Dice that it reaches on each finding."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self._follow)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._learn)

    def _follow(self, trainer: Engine) -> None:
        self.epoch = trainer.state.epoch
        self.done = draws_done(trainer)

    def _learn(self, trainer: Engine) -> None:
        self.note(as_plain_tensor(trainer.state.batch["index"]), one_minus_dice(trainer.state.output))

    def note(self, indices: Tensor, difficulty: Tensor) -> None:
        """Take in the new values of some findings, both (n,)."""
        for index, value in zip(indices.tolist(), difficulty.tolist(), strict=True):
            self.difficulty[index] += self.memory * (value - float(self.difficulty[index]))


def one_minus_dice(output: Mapping[str, Any]) -> Tensor:
    """Return 1 - Dice of the single masks of a trainer's output, (batch,)."""
    logits = output["pred"]["logits"].detach()[:, :1]
    true = functional.interpolate(as_plain_tensor(output["label"]), logits.shape[-2:], mode="area")
    found = (logits > 0).float()
    overlap, total = (value.flatten(1).sum(dim=1) for value in (found * true, found + true))
    return torch.as_tensor(1 - 2 * overlap / total.clamp_min(1))
