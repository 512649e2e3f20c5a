"""Predictions -> files: a CSV of all images, and per image a NIfTI file that lies on top of it.

Handlers of the evaluator in a bundle's ``inference.json``; MONAI hands them one image after the other.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import nibabel
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from tqdm import tqdm

from operators.image_files.errors import ImageFilesError
from operators.image_files.image_file import IgnoredFile, ImageFile
from operators.image_files.inferers import Outlines
from operators.networks.bundle import Bundle
from operators.records.images import Localization
from operators.records.sources import ExcludedImage

logger = logging.getLogger(__name__)


class PredictionWriter(ABC):
    """Handler of an evaluator: a CSV that grows by an image's rows as soon as it is done, and a NIfTI file per image.

    Attributes
    ----------
    table
        Name of the CSV.
    columns
        Its columns; ``state``, ``reason`` and ``detail`` say why an image has no answer.
    """

    table: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    def __init__(self, bundle: Bundle, output_dir: str) -> None:
        self.output_dir = Path(str(output_dir))
        self.description = f"research use only; {bundle.name} {bundle.version} of OsteoMAP"
        self.states: Counter[str] = Counter()
        self.ignored = 0

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write)

    @abstractmethod
    def answer(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of an image that has an answer, and save its NIfTI file."""

    def save(self, image: ImageFile, values: NDArray[Any], name: str) -> str:
        """Write values of an image's pixels, (rows, columns), as NIfTI and return the file's name."""
        nibabel.save(image.to_nifti(values, self.description), self.output_dir / name)
        return name

    def finish(self) -> None:
        """Log what became of the images; ImageFilesError if there is none or not one could be read."""
        total, table = self.states.total(), self.output_dir / self.table
        if total == 0:
            raise ImageFilesError(f"none of {self.ignored} files is an image; check --dataset_dir")
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        logger.info("%d images: %s; %d other files ignored; see %s", total, counts, self.ignored, table)
        if self.states["failed"] == total:
            raise ImageFilesError(f"none of {total} images could be read; {table} says why")

    def _start(self, _: Engine) -> None:
        self.states.clear()
        self.ignored = 0
        try:
            self.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        self._add("w", [dict(zip(self.columns, self.columns, strict=True))])

    def _write(self, engine: Engine) -> None:
        item, output = engine.state.batch, engine.state.output
        if isinstance(output["pred"], IgnoredFile):
            self.ignored += 1
            return
        try:
            rows = self._excluded(item, output["pred"]) or self.answer(item, output)
        except OSError as error:
            raise self._unwritable(error) from error
        self._add("a", [{"file": item["file"].name, **row} for row in rows])
        self.states[rows[0]["state"]] += 1

    def _excluded(self, item: Mapping[str, Any], prediction: Any) -> list[dict[str, Any]]:
        """Return the row of an image that has no answer, or nothing."""
        if not isinstance(prediction, ExcludedImage):
            return []
        outcome = (prediction.state, prediction.reason, prediction.detail)
        level = logging.WARNING if prediction.state == "failed" else logging.INFO
        logger.log(level, "%s: %s, %s: %s", item["file"], *outcome)
        return [dict(zip(("state", "reason", "detail"), outcome, strict=True))]

    def _add(self, mode: str, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            with (self.output_dir / self.table).open(mode, newline="", encoding="utf-8") as stream:
                csv.DictWriter(stream, self.columns).writerows(rows)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ImageFilesError:
        return ImageFilesError(f"{self.output_dir}: cannot be written to ({error.strerror}); check --output_dir")


class ScoreWriter(PredictionWriter):
    """Write ``scores.csv`` and, per image, the heat map as ``<name>_heatmap.nii.gz``: float32 [0, 1]."""

    table = "scores.csv"
    columns = ("file", "probability", "state", "reason", "detail", "heatmap_file")

    def answer(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the image's one row."""
        localization: Localization = output["pred"]
        classification = localization.classification
        heatmap_file = self.save(item["image"], localization.heatmap, f"{item['name']}_heatmap.nii.gz")
        return [
            {
                "probability": classification.probability,
                "state": classification.state,
                "heatmap_file": heatmap_file,
            }
        ]


class OutlineWriter(PredictionWriter):
    """Write ``outlines.csv``, a row per box, and per image the masks as ``<name>_mask.nii.gz``: uint8 labels 1 to n."""

    table = "outlines.csv"
    columns = (
        *("file", "label", "left", "top", "right", "bottom", "area_px", "predicted_iou"),
        *("state", "reason", "detail", "mask_file"),
    )

    def answer(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return a row per box; an image without a box has one row and no mask."""
        outlines: Outlines = output["pred"]
        if not outlines.boxes:
            return [{"state": "without_box"}]
        mask_file = self.save(outlines.image, output["labels"], f"{item['name']}_mask.nii.gz")
        found = zip(outlines.boxes, outlines.masks, outlines.predicted_iou, strict=True)
        return [
            {
                "label": label,
                **dataclasses.asdict(box),
                "area_px": int(mask.sum()),
                "predicted_iou": score,
                "state": "outlined",
                "mask_file": mask_file,
            }
            for label, (box, mask, score) in enumerate(found, start=1)
        ]


class ProgressBar:
    """Handler of an evaluator: a progress bar on a terminal, nothing elsewhere."""

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        if sys.stderr.isatty():
            bar = tqdm(unit="image")
            engine.add_event_handler(Events.STARTED, lambda running: bar.reset(running.state.epoch_length))
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: bar.update())
            engine.add_event_handler(Events.COMPLETED, lambda _: bar.close())
