"""What the builders of DICOM objects are given, and what kinds of objects there are to build."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.dataset import Dataset

from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import Provenance, image_identity, results_identity
from operators.records.run_description import RunDescription
from operators.records.sources import SourceImage
from operators.records.study import Study, StudyOutcome


@dataclass(frozen=True, slots=True)
class SeriesSubject:
    """What all images of a series show, as their headers say it; None: they do not tell, or differ.

    ``body_part`` is a term of ``codes.BODY_PARTS``, or another that a header names; ``laterality`` is L, R, B or U.
    """

    body_part: str | None = None
    laterality: str | None = None
    view_position: str | None = None

    @classmethod
    def of(cls, sources: Sequence[SourceImage]) -> SeriesSubject:
        """Return what images have in common."""
        shown = [(source.body_part, source.laterality, source.view_position) for source in sources]
        return cls(*(values[0] if len(set(values)) == 1 else None for values in zip(*shown, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class ImageRequest:
    """Build the object of a kind for one image.

    Parameters
    ----------
    kind
        The kind.
    segmentation
        The image after the last stage of analysis; its UIDs are valid.
    number
        By which results name the image in its study, from 1.
    tracking_uids
        One per box; all objects of the image share them.
    provenance
        Who makes the object.
    subject
        What all images of its series show.
    own_series
        Whether the object gets a series of its own, not that of its kind in the study.
    """

    kind: ObjectKind
    segmentation: Segmentation
    number: int
    tracking_uids: tuple[str, ...]
    provenance: Provenance
    subject: SeriesSubject
    own_series: bool

    @property
    def source(self) -> SourceImage:
        """The image that the object is about."""
        return self.segmentation.source

    @property
    def identity(self) -> tuple[str, ...]:
        """What the object's UIDs are derived from."""
        return image_identity(self.segmentation.localization.classification.radiograph)


@dataclass(frozen=True, slots=True, eq=False)
class StudyRequest:
    """Build the object of a kind for a whole study.

    Parameters
    ----------
    kind
        The kind.
    study, outcome
        The images with their objects, and what the study comes to.
    description
        What every report says of the run; its provenance says who makes the object.
    others
        The objects about the whole study that are built so far, by kind.
    render_document
        Returns the report as a PDF file.
    """

    kind: ObjectKind
    study: Study[EncodedImage]
    outcome: StudyOutcome
    description: RunDescription
    others: Mapping[str, Dataset]
    render_document: DocumentRenderer

    @property
    def subject(self) -> SeriesSubject:
        """What all images of the study show that were analysed."""
        return SeriesSubject.of([image.source for image in self.study.included])

    @property
    def provenance(self) -> Provenance:
        """Who makes the object."""
        return self.description.provenance

    @property
    def identity(self) -> tuple[str, ...]:
        """What the object's UIDs are derived from."""
        return results_identity(self.study)


DocumentRenderer: TypeAlias = Callable[[Study[EncodedImage], StudyOutcome, RunDescription], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectKind:
    """A kind of DICOM object that OsteoMAP writes.

    Parameters
    ----------
    name
        The word that its file is named by: ``<name>_<n>.dcm`` for image n of a study, ``<name>.dcm`` for a study. An
        optional kind is switched on by this key of section ``outputs`` of ``app.yaml``.
    series_number, series_description
        Of its series (PS3.3 C.7.3.1); ``series.describe_series`` adds what its images show.
    label
        What it is called in front of people.
    of_image, of_study
        What builds the object, or returns None if there is nothing to say. One of the two is given.
    required
        Whether it is always written; its failure is that of the image or study. An optional one fails alone.
    segmentation
        Whether it is a SEG, which ``outputs: segmentation_series_per_image`` of ``app.yaml`` is about.
    """

    name: str
    series_number: int
    series_description: str
    label: str
    of_image: Callable[[ImageRequest], Dataset | None] | None = None
    of_study: Callable[[StudyRequest], Dataset | None] | None = None
    required: bool = False
    segmentation: bool = False

    @property
    def file_pattern(self) -> str:
        """The pattern of the names of its files in a study's folder."""
        return f"{self.name}.dcm" if self.of_image is None else f"{self.name}_*.dcm"

    def file_name(self, number: int | None = None) -> str:
        """Return the name of its file, for image ``number`` of a study or for the study."""
        return f"{self.name}.dcm" if number is None else f"{self.name}_{number}.dcm"
