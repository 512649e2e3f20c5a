"""What the report says of one image, in groups (PS3.16 TID 1410): the image, then each box and its segment.

The two groups of a finding have one tracking UID. A group without a region (TID 1501) would crash a common viewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from operators.reading.scope import plane_spacing
from operators.records.codes import (
    AREA,
    ARTIFICIAL_INTELLIGENCE,
    BODY_PARTS,
    BOUNDED_BY,
    DOUBT_NAME,
    LATERALITIES,
    NORMALITY,
    NORMALITY_NAME,
    NOT_ANALYSED,
    PEAK_NAME,
    PIXELS,
    PROBABILITY_NAME,
    RADIOLOGIC_FINDING,
    RATIO_UNIT,
    REASON_CODES,
    RELAXED_NAME,
    SQUARE_MILLIMETRE,
    in_sentence,
)
from operators.records.images import EncodedImage, Radiograph
from operators.records.provenance import (
    RESEARCH_USE_ONLY,
    Model,
    Provenance,
    image_identity,
    study_identity,
    tracking_id,
)
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.states import State

Group: TypeAlias = sr.PlanarROIMeasurementsAndQualitativeEvaluations


def image_groups(number: int, image: EncodedImage, provenance: Provenance) -> Iterator[Group]:
    """Yield the whole image's group, then two per box: its coordinates and, if it was outlined, its segment."""
    classification = image.segmentation.localization.classification
    header = image.source.header
    whole = Group(
        tracking_identifier=sr.TrackingIdentifier(
            uid=provenance.uid("image", *image_identity(classification.radiograph)), identifier=f"image-{number}"
        ),
        finding_type=provenance.finding if classification.has_finding else RADIOLOGIC_FINDING,
        referenced_region=_polyline(image.source, 0, 0, header.Columns, header.Rows),
        finding_sites=_sites(image.source),
        measurements=[_probability(classification.probability, provenance)],
        qualitative_evaluations=[_normality(classification.state), *_doubts(classification.radiograph)],
    )
    if "sc" in image.objects:
        whole[0].ContentSequence.append(_illustration(image.objects["sc"]))
    yield whole
    for index in range(len(image.tracking_uids)):
        yield from _finding_groups(number, index, image, provenance)


def _finding_groups(number: int, index: int, image: EncodedImage, provenance: Provenance) -> Iterator[Group]:
    """Yield the groups of one box, which have one tracking UID."""
    localization = image.segmentation.localization
    box, source = localization.boxes[index], image.source
    # The first classifier gives the heat map; the peak of a map without an absolute scale says nothing by itself.
    score = [] if localization.relative else [_peak(localization.scores[index], provenance.classifiers[0])]
    common = {
        "finding_type": provenance.finding,
        "finding_sites": _sites(source),
        "qualitative_evaluations": [_normality(localization.classification.state)],
    }
    tracking = {"uid": image.tracking_uids[index], "identifier": tracking_id(number, index)}
    yield Group(
        tracking_identifier=sr.TrackingIdentifier(**tracking),
        referenced_region=_polyline(source, box.left, box.top, box.right, box.bottom),
        geometric_purpose=BOUNDED_BY,
        measurements=score or None,
        **common,
    )
    segment = image.segment_numbers[index]
    if image.seg is not None and segment is not None:
        mask = image.segmentation.masks[index]
        yield Group(
            tracking_identifier=sr.TrackingIdentifier(**tracking),
            referenced_segment=_segment_reference(source, image.seg, segment),
            measurements=[*score, _area(mask, source, provenance.segmenter)],
            **common,
        )


def excluded_group(number: int, source: SourceImage, image: ExcludedImage, provenance: Provenance) -> Group:
    """Return the group of an image that was not analysed: its normality is undetermined, its reason is coded."""
    return Group(
        tracking_identifier=sr.TrackingIdentifier(
            uid=provenance.uid("image", *study_identity(source.header), source.sop_instance_uid, source.header_sha256),
            identifier=f"image-{number}-not-analysed",
        ),
        finding_type=RADIOLOGIC_FINDING,
        referenced_region=_polyline(source, 0, 0, source.header.Columns, source.header.Rows),
        finding_sites=_sites(source),
        qualitative_evaluations=[
            _normality(State.DOUBT),
            sr.QualitativeEvaluation(name=NOT_ANALYSED[image.state], value=REASON_CODES[image.reason]),
        ],
    )


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


def _illustration(picture: Dataset) -> sr.ImageContentItem:
    """Return the reference to the picture that shows the findings (TID 1410 row 9)."""
    return sr.ImageContentItem(
        name=codes.DCM.IllustrationOfROI,
        referenced_sop_class_uid=picture.SOPClassUID,
        referenced_sop_instance_uid=picture.SOPInstanceUID,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )


def _sites(source: SourceImage) -> Sequence[sr.FindingSite] | None:
    region = BODY_PARTS.get(source.body_part or "")
    return None if region is None else [sr.FindingSite(region, laterality=LATERALITIES.get(source.laterality or ""))]


def _normality(state: State) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(name=NORMALITY_NAME, value=NORMALITY[state])


def _doubts(radiograph: Radiograph) -> Iterator[sr.QualitativeEvaluation]:
    """Yield the reasons for doubt in codes, then those that the configuration accepts."""
    for name, reasons in ((DOUBT_NAME, radiograph.doubts), (RELAXED_NAME, radiograph.relaxed)):
        for reason in reasons:
            yield sr.QualitativeEvaluation(name=name, value=REASON_CODES[reason])


def _probability(value: float, provenance: Provenance) -> sr.Measurement:
    """Return a probability, what it is the probability of, and the models that gave it."""
    algorithm = _algorithm(provenance.classifiers)
    measurement = sr.Measurement(PROBABILITY_NAME, round(float(value), 6), RATIO_UNIT, algorithm_id=algorithm)
    _explain(measurement, f"Probability of {in_sentence(provenance.finding)}")
    return measurement


def _peak(value: float, model: Model) -> sr.Measurement:
    """Return the peak of the heat map in a box, which is no probability of the box, and the model that gave the map."""
    return sr.Measurement(PEAK_NAME, round(float(value), 6), RATIO_UNIT, algorithm_id=_algorithm([model]))


def _explain(measurement: sr.Measurement, meaning: str) -> None:
    """Add what the name of a measurement means here (TID 300 row 16)."""
    measurement[0].ContentSequence.append(
        sr.TextContentItem(codes.DCM.EquivalentMeaningOfConceptName, meaning, sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
    )


def _area(mask: NDArray[np.bool_], source: SourceImage, segmenter: Model) -> sr.Measurement:
    """Return the area of an outline, in what plane it is measured, and the model that drew it.

    ``mask`` is (rows, columns). Without a spacing of the detector the area is counted in pixels: of another spacing it
    is not known whether it holds for the bone, and an invented one measures nothing.
    """
    area, unit, spacing_mm = float(np.count_nonzero(mask)), PIXELS, source.imager_pixel_spacing_mm
    plane = f"Area in pixels. Pixel Spacing of the segmentation: {plane_spacing(source.header).origin}"
    if spacing_mm is not None:
        area, unit = round(area * spacing_mm[0] * spacing_mm[1], 3), SQUARE_MILLIMETRE
        plane = "Area in the plane of the detector, not corrected for magnification"
    measurement = sr.Measurement(name=AREA, value=area, unit=unit, algorithm_id=_algorithm([segmenter]))
    _explain(measurement, plane)
    return measurement


def _algorithm(models: Sequence[Model]) -> sr.AlgorithmIdentification:
    """Return the identification of a model (TID 4019); of several, whose mean a value is, each line names its own."""
    parameters = [
        f"{model.name} {name}={text}" if len(models) > 1 else f"{name}={text}"
        for model in models
        for name, text in (("model_sha256", model.sha256), *model.parameters)
    ]
    names = ", ".join(model.name for model in models)
    return sr.AlgorithmIdentification(
        name=names if len(models) == 1 else f"mean of {names}",
        version=", ".join(model.version for model in models),
        family=ARTIFICIAL_INTELLIGENCE,
        parameters=[*parameters, RESEARCH_USE_ONLY],
    )
