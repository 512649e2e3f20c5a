"""A PDF document of a study -> Encapsulated PDF (PS3.3 A.45.1, in memory)."""

from __future__ import annotations

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from operators.encoding.requests import StudyRequest
from operators.encoding.series import derive_series_uid, describe_series
from operators.encoding.sr.references import referred_images
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY, equipment
from operators.records.sources import SourceImage

TITLE = Code("126000", "DCM", "Imaging Measurement Report")  # as the SR, whose content it is (BCID 7020)


def encode_pdf(request: StudyRequest) -> Dataset | None:
    """Render the report as a document and wrap it as an object; None if no image of the study can be referred to.

    The document comes back as the first Encapsulated Document Length bytes of the value, which is padded. If it names
    the patient and the date of the study, as a picture in it may too, Burned In Annotation says so (PS3.3 C.24.2.1).
    """
    study, provenance = request.study, request.provenance
    sources = referred_images(study)
    if not sources:
        return None
    document = request.render_document(study, request.outcome, request.description)
    header, kind = sources[0].header, request.kind
    series_uid = derive_series_uid(provenance, kind, header, request.subject)
    ds: Dataset = SOPClass(
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=series_uid,
        series_number=kind.series_number,
        sop_instance_uid=provenance.uid("pdf", series_uid, *request.identity),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
        series_description=describe_series(kind, request.subject),
        **equipment(provenance),
    )
    ds.copy_patient_and_study_information(header)
    ds.ConversionType = "SYN"  # synthesised: SC Equipment, PS3.3 C.8.6.1
    ds.AcquisitionDateTime = None  # type 2: the source images have their own
    shown = any(source.header.get("BurnedInAnnotation") == "YES" for source in sources)
    ds.BurnedInAnnotation = "YES" if request.description.patient_data or shown else "NO"
    ds.ConceptNameCodeSequence = [_code(TITLE)]
    ds.DocumentTitle = f"{APPLICATION} report, {RESEARCH_USE_ONLY}"
    ds.VerificationFlag = "UNVERIFIED"
    ds.SourceInstanceSequence = [_reference(source) for source in sources]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(document)
    ds.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    ds.ContributingEquipmentSequence = provenance.in_zone_of(header).contributing_equipment()
    provenance.in_zone_of(header).stamp(ds, header)
    return ds


def _reference(source: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
