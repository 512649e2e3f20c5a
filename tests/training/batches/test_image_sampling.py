"""The cache on disk, and which image is drawn when."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, DivisiblePad, EnsureChannelFirst, RandFlipd, RandGaussianNoised, Resize
from torch.utils.data import DataLoader, Dataset

from training.batches import image_sampling as draws
from training.batches.augmentation import crops, papers, whole_images
from training.batches.cache import open_cache
from training.batches.image_sampling import BalancedSampler, SampledImages, SampledIndex
from training.batches.images import read_pixels
from training.datasets.manifest import read_manifest
from training.phantoms import main as write_phantoms

GEOMETRY = Compose(
    [
        EnsureChannelFirst(channel_dim="no_channel"),
        Resize(160, size_mode="longest", mode="area"),
        DivisiblePad(k=32, method="end"),
    ]
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms([str(folder), "--count", "12", "--seed", "5"])
    return read_manifest(folder)


def intensity(image):
    return image * 3.5 - 1


@pytest.fixture
def cache(records, tmp_path):
    return open_cache(records, GEOMETRY, intensity, "three halves", tmp_path / "cache")


def test_the_cache_gives_what_the_pre_processing_gives(records, cache):
    for index, record in enumerate(records):
        image, mask = cache.read(index)
        expected = np.asarray(intensity(GEOMETRY(read_pixels(str(record.path)))))
        assert image.shape == mask.shape == expected.shape
        assert np.abs(image - expected).max() <= (expected.max() - expected.min()) / 255 * 0.51
        assert bool(mask.any()) == (record.label == 1)


def test_a_cache_is_built_once_and_belongs_to_its_pre_processing(records, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("training.batches.cache.read_pixels", lambda path: pytest.fail("an image was read again"))
    again = open_cache(records, GEOMETRY, intensity, "three halves", tmp_path / "cache")
    assert np.array_equal(again.pixels, cache.pixels)
    with pytest.raises(pytest.fail.Exception, match="read again"):
        open_cache(records, GEOMETRY, intensity, "another", tmp_path / "cache")


def test_an_unfinished_cache_is_built_again(records, cache, tmp_path):
    for file in (tmp_path / "cache").glob("*.json"):
        file.unlink()  # the part that is written last
    again = open_cache(records, GEOMETRY, intensity, "three halves", tmp_path / "cache")
    assert np.array_equal(again.masks, cache.masks)


def test_two_trainings_begun_together_build_the_same_cache(records, tmp_path, monkeypatch):
    """The second begins while the first builds, and ends after it."""
    begun, finished, reads = threading.Event(), threading.Event(), []

    def read(path):
        if threading.current_thread() is second:
            begun.set()
            assert finished.wait(60)
        elif len(reads) == len(records) // 2:
            second.start()
            assert begun.wait(60)
        reads.append(path)
        return read_pixels(path)

    def open_it():
        return open_cache(records, GEOMETRY, intensity, "three halves", tmp_path / "cache")

    second = threading.Thread(target=open_it)
    monkeypatch.setattr("training.batches.cache.read_pixels", read)
    first = open_it()
    pixels = [first.read(index)[0] for index in range(len(records))]
    finished.set()
    second.join()
    for record, image in zip(records, pixels, strict=True):
        expected = np.asarray(intensity(GEOMETRY(read_pixels(str(record.path)))))
        assert np.abs(image - expected).max() <= (expected.max() - expected.min()) / 255 * 0.51
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_draw_is_its_seed(records, cache):
    noisy = Compose([RandFlipd(keys="image", prob=0.5), RandGaussianNoised(keys="image", prob=1.0)])
    drawn = SampledImages(records, cache, noisy)
    first, other, again = drawn[SampledIndex(1, 7)], drawn[SampledIndex(1, 8)], drawn[SampledIndex(1, 7)]
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])


@pytest.mark.parametrize("transform", [crops(64), whole_images(96), papers(96)])
def test_images_and_masks_are_drawn_together(records, cache, transform):
    drawn = SampledImages(records, cache, transform, channels=lambda image: image.repeat(3, 1, 1))
    index = next(i for i, record in enumerate(records) if record.label == 1)
    item = drawn[SampledIndex(index, 3)]
    side = item["mask"].shape[-1]
    assert item["image"].shape == (3, side, side)
    assert item["mask"].shape == (1, side, side)
    assert item["image"].dtype == torch.float32


def test_the_sampler_balances_the_classes_and_changes_with_the_epoch(records):
    sampler = BalancedSampler(records, 400, 0.5, seed=1)
    first = list(sampler)
    assert 150 < sum(records[draw.index].label for draw in first) < 250
    sampler.epoch = 2
    assert list(sampler) != first
    sampler.epoch = 1
    assert list(sampler) == first


def test_without_a_share_every_image_is_drawn_once(records):
    assert sorted(draw.index for draw in BalancedSampler(records, 0, None, seed=1)) == list(range(len(records)))


def test_processes_share_what_one_process_draws(records, monkeypatch):
    whole = list(BalancedSampler(records, 16, 0.5, seed=1))
    monkeypatch.setattr(draws.torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(draws.torch.distributed, "get_world_size", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(draws.torch.distributed, "get_rank", lambda rank=rank: rank)
        parts.append(list(BalancedSampler(records, 16, 0.5, seed=1)))
    batches = [whole[start : start + 4] for start in range(0, 16, 4)]
    shared = [parts[0][start : start + 2] + parts[1][start : start + 2] for start in range(0, 8, 2)]
    assert [set(batch) for batch in batches] == [set(batch) for batch in shared]


def test_a_training_that_goes_on_within_an_epoch_draws_what_is_left(records):
    sampler = BalancedSampler(records, 40, 0.5, seed=1)
    whole = list(sampler)
    trainer = Engine(lambda *_: None)
    sampler.attach(trainer)
    drawn = []
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, lambda: drawn.extend(trainer.state.batch))
    trainer.state.epoch_length, trainer.state.max_epochs, trainer.state.iteration = 10, 2, 3
    loader = DataLoader(Drawn(), batch_size=4, sampler=sampler, collate_fn=list)
    trainer.run(loader, max_epochs=2)
    sampler.epoch, sampler.done = 2, 0
    assert drawn == whole[12:] + list(sampler)


class Drawn(Dataset):
    """The draws themselves."""

    def __getitem__(self, draw):
        return draw
