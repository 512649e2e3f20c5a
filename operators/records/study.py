"""A study: what the stages hand on, how a stage is mapped over its images, and what the study comes to."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydicom.dataset import Dataset

from operators.records.errors import (
    AnalysisCancelledError,
    ImageError,
    InternalError,
    InvalidDicomError,
    system_error,
)
from operators.records.images import EncodedImage
from operators.records.reasons import FailedReason
from operators.records.sources import ExcludedImage, SourceFile, SourceImage
from operators.records.states import State

logger = logging.getLogger(__name__)


class _OfImage(Protocol):
    @property
    def source(self) -> SourceImage: ...


class _OfFile(Protocol):
    @property
    def source(self) -> SourceImage | SourceFile: ...


Image_co = TypeVar("Image_co", bound=_OfImage, covariant=True)


Next = TypeVar("Next", bound=_OfImage)


@dataclass(frozen=True, slots=True, eq=False)
class Study(Generic[Image_co]):
    """What the stages hand on: the images of one study, in the order of ``result.json``.

    Parameters
    ----------
    study_instance_uid
        None for the files that name no study; they are collected in one record.
    images
        The records of the stage that the study has come to.
    analysed_at
        When its analysis began, with a time zone; its objects bear this time. None: that of their provenance.
    part_of
        Of a part of a study, the source of every image of the whole study, in order; empty: these images are all.
    """

    study_instance_uid: str | None
    images: tuple[Image_co | ExcludedImage, ...]
    analysed_at: datetime | None = None
    part_of: tuple[SourceImage | SourceFile, ...] = ()

    @property
    def included(self) -> tuple[Image_co, ...]:
        """The images that are neither declined nor failed so far."""
        return tuple(image for image in self.images if not isinstance(image, ExcludedImage))

    @property
    def excluded(self) -> tuple[ExcludedImage, ...]:
        """The images that are declined or have failed."""
        return tuple(image for image in self.images if isinstance(image, ExcludedImage))

    @property
    def sources(self) -> tuple[SourceImage | SourceFile, ...]:
        """The source of every image of the whole study, also where only a part of it is here."""
        return self.part_of or tuple(image.source for image in self.images)

    def number(self, image: _OfFile) -> int:
        """Return the number by which results name an image of the study, from 1."""
        return 1 + next(index for index, source in enumerate(self.sources) if source is image.source)

    def parts(self) -> Iterator[Study[Image_co]]:
        """Yield the study image by image, so that one image at a time has to be in memory."""
        sources = self.sources
        for image in self.images:
            yield Study(self.study_instance_uid, (image,), self.analysed_at, sources)

    def map(self, stage: Callable[[Image_co], Next]) -> Study[Next]:
        """Take every image that is left through a stage; one that the stage refuses is excluded, the others go on."""
        images = tuple(_take(image, stage) for image in self.images)
        return Study(self.study_instance_uid, images, self.analysed_at, self.part_of)

    def fail(self, error: ImageError) -> Study[Image_co]:
        """Return the study with every image that is left excluded for one reason."""
        excluded = tuple(
            image if isinstance(image, ExcludedImage) else ExcludedImage(image.source, *error.outcome)
            for image in self.images
        )
        return Study(self.study_instance_uid, excluded, self.analysed_at, self.part_of)


class Gathering:
    """Makes whole studies of their parts, which arrive in order, one study after the other.

    A study of which a part is missing is dropped when the next one comes.
    """

    def __init__(self) -> None:
        self._parts: list[Study[Any]] = []

    def add(self, part: Study[Any]) -> Study[Any] | None:
        """Add a part and return the study if that was its last."""
        self._parts = [other for other in self._parts if other.part_of is part.part_of] + [part]
        if len(self._parts) < len(part.part_of):
            return None
        images = tuple(image for other in self._parts for image in other.images)
        self._parts = []
        return Study(part.study_instance_uid, images, part.analysed_at)


def _take(image: Image_co | ExcludedImage, stage: Callable[[Image_co], Next]) -> Next | ExcludedImage:
    if isinstance(image, ExcludedImage):
        return image
    try:
        return stage(image)
    except AnalysisCancelledError:
        raise
    except ImageError as error:
        level = logging.INFO if error.state == State.DECLINED else logging.WARNING
        logger.log(level, "%s: %s, %s: %s", image.source, *error.outcome)
        return ExcludedImage(image.source, *error.outcome)
    except Exception as error:  # noqa: BLE001
        # The edge of a stage: one image that meets a mistake of ours must not cost the other images of the run.
        return ExcludedImage(image.source, *internal_error(error, str(image.source)).outcome)


def internal_error(error: Exception, what: str) -> InternalError:
    """Log an exception that nobody expected, and return what is told of ``what`` it has met.

    The exception's text may quote the header, so only its kind and place are logged.
    """
    told, system = InternalError(error), system_error(error)
    if system is None:
        kind, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        logger.error("%s: failed, internal_error: %s at %s; please report it", what, kind, where)  # noqa: TRY400
    else:
        logger.error("%s: failed, %s: %s", what, *told.outcome[1:])  # noqa: TRY400
    logger.debug("where:\n%s", "".join(traceback.format_tb(error.__traceback__)))
    return told


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """State and probability of a study; ``probability`` is None when no image was classified."""

    state: State
    probability: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ReportedStudy:
    """A study with the objects that are about all of it, in memory.

    ``objects`` by kind, the word that its file is named by: ``sr`` (none if nothing could be referred to), ``pdf``.
    """

    study: Study[EncodedImage]
    outcome: StudyOutcome
    objects: Mapping[str, Dataset]


def of_one_patient(
    study_uid: str, images: tuple[SourceImage | ExcludedImage, ...]
) -> tuple[SourceImage | ExcludedImage, ...]:
    """Return the images of a study; if they name different patients, none is analysed: no report could be right.

    A missing Patient ID contradicts none.
    """
    sources = [image.source for image in images]
    named = {str(source.header.get("PatientID") or "") for source in sources if isinstance(source, SourceImage)}
    if len(named - {""}) <= 1:
        return images
    detail = "the files of this study name different patients; correct Patient ID or Study Instance UID at the source"
    problem = InvalidDicomError(FailedReason.HEADER_INVALID, detail)
    logger.error("study %s: %s, %s: %s", study_uid, *problem.outcome)
    files = (source.file if isinstance(source, SourceImage) else source for source in sources)
    return tuple(ExcludedImage(file, *problem.outcome) for file in files)
