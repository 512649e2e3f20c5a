"""The report's list of images (PS3.16 TID 1600): every source image, then the heat maps that were made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from operators.records.codes import BODY_PARTS, LATERALITIES, PIXELS, SOURCE
from operators.records.images import EncodedImage
from operators.records.sources import SourceImage

_MODALITIES: Mapping[str, Code] = {code.value: code for code in codes.cid29.concepts.values()}
_PROJECTION = frozenset(("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"))  # what TID 1603 describes
_CONTEXT = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT


def image_library(sources: Sequence[SourceImage], images: Sequence[EncodedImage]) -> sr.ContainerContentItem:
    """Return the library.

    Parameters
    ----------
    sources
        All images that the report refers to, analysed or not.
    images
        Those with objects of their own: a presentation state belongs to its image's entry; the heat maps form the
        second group, as viewers look for the images to load in the first.

    Notes
    -----
    A label map is only in the report's evidence. It has the outlines of the SEG, and a reader of SR that does not know
    its SOP class as an image's refuses the whole report (DCMTK 3.6.7).
    """
    states = {image.source.sop_instance_uid: image.objects["gsps"] for image in images if "gsps" in image.objects}
    groups = [[_source_entry(source, states.get(source.sop_instance_uid)) for source in sources]]
    heatmaps = [image.objects["heatmap"] for image in images if "heatmap" in image.objects]
    if heatmaps:
        groups.append([_reference(_visual_explanation(heatmap), heatmap) for heatmap in heatmaps])
    return _container(codes.DCM.ImageLibrary, [_container(codes.DCM.ImageLibraryGroup, group) for group in groups])


def _container(name: Code, items: Sequence[sr.ContentItem]) -> sr.ContainerContentItem:
    container = sr.ContainerContentItem(name=name, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    container.ContentSequence = sr.ContentSequence(items)
    return container


def _visual_explanation(heatmap: Dataset) -> Code:
    """Return what a heat map says it is (CID 217)."""
    code = heatmap.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    return Code(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)


def _reference(name: Code, ds: Dataset) -> sr.ImageContentItem:
    return sr.ImageContentItem(
        name=name,
        referenced_sop_class_uid=ds.SOPClassUID,
        referenced_sop_instance_uid=ds.SOPInstanceUID,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )


def _source_entry(source: SourceImage, presentation_state: Dataset | None) -> sr.ImageContentItem:
    """Return the entry of a source image (TID 1601), with the presentation state to show it by (PS3.3 C.18.4)."""
    entry = _reference(SOURCE, source.header)
    if presentation_state is not None:
        state = Dataset()
        state.ReferencedSOPClassUID = presentation_state.SOPClassUID
        state.ReferencedSOPInstanceUID = presentation_state.SOPInstanceUID
        entry.ReferencedSOPSequence[0].ReferencedSOPSequence = [state]
    modality = _MODALITIES.get(str(source.header.get("Modality") or ""))
    if modality is not None:  # mandatory in TID 1602: without it there is no description
        entry.ContentSequence = sr.ContentSequence(_descriptors(source, modality))
    return entry


def _descriptors(source: SourceImage, modality: Code) -> Iterator[sr.ContentItem]:
    """Yield what the header says of an image (TID 1602, for projections 1603); what it lacks is left out."""
    header = source.header
    yield sr.CodeContentItem(codes.DCM.Modality, modality, _CONTEXT)
    region = BODY_PARTS.get(source.body_part or "")
    if region is not None:
        yield sr.CodeContentItem(codes.DCM.TargetRegion, region, _CONTEXT)
    laterality = LATERALITIES.get(source.laterality or "")
    if laterality is not None:
        yield sr.CodeContentItem(codes.DCM.ImageLaterality, laterality, _CONTEXT)
    yield sr.NumContentItem(codes.DCM.PixelDataRows, header.Rows, PIXELS, relationship_type=_CONTEXT)
    yield sr.NumContentItem(codes.DCM.PixelDataColumns, header.Columns, PIXELS, relationship_type=_CONTEXT)
    if modality.value not in _PROJECTION:
        return
    orientation = header.get("PatientOrientation") or ()
    names = (codes.DCM.PatientOrientationRow, codes.DCM.PatientOrientationColumn)
    if len(orientation) == len(names):
        for name, direction in zip(names, orientation, strict=True):
            if direction:
                yield sr.TextContentItem(name, str(direction), _CONTEXT)
    if source.imager_pixel_spacing_mm is not None:
        row, column = (round(spacing, 6) for spacing in source.imager_pixel_spacing_mm)
        millimetre = codes.UCUM.Millimeter
        yield sr.NumContentItem(codes.DCM.HorizontalPixelSpacing, column, millimetre, relationship_type=_CONTEXT)
        yield sr.NumContentItem(codes.DCM.VerticalPixelSpacing, row, millimetre, relationship_type=_CONTEXT)
