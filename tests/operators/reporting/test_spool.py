"""What waits on disk is what was stored, and it is gone with the last record that refers to it."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from operators.reporting.remains import PackedMasks, put_by
from operators.reporting.spool import Spool, StoredObjects
from tests.segmentations import EVERY_OBJECT, encode, reread, segmentation


@pytest.fixture
def encoded():
    return encode(segmentation(masks=2), rule=EVERY_OBJECT)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (160, 128)])
def test_packed_masks_are_the_masks(shape):
    random = np.random.default_rng(shape[0])
    masks = [random.random(shape) > share for share in (0.0, 0.5, 1.0)]
    packed = PackedMasks(masks)
    assert len(packed) == 3
    for mask, unpacked in zip(masks, packed, strict=True):
        assert unpacked.dtype == bool
        assert not unpacked.flags.writeable
        assert np.array_equal(unpacked, mask)
    assert np.array_equal(packed[-1], masks[-1])
    assert len(packed[1:]) == 2
    with pytest.raises(IndexError):
        packed[3]


def test_what_remains_of_an_image_says_what_the_image_said(encoded, tmp_path):
    remains = put_by(encoded, Spool(tmp_path))
    before, after = encoded.segmentation, remains.segmentation
    assert all(np.array_equal(one, other) for one, other in zip(before.masks, after.masks, strict=True))
    assert np.array_equal(before.localization.heatmap, after.localization.heatmap)
    pictures = [record.localization.classification.radiograph.pixels for record in (before, after)]
    assert np.array_equal(*pictures)
    assert not pictures[1].flags.writeable
    assert after.localization.classification.geometry == before.localization.classification.geometry
    assert after.localization.boxes == before.localization.boxes
    assert after.source is before.source
    assert remains.picture is encoded.picture
    assert set(remains.objects) == set(encoded.objects) >= {"seg", "sc", "gsps", "labelmap"}
    for kind, ds in encoded.objects.items():
        for stored in (remains.objects[kind], StoredObjects(remains.objects.stored, whole=True)[kind]):
            assert reread(stored) == reread(ds), kind
    with pytest.raises(KeyError):
        remains.objects["sr"]


def test_features_and_arrays_are_let_go(encoded, tmp_path):
    remains = put_by(encoded, Spool(tmp_path, keeps_arrays=False))
    assert all(not view.stages for view in remains.segmentation.localization.classification.views)
    with pytest.raises(ValueError, match="not kept"):
        _ = remains.segmentation.localization.heatmap
    assert not list(tmp_path.rglob("*.npy"))


def test_the_spool_is_gone_with_the_last_record(encoded, tmp_path):
    spool = Spool(tmp_path)
    first, second = put_by(encoded, spool), put_by(encoded, spool)
    pixels = first.objects["sc"]  # its pixels are not read yet
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert len(list(folder.iterdir())) == 2
    del first, second
    gc.collect()
    assert len(list(folder.iterdir())) == 1
    spool.close()
    assert len(pixels.PixelData) >= pixels.Rows * pixels.Columns
    del pixels
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_an_image_takes_a_folder_only_when_there_is_one(tmp_path):
    Spool(tmp_path).close()
    assert not list(Path(tmp_path).iterdir())
