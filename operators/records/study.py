"""A study: what a wire carries, how a stage is mapped over its images, and what it comes to."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydicom.dataset import Dataset

from operators.records.errors import ImageError
from operators.records.images import EncodedImage
from operators.records.reasons import FailedReason
from operators.records.sources import ExcludedImage, SourceImage

logger = logging.getLogger(__name__)


class _OfImage(Protocol):
    @property
    def source(self) -> SourceImage: ...


Image_co = TypeVar("Image_co", bound=_OfImage, covariant=True)


Next = TypeVar("Next", bound=_OfImage)


@dataclass(frozen=True, slots=True, eq=False)
class Study(Generic[Image_co]):
    """What a wire carries: the images of one study, in the order of ``result.json``.

    ``study_instance_uid`` is None for the files that name no study; they are collected in one record.
    """

    study_instance_uid: str | None
    images: tuple[Image_co | ExcludedImage, ...]

    @property
    def included(self) -> tuple[Image_co, ...]:
        """The images that are neither declined nor failed so far."""
        return tuple(image for image in self.images if not isinstance(image, ExcludedImage))

    @property
    def excluded(self) -> tuple[ExcludedImage, ...]:
        """The images that are declined or have failed."""
        return tuple(image for image in self.images if isinstance(image, ExcludedImage))

    def number(self, image: object) -> int:
        """Return the number by which results name an image of the study, from 1."""
        return 1 + next(index for index, other in enumerate(self.images) if other is image)

    def map(self, stage: Callable[[Image_co], Next]) -> Study[Next]:
        """Take every image that is left through a stage; one that the stage refuses is excluded, the others go on."""
        return Study(self.study_instance_uid, tuple(_take(image, stage) for image in self.images))


def _take(image: Image_co | ExcludedImage, stage: Callable[[Image_co], Next]) -> Next | ExcludedImage:
    if isinstance(image, ExcludedImage):
        return image
    try:
        return stage(image)
    except ImageError as error:
        level = logging.INFO if error.state == "declined" else logging.WARNING
        logger.log(level, "%s: %s, %s: %s", image.source.sop_instance_uid, error.state, error.reason, error.detail)
        return ExcludedImage(image.source, error.state, error.reason, error.detail)
    except Exception as error:  # noqa: BLE001
        # The edge of a stage: one image that meets a mistake of ours must not cost the other images of the run.
        # The error's text may quote the header, so only its kind and place are told.
        kind, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        logger.error(
            "%s: failed, internal_error: %s at %s; please report it", image.source.sop_instance_uid, kind, where
        )  # noqa: TRY400
        return ExcludedImage(
            image.source, "failed", FailedReason.INTERNAL_ERROR, f"an internal error ({kind}); please report it"
        )


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """State and probability of a study; ``probability`` is None when no image was classified."""

    state: str
    probability: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ReportedStudy:
    """A study with the objects that are about all of it, in memory.

    ``objects`` by kind, the word that its file is named by: ``sr`` (none if nothing could be referred to), ``pdf``.
    """

    study: Study[EncodedImage]
    outcome: StudyOutcome
    objects: Mapping[str, Dataset]
