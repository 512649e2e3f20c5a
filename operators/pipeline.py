"""The chain: what is done with a study, in which order. Every host, with or without Holoscan, runs these stages.

Read ``stages`` from top to bottom: it is the way of the data.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar, TypeAlias

from operators.classification.classify import classify_together, image_points, study_points
from operators.classification.study_outcome import summarise_study
from operators.encoding.image_objects import encode_image
from operators.encoding.requests import SeriesSubject
from operators.encoding.study_objects import encode_study
from operators.localization.localize import localize
from operators.networks.bundle import Bundle, Models
from operators.reading.decoder import Decoder
from operators.reading.radiographs import read_radiograph
from operators.records.errors import AnalysisCancelledError, EncodingError, ImageError
from operators.records.images import Classification, EncodedImage, Localization, Radiograph, Segmentation
from operators.records.provenance import Provenance
from operators.records.rules import TURNED, BoxRule, MapRule, ObjectRule, PromptRule, Rules, Scope, TurnRule
from operators.records.run_description import RunDescription
from operators.records.sources import SourceImage
from operators.records.study import Gathering, ReportedStudy, Study, StudyOutcome, internal_error
from operators.reporting.pdf_document import render_pdf
from operators.reporting.remains import put_by
from operators.reporting.spool import Spool
from operators.segmentation.outline import segment

logger = logging.getLogger(__name__)


Cancelled: TypeAlias = Callable[[], bool]  # whether the caller has asked to stop


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class ImageStage:
    """A stage that does one thing with every image of a study, however many of them are there at a time.

    Parameters
    ----------
    name
        Of the stage, and of its operator in the graph.
    receives, emits
        The records of the images before and after, in snake case: the names of the ports in the graph.
    step
        What is done with an image that was neither declined nor has failed; an ``ImageError`` excludes the image.
    """

    name: str
    receives: str
    emits: str
    step: Callable[[Any], Any]
    by_image: ClassVar[bool] = True

    def __call__(self, study: Study[Any], cancelled: Cancelled = _never) -> Study[Any]:
        """Take a study through the stage.

        Raises
        ------
        AnalysisCancelledError
            If ``cancelled`` says so before an image is begun.
        """
        return study.map(_timed(self.name, _unless(cancelled, self.step)))


@dataclass(frozen=True, slots=True, eq=False)
class StudyStage:
    """A stage that looks at a study as a whole; parameters as above.

    Parameters
    ----------
    step
        Is given the study and what says whether the caller has asked to stop.
    by_image
        Whether a part of the study is enough, as the stage needs to know only which study an image belongs to.
    failed
        Says what a study comes to that meets a mistake of ours in it.
    """

    name: str
    receives: str
    emits: str
    step: Callable[[Study[Any], Cancelled], Any]
    failed: Callable[[Study[Any], ImageError], Any] = Study.fail
    by_image: bool = False

    def __call__(self, study: Study[Any], cancelled: Cancelled = _never) -> Any:
        """Take a study through the stage; errors as above."""
        try:
            return self.step(study, cancelled)
        except AnalysisCancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a stage: a mistake of ours costs one study, not the run
            return self.failed(study, internal_error(error, f"study {study.study_instance_uid}"))


Stage: TypeAlias = ImageStage | StudyStage


def stages(models: Models, rules: Rules, provenance: Provenance, decoder: Decoder, spool: Spool) -> tuple[Stage, ...]:
    """Return the stages of the chain in order: image by image up to its objects, then the report of the study.

    Parameters
    ----------
    models
        Verified bundles.
    rules
        How each stage works.
    provenance
        Who makes the results; a study's objects bear the time at which its analysis began.
    decoder
        What reads pixels.
    spool
        Where the objects of an image wait for the other images of its study.
    """
    return (
        radiographs(rules.scope, decoder),
        classification(models.classifiers, rules.maps, turns=rules.turns),
        localization(rules.boxes),
        segmentation(models.segmenter, rules.prompts),
        *object_stages(rules.objects, describe_run(models, rules, provenance), spool),
    )


def run(study: Study[Any], chain: Sequence[Stage], cancelled: Cancelled = _never) -> Any:
    """Take a study through stages; ``cancelled`` is asked before each image.

    Each image is taken through all stages that need no other image before the next one is begun, so that one image at
    a time is in memory; then the study is taken through the other stages.
    """
    of_image = tuple(takewhile(lambda stage: stage.by_image, chain))
    gathering, whole = Gathering(), study
    for part in study.parts():
        whole = gathering.add(_through(of_image, part, cancelled)) or whole
    return _through(chain[len(of_image) :], whole, cancelled)


def _through(chain: Sequence[Stage], study: Study[Any], cancelled: Cancelled) -> Any:
    for stage in chain:
        study = stage(study, cancelled)
    return study


def radiographs(scope: Scope, decoder: Decoder) -> ImageStage:
    """Return the stage that checks the scope of every image and decodes those that are in it."""

    def read(source: SourceImage) -> Radiograph:
        return read_radiograph(source, scope, decoder)

    return ImageStage("radiographs", "studies", "radiographs", read)


def classification(
    classifiers: Sequence[Bundle], rule: MapRule, *, everything: bool = False, turns: TurnRule = TURNED
) -> ImageStage:
    """Return the stage that gives every radiograph a probability, and what its map is made of.

    With ``everything``, what a map needs beyond the plain view is computed for normal images too. ``turns``: whether a
    radiograph that would be normal is looked at turned, too.
    """

    def classify(radiograph: Radiograph) -> Classification:
        return classify_together(radiograph, classifiers, rule, everything=everything, turns=turns)

    return ImageStage("classification", "radiographs", "classifications", classify)


def localization(rule: BoxRule) -> ImageStage:
    """Return the stage that makes the heat map of every image and finds its boxes."""

    def find(classified: Classification) -> Localization:
        return localize(classified, rule)

    return ImageStage("localization", "classifications", "localizations", find)


def segmentation(segmenter: Bundle, rule: PromptRule) -> ImageStage:
    """Return the stage that outlines every box; an image without a box costs nothing."""

    def outline(localized: Localization) -> Segmentation:
        return segment(localized, segmenter, rule)

    return ImageStage("segmentation", "localizations", "segmentations", outline)


def object_stages(
    rule: ObjectRule, description: RunDescription, spool: Spool | None = None
) -> tuple[StudyStage, StudyStage]:
    """Return the stages that build the DICOM objects: those of every image, then those of the study."""
    encode = partial(_encode_images, rule, description, spool or Spool())
    return (
        StudyStage("dicom_objects", "segmentations", "encoded_images", encode, by_image=True),
        StudyStage(
            *("dicom_report", "encoded_images", "reported_studies"),
            partial(_report, rule, description),
            partial(_without_report, description),
        ),
    )


def describe_run(models: Models, rules: Rules, provenance: Provenance) -> RunDescription:
    """Return what every report says of an analysis with these models and rules."""
    limits = dict.fromkeys(limit for bundle in (*models.classifiers, models.segmenter) for limit in bundle.limits)
    points = study_points(*models.classifiers), image_points(*models.classifiers)
    return RunDescription(provenance, *points, tuple(limits), rules.patient_data)


def _unless(cancelled: Cancelled, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(image: Any) -> Any:
        if cancelled():
            raise AnalysisCancelledError
        return step(image)

    return checked


def _timed(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a step that logs, for those who look closely, how long it took."""

    def timed(image: Any) -> Any:
        started = time.perf_counter()
        done = step(image)
        logger.debug("%s: %s took %.2f s", image.source, name, time.perf_counter() - started)
        return done

    return timed


def _encode_images(
    rule: ObjectRule, description: RunDescription, spool: Spool, study: Study[Segmentation], cancelled: Cancelled
) -> Study[EncodedImage]:
    """Build the DICOM objects of every image of a part of a study and put by what is large of it."""
    provenance = _at(description, study).provenance
    subject = SeriesSubject.of([source for source in study.sources if isinstance(source, SourceImage)])

    def encode(image: Segmentation) -> EncodedImage:
        localization = image.localization
        classified, scores = localization.classification, ", ".join(f"{score:.2f}" for score in localization.scores)
        told = classified.state, classified.probability, scores or "none"
        logger.debug("%s: %s, probability %.4f, scores of boxes: %s", image.source, *told)
        return put_by(encode_image(image, study.number(image), rule, provenance, subject), spool)

    return study.map(_timed("dicom_objects", _unless(cancelled, encode)))


def _report(
    rule: ObjectRule, description: RunDescription, study: Study[EncodedImage], _cancelled: Cancelled
) -> ReportedStudy:
    """Summarise a study and build its report; if the report cannot be built, all its images have failed."""
    description = _at(description, study)
    try:
        return encode_study(study, _outcome(study, description), rule, description, render_pdf)
    except EncodingError as error:
        logger.error("study %s: failed, %s: %s", study.study_instance_uid, error.reason, error.detail)  # noqa: TRY400
        return _without_report(description, study, error)


def _without_report(description: RunDescription, study: Study[EncodedImage], error: ImageError) -> ReportedStudy:
    """Return a study whose report cannot be built: all its images have failed."""
    failed = study.fail(error)
    return ReportedStudy(failed, _outcome(failed, description), {})


def _outcome(study: Study[EncodedImage], description: RunDescription) -> StudyOutcome:
    classifications = [image.segmentation.localization.classification for image in study.included]
    return summarise_study(classifications, [image.state for image in study.excluded], description.points)


def _at(description: RunDescription, study: Study[Any]) -> RunDescription:
    """Return the description with the time at which the analysis of a study began."""
    if study.analysed_at is None:
        return description
    return dataclasses.replace(
        description, provenance=dataclasses.replace(description.provenance, now=study.analysed_at)
    )
