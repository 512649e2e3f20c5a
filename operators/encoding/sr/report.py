"""The images of a study -> one TID 1500 report (Comprehensive 3D SR, PS3.16 TID 1500, in memory).

It is the root of a study's results: its evidence lists every source image and every object that was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from operators.encoding.requests import StudyRequest
from operators.encoding.series import derive_series_uid, describe_series
from operators.encoding.sr.groups import Group, excluded_group, image_groups
from operators.encoding.sr.image_library import image_library
from operators.encoding.sr.orders import procedures, procedures_reported, requests
from operators.encoding.sr.references import referred_images
from operators.encoding.sr.summary import evaluations, summary
from operators.records.codes import PRIVATE_SCHEME
from operators.records.errors import EncodingError
from operators.records.images import EncodedImage
from operators.records.provenance import APPLICATION, Provenance, equipment
from operators.records.reasons import DoubtReason
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.study import Study, StudyOutcome

REPORT_CLASS = sr.Comprehensive3DSR  # what IHE AI Results roots its results in


def encode_report(request: StudyRequest) -> Dataset | None:
    """Build the report of a study; None if no file of the study has a picture that could be referred to.

    Raises
    ------
    EncodingError
        If highdicom refuses the object.
    """
    sources = referred_images(request.study)
    if not sources:
        return None
    try:
        return _build(request, sources)
    except Exception as error:
        # highdicom and pydicom raise a dozen kinds, and there is no stage behind this one to catch them
        raise EncodingError(f"the report cannot be built ({type(error).__name__})") from error


def _build(request: StudyRequest, sources: Sequence[SourceImage]) -> Dataset:
    header = sources[0].header
    study, provenance, others = request.study, request.provenance.in_zone_of(header), request.others
    shown = {source.sop_instance_uid for source in sources}  # a wrapped picture is among the objects, too
    objects = [ds for image in study.included for ds in image.objects.values() if ds.SOPInstanceUID not in shown]
    evidence = [*(source.header for source in sources), *objects, *others.values()]
    series_uid = derive_series_uid(provenance, request.kind, sources[0].header, request.subject)
    content = _content(study, request.outcome, sources, provenance)
    content[0].ContentSequence.extend(_composite(ds) for ds in others.values() if "PixelData" not in ds)
    _separate(content)
    report = REPORT_CLASS(
        evidence=evidence,
        content=content,
        series_instance_uid=series_uid,
        series_number=request.kind.series_number,
        sop_instance_uid=provenance.uid(
            "sr", series_uid, *request.identity, *(str(ds.SOPInstanceUID) for ds in evidence)
        ),
        instance_number=1,
        performed_procedure_codes=procedures(sources),
        requested_procedures=requests(sources) or None,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=describe_series(request.kind, request.subject),
        contributing_equipment=provenance.contributing_equipment(),
        manufacturer=equipment(provenance)["manufacturer"],
    )
    report.ManufacturerModelName = APPLICATION
    report.DeviceSerialNumber = provenance.device_uid[-16:]
    report.SoftwareVersions = provenance.version
    report.CodingSchemeIdentificationSequence = [_private_scheme()]
    provenance.stamp(report, header)
    return cast(Dataset, report)


def _content(
    study: Study[EncodedImage], outcome: StudyOutcome, sources: Sequence[SourceImage], provenance: Provenance
) -> sr.MeasurementReport:
    """Return the content tree: summary, images, one or more groups per image, then the study in codes."""
    groups: list[Group] = []
    unshown: list[ExcludedImage] = []
    for number, image in enumerate(study.images, start=1):
        if not isinstance(image, ExcludedImage):
            groups += image_groups(number, image, provenance) if image.source in sources else ()
        elif isinstance(image.source, SourceImage) and image.source in sources:
            groups.append(excluded_group(number, image.source, image, provenance))
        else:
            unshown.append(image)
    content = sr.MeasurementReport(
        observation_context=_observation_context(provenance),
        procedure_reported=procedures_reported(sources),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    items = content[0].ContentSequence
    measurements = items.pop()
    items.append(summary(study, outcome, provenance))
    items.append(image_library(sources, study.included))
    items.append(measurements)
    items.append(evaluations(study, outcome, unshown))
    return content


def _doubts(image: EncodedImage) -> tuple[DoubtReason, ...]:
    """Return the reasons for doubt that the report tells of an image, accepted ones too."""
    radiograph = image.segmentation.localization.classification.radiograph
    return (*radiograph.doubts, *radiograph.relaxed)


def _separate(items: Iterable[Dataset]) -> None:
    """Say of every container that its items are separate statements: viewers of continuous ones print no names."""
    for item in items:
        if item.ValueType == sr.ValueTypeValues.CONTAINER.value:
            item.ContinuityOfContent = "SEPARATE"
            _separate(item.get("ContentSequence", ()))


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


def _composite(ds: Dataset) -> sr.CompositeContentItem:
    """Return the reference to an object that is not an image: the same report in another form."""
    return sr.CompositeContentItem(
        name=codes.DCM.ImagingMeasurementReport,
        referenced_sop_class_uid=ds.SOPClassUID,
        referenced_sop_instance_uid=ds.SOPInstanceUID,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )


def _private_scheme() -> Dataset:
    """Return what identifies the scheme of the private codes (PS3.3 C.12.1, PS3.16 8)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeName = (
        "OsteoMAP: reasons why an image was not analysed or is in doubt, and names of measurements"
    )
    scheme.CodingSchemeResponsibleOrganization = f"{APPLICATION} project"
    return scheme
