"""What an analysis returns: a study and its images, with results and DICOM objects in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage
from operators.records.reasons import Reason
from operators.records.sources import ExcludedImage
from operators.records.states import State
from operators.records.study import ReportedStudy
from operators.reporting.output_folder import write_study
from operators.reporting.spool import StoredObjects
from operators.reporting.summaries import ImageSummary, summarise


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedImage:
    """An image of a study; what was not analysed has a ``reason``, no probability, boxes, masks or objects.

    Parameters
    ----------
    record
        The record of the last stage.
    summary
        What ``result.json`` says of the image.
    """

    record: EncodedImage | ExcludedImage
    summary: ImageSummary

    @property
    def file(self) -> str:
        """Path of the file relative to the folder that was given, or a name for what was in memory."""
        return self.summary.file

    @property
    def sop_instance_uid(self) -> str | None:
        """None for a file whose header could not be read."""
        return self.summary.sop_instance_uid

    @property
    def state(self) -> State:
        """Normal, doubt, abnormal, declined or failed; compares equal to these words."""
        return self.summary.state

    @property
    def reason(self) -> Reason | None:
        """Why the image was declined or failed."""
        return self.summary.reason

    @property
    def detail(self) -> str | None:
        """The reason, or what a reader has to know of the result, in words."""
        return self.summary.detail

    @property
    def body_part(self) -> str | None:
        """Defined term of Body Part Examined (PS3.16 Annex L)."""
        return self.summary.body_part

    @property
    def view_position(self) -> str | None:
        """View Position as the header says it."""
        return self.summary.view_position

    @property
    def laterality(self) -> str | None:
        """L, R, B or U as the header says it."""
        return self.summary.laterality

    @property
    def probability(self) -> float | None:
        """Probability of an abnormality, [0, 1]."""
        return self.summary.probability

    @property
    def boxes(self) -> tuple[PixelBox, ...]:
        """The boxes about findings, original pixels, the brightest on the heat map first."""
        return () if isinstance(self.record, ExcludedImage) else self.record.segmentation.localization.boxes

    @property
    def scores(self) -> tuple[float, ...]:
        """The score [0, 1] of each box."""
        return () if isinstance(self.record, ExcludedImage) else self.record.segmentation.localization.scores

    @property
    def masks(self) -> tuple[NDArray[np.bool_], ...]:
        """The outline of each box's finding, (rows, columns) bool, read-only; unpacked at each look."""
        return () if isinstance(self.record, ExcludedImage) else tuple(self.record.segmentation.masks)

    @property
    def predicted_iou(self) -> tuple[float, ...]:
        """The segmenter's own estimate [0, 1] of the quality of each outline."""
        return () if isinstance(self.record, ExcludedImage) else self.record.segmentation.predicted_iou

    @property
    def heatmap(self) -> NDArray[np.float32] | None:
        """The class activation map, (rows, columns) float32 [0, 1], read-only; read from disk at each look."""
        return None if isinstance(self.record, ExcludedImage) else self.record.segmentation.localization.heatmap

    @property
    def pixels(self) -> NDArray[np.float32] | None:
        """The radiograph as it was analysed, (rows, columns) float32 [0, 1], MONOCHROME2 sense, read-only.

        It is read from disk at each look.
        """
        if isinstance(self.record, ExcludedImage):
            return None
        return self.record.segmentation.localization.classification.radiograph.pixels

    @property
    def objects(self) -> Mapping[str, Dataset]:
        """The DICOM objects of the image by kind: ``seg``, ``heatmap``, ``sc``, ``gsps``, ``labelmap``.

        ``image`` is the image itself where the input was a picture and no DICOM file. Each look reads one anew from
        where it waits on disk.
        """
        objects = {} if isinstance(self.record, ExcludedImage) else self.record.objects
        return StoredObjects(objects.stored, whole=True) if isinstance(objects, StoredObjects) else objects


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedStudy:
    """A study: its state, its images and the objects that are about all of it.

    Parameters
    ----------
    reported
        The record of the last stage.
    images
        In the order of ``result.json``.
    """

    reported: ReportedStudy
    images: tuple[AnalysedImage, ...]

    @property
    def study_instance_uid(self) -> str | None:
        """None for the files that name no study."""
        return self.reported.study.study_instance_uid

    @property
    def state(self) -> State:
        """Normal, doubt, abnormal, declined or failed; compares equal to these words."""
        return self.reported.outcome.state

    @property
    def probability(self) -> float | None:
        """Mean probability of an abnormality over the analysed images, [0, 1]."""
        return self.reported.outcome.probability

    @property
    def analysed_at(self) -> datetime | None:
        """When the analysis of the study began."""
        return self.reported.study.analysed_at

    @property
    def objects(self) -> Mapping[str, Dataset]:
        """The DICOM objects of the study by kind: ``sr``, ``pdf``."""
        return self.reported.objects

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the objects as the command line does, in a folder of the study's own, and return their paths."""
        root = Path(folder)
        return tuple(root / written.file for written in write_study(self.reported, root).outputs)


def analysed(reported: ReportedStudy) -> AnalysedStudy:
    """Return the public view of a study that has gone through the chain."""
    return AnalysedStudy(reported, tuple(AnalysedImage(image, summarise(image)) for image in reported.study.images))
