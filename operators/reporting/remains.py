"""An image whose objects are built -> what remains of it in memory: results, packed outlines and a small picture.

A study may have hundreds of images. What is large is on disk, in ``spool``, or gone.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from operators.records.images import Classification, EncodedImage, Localization, Radiograph
from operators.reporting.spool import Spool, StoredImage, StoredObjects

Record = TypeVar("Record", Radiograph, Localization)


def put_by(image: EncodedImage, spool: Spool) -> EncodedImage:
    """Store what is large of an image and return the same image without it.

    Its objects are read from disk, its masks are unpacked at each look; so are its picture and heat map where the
    spool keeps them. Features are gone.

    Raises
    ------
    OSError
        If there is no room on disk.
    """
    localization = image.segmentation.localization
    radiograph = localization.classification.radiograph
    arrays = {"pixels": radiograph.pixels, "heatmap": localization.heatmap}
    stored = spool.store(image.objects, arrays)
    classification = _without_features(
        localization.classification, _without(StoredRadiograph, radiograph, "pixels", stored)
    )
    localized = _without(StoredLocalization, localization, "heatmap", stored, classification=classification)
    segmentation = dataclasses.replace(
        image.segmentation, localization=localized, masks=PackedMasks(image.segmentation.masks)
    )
    return dataclasses.replace(image, segmentation=segmentation, objects=StoredObjects(stored))


class StoredRadiograph(Radiograph):
    """A radiograph whose picture is read from disk at each look, if it is kept."""

    __slots__ = ("stored",)
    stored: StoredImage

    @property
    def pixels(self) -> NDArray[np.float32]:
        """As of a radiograph."""
        return self.stored.array("pixels")


class StoredLocalization(Localization):
    """A localization whose heat map is read from disk at each look, if it is kept."""

    __slots__ = ("stored",)
    stored: StoredImage

    @property
    def heatmap(self) -> NDArray[np.float32]:
        """As of a localization."""
        return self.stored.array("heatmap")


class PackedMasks(Sequence[NDArray[np.bool_]]):
    """Masks (rows, columns) bool that take little memory; each look unpacks one, read-only."""

    def __init__(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        self._packed = tuple((mask.shape, zlib.compress(np.packbits(mask).tobytes(), 1)) for mask in masks)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[NDArray[np.bool_], ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(_unpack(*packed) for packed in self._packed[index])
        return _unpack(*self._packed[index])

    def __len__(self) -> int:
        return len(self._packed)


def _unpack(shape: tuple[int, ...], packed: bytes) -> NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=int(np.prod(shape)))
    mask = bits.view(bool).reshape(shape)
    mask.flags.writeable = False
    return mask


def _without(kind: type[Any], record: Record, array: str, stored: StoredImage, **changes: Any) -> Any:
    """Return a record of another kind with the same fields but an array, which ``stored`` has."""
    light = object.__new__(kind)
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.name != array}
    for name, value in (values | changes | {"stored": stored}).items():
        object.__setattr__(light, name, value)  # the record is frozen, and its constructor wants the array
    return light


def _without_features(classification: Classification, radiograph: Radiograph) -> Classification:
    """Return a classification of which only the geometry of its views is left."""
    views = tuple(dataclasses.replace(view, stages=()) for view in classification.views)
    return dataclasses.replace(classification, radiograph=radiograph, views=views)
