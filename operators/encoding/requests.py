"""What the builders of DICOM objects are given, and what kinds of objects there are to build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydicom.dataset import Dataset

from operators.records.images import EncodedImage, Segmentation
from operators.records.provenance import Provenance
from operators.records.run_description import RunDescription
from operators.records.sources import SourceImage
from operators.records.study import Study, StudyOutcome


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
    """

    kind: ObjectKind
    segmentation: Segmentation
    number: int
    tracking_uids: tuple[str, ...]
    provenance: Provenance

    @property
    def source(self) -> SourceImage:
        """The image that the object is about."""
        return self.segmentation.source


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
    def provenance(self) -> Provenance:
        """Who makes the object."""
        return self.description.provenance


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
        Of its series (PS3.3 C.7.3.1); the description stands between "OsteoMAP" and "(research use only)".
    label
        What it is called in front of people.
    of_image, of_study
        What builds the object, or returns None if there is nothing to say. One of the two is given.
    required
        Whether it is always written; its failure is that of the image or study. An optional one fails alone.
    """

    name: str
    series_number: int
    series_description: str
    label: str
    of_image: Callable[[ImageRequest], Dataset | None] | None = None
    of_study: Callable[[StudyRequest], Dataset | None] | None = None
    required: bool = False

    @property
    def file_pattern(self) -> str:
        """The pattern of the names of its files in a study's folder."""
        return f"{self.name}.dcm" if self.of_image is None else f"{self.name}_*.dcm"

    def file_name(self, number: int | None = None) -> str:
        """Return the name of its file, for image ``number`` of a study or for the study."""
        return f"{self.name}.dcm" if number is None else f"{self.name}_{number}.dcm"
