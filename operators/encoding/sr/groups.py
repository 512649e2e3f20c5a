"""What the report says of one image, in groups (PS3.16 TID 1410): the image, then each box and its segment.

The two groups of a finding have one tracking UID. A group without a region (TID 1501) would crash a common viewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from operators.encoding.sr.measurements import add_box, outlined_area, peak, probability, rectangle
from operators.records.codes import (
    BODY_PARTS,
    BOUNDED_BY,
    DOUBT_NAME,
    LATERALITIES,
    NORMALITY,
    NORMALITY_NAME,
    NOT_ANALYSED,
    RADIOLOGIC_FINDING,
    REASON_CODES,
    RELAXED_NAME,
)
from operators.records.geometry import whole_image
from operators.records.images import EncodedImage, Radiograph
from operators.records.provenance import (
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
        referenced_region=rectangle(image.source, whole_image(header.Rows, header.Columns)),
        finding_sites=_sites(image.source),
        measurements=[probability(classification.probability, provenance)],
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
    score = [] if localization.relative else [peak(localization.scores[index], provenance.classifiers[0])]
    common = {
        "finding_type": provenance.finding,
        "finding_sites": _sites(source),
        "qualitative_evaluations": [_normality(localization.classification.state)],
    }
    tracking = {"uid": image.tracking_uids[index], "identifier": tracking_id(number, index)}
    boxed = Group(
        tracking_identifier=sr.TrackingIdentifier(**tracking),
        referenced_region=rectangle(source, box),
        geometric_purpose=BOUNDED_BY,
        measurements=score or None,
        **common,
    )
    add_box(boxed, source, box)
    yield boxed
    segment = image.segment_numbers[index]
    if image.seg is not None and segment is not None:
        mask = image.segmentation.masks[index]
        yield Group(
            tracking_identifier=sr.TrackingIdentifier(**tracking),
            referenced_segment=_segment_reference(source, image.seg, segment),
            measurements=[outlined_area(mask, source, provenance.segmenter)],
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
        referenced_region=rectangle(source, whole_image(source.header.Rows, source.header.Columns)),
        finding_sites=_sites(source),
        qualitative_evaluations=[
            _normality(State.DOUBT),
            sr.QualitativeEvaluation(name=NOT_ANALYSED[image.state], value=REASON_CODES[image.reason]),
        ],
    )


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
