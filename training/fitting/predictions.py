"""The logits and maps of labelled images by the application's own code, as if nothing were fitted yet."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from tqdm import tqdm

from operators.classification.classify import classify
from operators.networks.bundle import Bundle
from operators.records.images import Radiograph
from operators.records.rules import MapRule
from operators.records.sources import SourceFile, SourceImage
from training.batches.images import read_pixels
from training.datasets.manifest import ImageRecord
from training.fitting.boxes import MappedImage, mapped
from training.weights.evaluated import NOT_FITTED


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The logit of a labelled image; ``image``, with the map, where the finding has boxes."""

    record: ImageRecord
    logit: float
    image: MappedImage | None


def record_as_radiograph(record: ImageRecord) -> Radiograph:
    """Return an image of a data set as the application would see it."""
    source = SourceImage(
        SourceFile(record.path, record.path.name), Dataset(), record.path.stem, None, None, None, None, True
    )
    return Radiograph(source, read_pixels(str(record.path)))


def not_fitted(bundle: Bundle) -> Bundle:
    """Return a bundle that gives logits and maps as they are, whatever was fitted for it."""
    localization = {
        "threshold": 0.5,
        "expansion": 0.0,
        "stages": bundle.metadata.get("localization", {}).get("stages", ()),
    }
    unfitted = {"operating_points": NOT_FITTED, "localization": localization}
    return dataclasses.replace(bundle, metadata={**bundle.metadata, **unfitted})


def predict(bundle: Bundle, records: Sequence[ImageRecord], maps: MapRule | None) -> Iterator[Prediction]:
    """Classify images with the application's code, one at a time, as if nothing were fitted yet.

    Parameters
    ----------
    maps
        How the maps of images with boxes are made; None: no map is wanted.
    """
    plain = not_fitted(bundle)
    for record in tqdm(records, unit="image", disable=not sys.stderr.isatty()):
        if maps is None or not record.boxes:
            yield Prediction(record, classify(record_as_radiograph(record), plain).logit, None)
        else:
            classification = classify(record_as_radiograph(record), plain, maps, everything=True)
            yield Prediction(record, classification.logit, mapped(record, classification, maps))
