"""Objects made from synthetic headers by the application's own builders: what the conformance statement tells of them.

Two headers in which every attribute has another value tell what is copied from the source and what is fixed; a third
holds only what an image cannot be analysed without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from operators.encoding.object_kinds import OPTIONAL_KINDS
from operators.pipeline import object_stages, run
from operators.reading.normalised_header import IF_PRESENT, TYPE_2, normalise
from operators.reading.orders.orders import PROCEDURES, copy_orders
from operators.reading.study_index import source_image
from operators.records.codes import BODY_PARTS
from operators.records.geometry import PixelBox, PixelGeometry, whole_image
from operators.records.images import (
    Classification,
    FeatureStage,
    FeatureView,
    Localization,
    Opinion,
    Radiograph,
    Segmentation,
)
from operators.records.operating_points import OperatingPoints
from operators.records.provenance import Model, Provenance
from operators.records.reasons import DeclinedReason, DoubtReason
from operators.records.rules import MapRule, ObjectRule
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage, HeaderReply, SourceFile, SourceImage
from operators.records.states import State
from operators.records.study import ReportedStudy, Study
from operators.reporting.spool import Spool

# What the two full headers say where the VR alone does not tell a valid value.
_TWO_VALUES: Mapping[str, tuple[object, object]] = {
    "SOPClassUID": (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation),
    "Modality": ("CR", "DX"),
    "PatientSex": ("F", "M"),
    "PatientAge": ("041Y", "052Y"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "ImageType": (["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY", ""]),
    "PatientOrientation": (["L", "F"], ["R", "F"]),
    "TimezoneOffsetFromUTC": ("+0100", "-0500"),
    "Laterality": ("L", "R"),
    "ImageLaterality": ("L", "R"),
    "FrameLaterality": ("L", "R"),
    "FieldOfViewHorizontalFlip": ("NO", "YES"),
    "BodyPartExamined": ("WRIST", "HAND"),
    "ViewPosition": ("AP", "PA"),
    "ImagerPixelSpacing": ([0.1, 0.1], [0.2, 0.2]),
    "NominalScannedPixelSpacing": ([0.3, 0.3], [0.4, 0.4]),
    "PixelSpacing": ([0.5, 0.5], [0.6, 0.6]),
    "PixelSpacingCalibrationType": ("GEOMETRY", "FIDUCIAL"),
    "PixelAspectRatio": ([1, 2], [2, 1]),
    "Rows": (64, 96),
    "Columns": (72, 80),
    "SamplesPerPixel": (1, 1),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2"),
    "BitsAllocated": (16, 16),
    "BitsStored": (10, 12),
    "HighBit": (9, 11),
    "PixelRepresentation": (0, 0),
    "NumberOfFrames": (1, 1),
    "PresentationIntentType": ("FOR PRESENTATION", "FOR PRESENTATION"),
    "RescaleSlope": (0.5, 2),
    "RescaleIntercept": (-5, 7),
    "VOILUTFunction": ("LINEAR_EXACT", "SIGMOID"),
    "PresentationLUTShape": ("INVERSE", "IDENTITY"),
    "ShutterShape": (["RECTANGULAR", "CIRCULAR", "POLYGONAL"], ["CIRCULAR", "RECTANGULAR", "POLYGONAL"]),
    "ShutterLeftVerticalEdge": (1, 2),
    "ShutterRightVerticalEdge": (70, 71),
    "ShutterUpperHorizontalEdge": (1, 2),
    "ShutterLowerHorizontalEdge": (60, 61),
    "CenterOfCircularShutter": ([30, 30], [31, 31]),
    "RadiusOfCircularShutter": (60, 70),
    "VerticesOfThePolygonalShutter": ([1, 1, 1, 70, 60, 70], [1, 1, 60, 70, 60, 1]),
    "CollimatorShape": (["RECTANGULAR", "CIRCULAR", "POLYGONAL"], ["CIRCULAR", "RECTANGULAR", "POLYGONAL"]),
    "CollimatorLeftVerticalEdge": (1, 2),
    "CollimatorRightVerticalEdge": (70, 71),
    "CollimatorUpperHorizontalEdge": (1, 2),
    "CollimatorLowerHorizontalEdge": (60, 61),
    "CenterOfCircularCollimator": ([30, 30], [31, 31]),
    "RadiusOfCircularCollimator": (60, 70),
    "VerticesOfThePolygonalCollimator": ([1, 1, 1, 70, 60, 70], [1, 1, 60, 70, 60, 1]),
    "ShutterPresentationValue": (5, 6),
    "BurnedInAnnotation": ("YES", "NO"),
    "LossyImageCompression": ("01", "00"),
    "LossyImageCompressionRatio": (10, 20),
    "LossyImageCompressionMethod": ("ISO_10918_1", "ISO_15444_1"),
}
_NEEDED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
_DOUBTS = ((DoubtReason.BODY_PART_ABSENT,), (DoubtReason.BODY_PART_ABSENT,))  # one that holds, one that is accepted
_BY_VR = {"DA": "2001010{}", "TM": "10000{}", "UI": "2.25.{}{}", "PN": "Family{}^Given", "DS": "{}00", "IS": "{}"}


@dataclass(frozen=True, slots=True)
class Sample:
    """An object, its kind and the header of the image, or of the study's first image, that it is about."""

    kind: str
    ds: Dataset
    header: Dataset


def build_samples() -> Iterator[Sample]:
    """Yield objects of every kind, from rich and poor headers, of every state."""
    full, other, poor, with_luts = _header(0), _header(1), _header(0, _NEEDED), _header(1, salt=9)
    right = _header(0, salt=6)
    right.Laterality = right.ImageLaterality = right.FrameLaterality = "R"
    right.LossyImageCompressionRatio = 12.5
    other.AnatomicRegionSequence = [_region("HAND")]
    for keyword, words in (("ModalityLUTSequence", {"ModalityLUTType": "OD"}), ("VOILUTSequence", {})):
        setattr(with_luts, keyword, [_lut(**words)])
    _add_overlay(with_luts)
    for which, header in enumerate((full, other)):
        _add_orders(header, which)
    yield from _study(0, _image(full, State.ABNORMAL, 2), _declined(_header(0, salt=7)))
    yield from _study(0, _image(full, State.NORMAL, 0))
    yield from _study(0, _image(full, State.ABNORMAL, 1), _image(right, State.ABNORMAL, 1))
    yield from _study(1, _image(other, State.DOUBT, 1), _image(_header(1, salt=8), State.DOUBT, 1))
    yield from _study(0, _image(poor, State.ABNORMAL, 1))
    yield from _study(1, _image(poor, State.NORMAL, 0))
    yield from _study(1, _image(with_luts, State.ABNORMAL, 1))


def _add_orders(header: Dataset, which: int) -> None:
    """Add procedures, a request and another identifier of the patient to a normalised header."""
    source, request, other_id = Dataset(), Dataset(), Dataset()
    procedure = _code(f"P{which}", f"99LOCAL{which}", f"Procedure {which}")
    for keyword in PROCEDURES:
        setattr(source, keyword, [procedure])
    other_id.PatientID, other_id.TypeOfPatientID = f"Other {which}", ("TEXT", "RFID")[which]
    if which:
        request.RequestedProcedureID, request.RequestedProcedureCodeSequence = f"R{which}", [procedure]
        other_id.IssuerOfPatientID = f"Issuer {which}"
    else:
        request.AccessionNumber = "A"
    source.RequestAttributesSequence, source.OtherPatientIDsSequence = [request], [other_id]
    copy_orders(source, header)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _header(which: int, keywords: tuple[str, ...] = (*TYPE_2, *IF_PRESENT), salt: int = 0) -> Dataset:
    """Return a normalised header whose every value differs from that of the other; ``salt`` makes another image."""
    source = Dataset()
    for number, keyword in enumerate(keywords, start=1):
        vr = dictionary_VR(keyword)
        text = _BY_VR.get(vr, keyword[:12] + " {}").format(which + 1, number)
        if keyword in _TWO_VALUES:
            setattr(source, keyword, _TWO_VALUES[keyword][which])
        else:
            several = dictionary_VM(keyword) not in ("1", "1-n")
            setattr(source, keyword, [text, text] if several else text)
    source.SOPInstanceUID = f"2.25.{which + 1}{len(keywords)}{salt}"
    return normalise(source)[0]


def _region(term: str) -> Dataset:
    item, code = Dataset(), BODY_PARTS[term]
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _lut(**words: str) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 0, 16])
    item.add_new("LUTData", "OW", bytes(8))
    for keyword, word in words.items():
        setattr(item, keyword, word)
    return item


def _add_overlay(header: Dataset) -> None:
    for element, vr, value in (
        *((0x10, "US", 1), (0x11, "US", 8), (0x40, "CS", "G"), (0x50, "SS", [1, 1])),
        *((0x100, "US", 1), (0x102, "US", 0), (0x3000, "OW", b"\1\0")),
    ):
        header.add_new(Tag(0x6000, element), vr, value)


def _provenance(which: int) -> Provenance:
    digit = "ab"[which]
    return Provenance(
        f"version {which}",
        (Model(f"classifier_{digit}", f"{which}", digit * 64, (("rule_in", f"0.{which + 7}"),)),),
        Model(f"segmenter_{digit}", f"{which}", digit * 64),
        datetime(2026, 1, 1 + which, 12, 0, which, tzinfo=UTC),
    )


def _source(header: Dataset) -> SourceImage:
    return source_image(SourceFile(Path("a.dcm"), "a.dcm"), HeaderReply(header, True, None, (), ""))


def _image(header: Dataset, state: State, findings: int) -> Segmentation:
    """Return what the last model would give: a picture, a heat map and so many outlined boxes."""
    rows, columns = int(header.Rows), int(header.Columns)
    pixels = np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)
    geometry = PixelGeometry(rows, columns, whole_image(rows, columns), rows, columns)
    stage = FeatureStage(np.ones((1, 2, 2), np.float32), None, 32.0)
    probability = {State.NORMAL: 0.05, State.DOUBT: 0.5}.get(state, 0.75 + findings / 10)
    classification = Classification(
        Radiograph(_source(header), pixels, *(() if "BodyPartExamined" in header else _DOUBTS)),
        probability,
        state,
        (FeatureView((stage,), geometry, flipped=False),),
        np.ones(1, np.float32),
        0.0,
        (Opinion("classifier", 1.0, probability, state),),
    )
    boxes = tuple(PixelBox(8 + 24 * index, 10, 24 + 24 * index, 30 + index) for index in range(findings))
    masks = []
    for box in boxes:
        row, column = np.mgrid[:rows, :columns]
        middle = (box.top + box.height / 2, box.left + box.width / 2)
        masks.append(np.hypot((row - middle[0]) / box.height, (column - middle[1]) / box.width) < 0.45)
    scores = tuple(0.9 - index / 10 for index in range(findings))
    rule = MapRule(("cam", "grad_cam", "layer_cam")[(rows + findings) % 3])  # each is a concept of its own
    localization = Localization(classification, pixels.copy(), boxes, scores, rule)
    return Segmentation(localization, tuple(masks), scores)


def _declined(header: Dataset) -> ExcludedImage:
    return ExcludedImage(_source(header), State.DECLINED, DeclinedReason.TOO_SMALL, "")


def _study(which: int, *images: Segmentation | ExcludedImage) -> Iterator[Sample]:
    """Yield the objects of a study's images and those of the study, as the chain builds them."""
    points = OperatingPoints(0.2, 0.8)
    description = RunDescription(_provenance(which), points, points, ())
    first = images[0].source
    header = first.header if isinstance(first, SourceImage) else Dataset()
    chain = object_stages(ObjectRule(frozenset(OPTIONAL_KINDS)), description, Spool())
    reported: ReportedStudy = run(Study(str(header.StudyInstanceUID), images), chain)
    for image in reported.study.included:
        for kind, ds in image.objects.items():
            yield Sample(kind, ds, image.source.header)
    for kind, ds in reported.objects.items():
        yield Sample(kind, ds, header)
