"""The images of a study -> one TID 1500 report (Comprehensive SR, PS3.16 TID 1500, in memory).

All groups follow TID 1410: the whole image, each box as coordinates and, with the same tracking UID, as a segment. A
group without a region (TID 1501) crashes a common viewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from operators.codes import (
    ARTIFICIAL_INTELLIGENCE,
    BODY_PARTS,
    BOUNDED_BY,
    IMAGING_PROCEDURE,
    LATERALITIES,
    LESION,
    NORMALITY,
    NORMALITY_NAME,
    PROBABILITY_NAME,
    RADIOGRAPH,
    RATIO_UNIT,
)
from operators.dicom_source import is_referable
from operators.errors import DeclinedReason, EncodingError
from operators.provenance import APPLICATION, RESEARCH_USE_ONLY, Model, Provenance, tracking_id
from operators.records import EncodedImage, ExcludedImage, SourceImage
from operators.study import Study, StudyOutcome

SERIES_NUMBER = 9000
Group: TypeAlias = sr.PlanarROIMeasurementsAndQualitativeEvaluations


def encode_report(
    study: Study[EncodedImage], outcome: StudyOutcome, others: Mapping[str, Dataset], provenance: Provenance
) -> Dataset | None:
    """Build the report of a study; None if no file of the study has a picture that could be referred to.

    Raises
    ------
    EncodingError
        If highdicom refuses the object.
    """
    pictures = _referred(study)
    if not pictures:
        return None
    try:
        content = _content(study, pictures, provenance)
        seg_objects = [image.seg for image in study.included if image.seg is not None]
        report = sr.ComprehensiveSR(
            evidence=[*(picture.header for picture in pictures), *seg_objects],
            content=content,
            series_instance_uid=provenance.uid("sr series", str(study.study_instance_uid)),
            series_number=SERIES_NUMBER,
            sop_instance_uid=provenance.uid(
                "sr", str(study.study_instance_uid), *sorted(picture.sop_instance_uid for picture in pictures)
            ),
            instance_number=1,
            manufacturer=f"{APPLICATION} project (research use only)",
            is_complete=True,
            is_final=False,
            is_verified=False,
            series_description="OsteoMAP report (research use only)",
            contributing_equipment=provenance.contributing_equipment(),
        )
    except Exception as error:
        # highdicom and pydicom raise a dozen kinds, and there is no stage behind this one to catch them
        raise EncodingError(f"the report cannot be built ({type(error).__name__})") from error
    report.ManufacturerModelName = APPLICATION
    report.DeviceSerialNumber = provenance.device_uid[-16:]
    report.SoftwareVersions = provenance.version
    provenance.stamp(report)
    return cast(Dataset, report)


def _referred(study: Study[EncodedImage]) -> list[SourceImage]:
    """Return the images that the report refers to, each instance once: an image before its duplicates."""
    found: dict[str, SourceImage] = {}
    for image in sorted(study.images, key=_is_duplicate):
        if isinstance(image.source, SourceImage) and _can_be_shown(image.source):
            found.setdefault(image.source.sop_instance_uid, image.source)
    return list(found.values())


def _is_duplicate(image: EncodedImage | ExcludedImage) -> bool:
    return isinstance(image, ExcludedImage) and image.reason == DeclinedReason.DUPLICATE_INSTANCE


def _content(
    study: Study[EncodedImage], pictures: Sequence[SourceImage], provenance: Provenance
) -> sr.MeasurementReport:
    """Return the content tree: one or more groups per image, then what was not analysed, in text."""
    groups: list[Group] = []
    comments = [RESEARCH_USE_ONLY]
    for number, image in enumerate(study.images, start=1):
        if not isinstance(image, ExcludedImage) and image.source in pictures:
            groups += _image_groups(number, image, provenance)
            if image.source.body_part is None:
                comments.append(f"Image {number}: the header names no body part; it may be out of scope.")
            comments += _dispute(number, image)
        elif isinstance(image, ExcludedImage) and isinstance(image.source, SourceImage):
            comments.append(
                f"Image {number} ({image.source.sop_instance_uid}) was not analysed: {image.state}, {image.reason}."
            )
            if image.source in pictures:
                groups.append(_excluded_group(number, image.source, provenance))
        elif isinstance(image, ExcludedImage):
            comments.append(f"File {number} was not analysed: {image.state}, {image.reason}.")
    content = sr.MeasurementReport(
        observation_context=_observation_context(provenance),
        procedure_reported=IMAGING_PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    for comment in comments:
        content[0].ContentSequence.append(
            sr.TextContentItem(
                name=codes.DCM.Comment, value=comment, relationship_type=sr.RelationshipTypeValues.CONTAINS
            )
        )
    return content


def _observation_context(provenance: Provenance) -> sr.ObservationContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=provenance.device_uid,
        name=APPLICATION,
        manufacturer_name=f"{APPLICATION} project",
        model_name=APPLICATION,
        serial_number=provenance.device_uid[-16:],
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _image_groups(number: int, image: EncodedImage, provenance: Provenance) -> Iterator[Group]:
    """Yield the whole image's group, then two per box: its coordinates and, if it was outlined, its segment."""
    classification = image.segmentation.localization.classification
    header = image.source.header
    yield Group(
        tracking_identifier=sr.TrackingIdentifier(
            uid=provenance.uid("image", image.source.sop_instance_uid), identifier=f"image-{number}"
        ),
        finding_type=RADIOGRAPH,
        referenced_region=_polyline(image.source, 0, 0, header.Columns, header.Rows),
        finding_sites=_sites(image.source),
        measurements=[_probability(classification.probability, provenance.classifiers)],
        qualitative_evaluations=[_normality(classification.state)],
    )
    localization = image.segmentation.localization
    mapped_by = provenance.classifiers[:1]  # a box's score is the heat map's
    for index, (box, score) in enumerate(zip(localization.boxes, localization.scores, strict=True)):
        common = {
            "finding_type": LESION,
            "finding_sites": _sites(image.source),
            "qualitative_evaluations": [_normality(classification.state)],
        }
        tracking = {"uid": image.tracking_uids[index], "identifier": tracking_id(index)}
        yield Group(
            tracking_identifier=sr.TrackingIdentifier(**tracking),
            referenced_region=_polyline(image.source, box.left, box.top, box.right, box.bottom),
            geometric_purpose=BOUNDED_BY,
            measurements=[_probability(score, mapped_by)],
            **common,
        )
        segment = image.segment_numbers[index]
        if image.seg is not None and segment is not None:
            yield Group(
                tracking_identifier=sr.TrackingIdentifier(**tracking),
                referenced_segment=_segment_reference(image.source, image.seg, segment),
                measurements=[_probability(score, mapped_by)],
                **common,
            )


def _dispute(number: int, image: EncodedImage) -> list[str]:
    """Return the sentence that tells why an image is in doubt that the classifiers call opposite things."""
    classification = image.segmentation.localization.classification
    said = ", ".join(f"{opinion.bundle} {opinion.state}" for opinion in classification.opinions)
    return [f"Image {number}: the classifiers disagree ({said})."] if classification.disputed else []


def _excluded_group(number: int, source: SourceImage, provenance: Provenance) -> Group:
    """Return the group of an image that was not analysed: its normality is undetermined."""
    return Group(
        tracking_identifier=sr.TrackingIdentifier(
            uid=provenance.uid("image", source.sop_instance_uid), identifier=f"image-{number}-not-analysed"
        ),
        finding_type=RADIOGRAPH,
        referenced_region=_polyline(source, 0, 0, source.header.Columns, source.header.Rows),
        finding_sites=_sites(source),
        qualitative_evaluations=[_normality("doubt")],
    )


def _can_be_shown(source: SourceImage) -> bool:
    """Say whether coordinates on an image can be referred to."""
    header = source.header
    return bool(header.get("Rows")) and bool(header.get("Columns")) and is_referable(header)


def _polyline(source: SourceImage, left: int, top: int, right: int, bottom: int) -> sr.ImageRegion:
    """Return a closed rectangle in image coordinates: (column, row), pixel edges (PS3.3 C.18.6)."""
    points: NDArray[np.float64] = np.array(
        [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], float
    )
    reference = sr.SourceImageForRegion(source.header.SOPClassUID, source.sop_instance_uid)
    return sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, points, reference)


def _segment_reference(source: SourceImage, seg: Dataset, number: int) -> sr.ReferencedSegmentationFrame:
    """Return the reference to one segment; its frame has the same number, as a SEG here has one frame per segment."""
    reference = sr.ReferencedSegmentationFrame(
        seg.SOPClassUID,
        seg.SOPInstanceUID,
        frame_number=number,
        segment_number=number,
        source_image=sr.SourceImageForSegmentation(source.header.SOPClassUID, source.sop_instance_uid),
    )
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber  # frame or segment, not both (PS3.3 table 10-3)
    return reference


def _sites(source: SourceImage) -> Sequence[sr.FindingSite] | None:
    region = BODY_PARTS.get(source.body_part or "")
    return None if region is None else [sr.FindingSite(region, laterality=LATERALITIES.get(source.laterality or ""))]


def _probability(value: float, models: Sequence[Model]) -> sr.Measurement:
    """Return a probability and the model that gave it; of several models, whose mean it is, each line names its own."""
    parameters = [
        f"{model.name} {name}={text}" if len(models) > 1 else f"{name}={text}"
        for model in models
        for name, text in (("model_sha256", model.sha256), *model.parameters)
    ]
    names = ", ".join(model.name for model in models)
    return sr.Measurement(
        name=PROBABILITY_NAME,
        value=round(float(value), 6),
        unit=RATIO_UNIT,
        algorithm_id=sr.AlgorithmIdentification(
            name=names if len(models) == 1 else f"mean of {names}",
            version=", ".join(model.version for model in models),
            family=ARTIFICIAL_INTELLIGENCE,
            parameters=[*parameters, RESEARCH_USE_ONLY],
        ),
    )


def _normality(state: str) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(name=NORMALITY_NAME, value=NORMALITY[state])
