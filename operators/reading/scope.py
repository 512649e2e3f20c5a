"""Header -> whether the image is a radiograph in scope, and what it shows."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from operators.records.codes import body_part_of_region, normalise_body_part
from operators.records.errors import InvalidDicomError, UnsupportedImageError
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.rules import Scope

_SEGMENTATIONS = "1.2.840.10008.5.1.4.1.1.66."  # label maps are newer than pydicom's table of SOP classes
PROJECTION_MODALITIES = ("CR", "DX", "RG")


class SpacingOrigin(StrEnum):
    """What a spacing of pixels is, in words (PS3.3 10.7.1.1 and 10.7.1.3)."""

    DETECTOR = "Imager Pixel Spacing of the source, in the plane of the detector, not corrected for magnification"
    FILM = "Nominal Scanned Pixel Spacing of the source, in the plane of the film that was scanned"
    GEOMETRY = "Pixel Spacing of the source, corrected for magnification by geometry"
    FIDUCIAL = "Pixel Spacing of the source, calibrated by an object of known size"
    UNSTATED = "Pixel Spacing of the source, which does not say whether it is calibrated"
    ASPECT_RATIO = "invented: 1 mm per column, rows by Pixel Aspect Ratio; the source gives no size"
    NONE = "invented: 1 mm; the source gives no size"


_CALIBRATIONS = {"GEOMETRY": SpacingOrigin.GEOMETRY, "FIDUCIAL": SpacingOrigin.FIDUCIAL}


@dataclass(frozen=True, slots=True)
class PlaneSpacing:
    """A spacing that places pixels in a plane: ``row``, ``column`` in mm as written, and what it is.

    Only that of the detector is taken for a physical measure.
    """

    row: float
    column: float
    origin: SpacingOrigin

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        return self.row / self.column


_SIDE_CODES = {  # of Anatomic Region Modifier Sequence (CID 244), also in the retired form of SNOMED RT
    ("SCT", "7771000"): "L",
    ("SCT", "24028007"): "R",
    ("SCT", "51440002"): "B",
    ("SRT", "G-A101"): "L",
    ("SRT", "G-A100"): "R",
    ("SRT", "G-A102"): "B",
}


def body_part(header: Dataset) -> str | None:
    """Return the defined term of a header: Body Part Examined, else that of Anatomic Region Sequence, else None."""
    named = normalise_body_part(str(header.get("BodyPartExamined") or ""))
    regions = header.get("AnatomicRegionSequence")
    return named or (body_part_of_region(regions[0]) if regions else None)


def laterality(header: Dataset) -> str | None:
    """Return L, R, B or U as the header says, or None if it says none or contradicts itself."""
    if len(set(stated_sides(header))) > 1:
        return None
    return str(header.get("ImageLaterality") or header.get("Laterality") or "") or None


def stated_sides(header: Dataset) -> Iterator[str]:
    """Yield every side, L, R or B, that a header states: by its lateralities and its region's modifiers."""
    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        if header.get(keyword) in ("L", "R", "B"):
            yield str(header[keyword].value)
    for region in header.get("AnatomicRegionSequence") or ():
        for modifier in region.get("AnatomicRegionModifierSequence") or ():
            side = _SIDE_CODES.get((str(modifier.get("CodingSchemeDesignator")), str(modifier.get("CodeValue"))))
            if side is not None:
                yield side


def imager_pixel_spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Return (row, column) spacing at the detector plane in mm, or None; never a patient-plane spacing (PS3.3 10.7)."""
    return _two_positive(header, "ImagerPixelSpacing")


def plane_spacing(header: Dataset) -> PlaneSpacing:
    """Return the spacing for a plane geometry: the best that a normalised header gives, else square pixels of 1 mm."""
    calibration = _CALIBRATIONS.get(str(header.get("PixelSpacingCalibrationType")), SpacingOrigin.UNSTATED)
    for keyword, origin in (
        ("ImagerPixelSpacing", SpacingOrigin.DETECTOR),
        ("NominalScannedPixelSpacing", SpacingOrigin.FILM),
        ("PixelSpacing", calibration),
    ):
        spacing = _two_positive(header, keyword)
        if spacing is not None:
            return PlaneSpacing(*spacing, origin)
    ratio = _two_positive(header, "PixelAspectRatio")  # vertical size, horizontal size
    if ratio is not None:
        return PlaneSpacing(ratio[0] / ratio[1], 1.0, SpacingOrigin.ASPECT_RATIO)
    return PlaneSpacing(1.0, 1.0, SpacingOrigin.NONE)


def _two_positive(header: Dataset, keyword: str) -> tuple[float, float] | None:
    values = header.get(keyword)
    if not isinstance(values, MutableSequence) or len(values) != 2 or min(values) <= 0:
        return None
    return float(values[0]), float(values[1])


def is_image(header: Dataset, *, has_pixel_data: bool) -> bool:
    """Say whether an object is an image by its SOP class; one without a valid class might be.

    A segmentation, a dose or a parametric map has pixel data and is none (PS3.4 B.5). Of a class that is not known,
    private or new, the pixel data tell.
    """
    sop_class = UID(str(header.get("SOPClassUID") or ""))
    if not sop_class or sop_class.startswith(_SEGMENTATIONS):
        return not sop_class
    if "Storage" in sop_class.name:
        return "Image Storage" in sop_class.name
    return has_pixel_data


def check_scope(header: Dataset, scope: Scope, *, unknown_part: bool = False, picture: bool = False) -> None:
    """Raise unless the header is that of a radiograph in scope.

    Parameters
    ----------
    unknown_part
        Whether the source named a body part, but by no term or code that is known, so that it is not in ``header``.
    picture
        Whether the header is that of a wrapped picture: that it is a radiograph says whoever has it analysed.

    Raises
    ------
    UnsupportedImageError
        If the image is declined; the reason is coded.
    InvalidDicomError
        If an attribute that decoding needs is absent or impossible.
    """
    if not picture:
        _check_kind(header, scope)
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedImageError(DeclinedReason.MULTI_FRAME, "several frames; only single-frame images are read")
    if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise UnsupportedImageError(DeclinedReason.COLOUR, "not a grey-scale image (MONOCHROME1 or MONOCHROME2)")
    part = body_part(header)
    if part is None and unknown_part:
        raise UnsupportedImageError(
            DeclinedReason.BODY_PART_OUT_OF_SCOPE,
            "the body part is named by no defined term (PS3.16 Annex L) and no code of a region that OsteoMAP knows",
        )
    if part is not None and part not in scope.body_parts:
        raise UnsupportedImageError(
            DeclinedReason.BODY_PART_OUT_OF_SCOPE,
            "the body part is not in the scope list; see radiographs: body_parts in app.yaml",
        )
    _check_matrix(header, scope)


def _check_kind(header: Dataset, scope: Scope) -> None:
    sop_class, modality = header.get("SOPClassUID"), header.get("Modality")
    if sop_class == DigitalXRayImageStorageForProcessing or header.get("PresentationIntentType") == "FOR PROCESSING":
        raise UnsupportedImageError(DeclinedReason.FOR_PROCESSING, "for processing; send the image for presentation")
    if sop_class in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation):
        return
    if sop_class == SecondaryCaptureImageStorage and modality in PROJECTION_MODALITIES:
        if scope.secondary_capture:
            return
        raise UnsupportedImageError(
            DeclinedReason.NOT_A_RADIOGRAPH, "a Secondary Capture; see radiographs: secondary_capture in app.yaml"
        )
    raise UnsupportedImageError(DeclinedReason.NOT_A_RADIOGRAPH, "neither a CR nor a DX image")


def _check_matrix(header: Dataset, scope: Scope) -> None:
    rows, columns = (int(header.get(keyword) or 0) for keyword in ("Rows", "Columns"))
    if rows <= 0 or columns <= 0:
        raise InvalidDicomError(FailedReason.HEADER_INVALID, "Rows or Columns is absent or zero")
    if min(rows, columns) < scope.smallest_side:
        raise UnsupportedImageError(
            DeclinedReason.TOO_SMALL, f"{columns} x {rows} pixels; the least is {scope.smallest_side} a side"
        )
    if rows * columns > scope.largest_area:
        raise UnsupportedImageError(
            DeclinedReason.TOO_LARGE, f"{columns} x {rows} pixels; the most is {scope.largest_area} in all"
        )
    allocated, stored, high = (int(header.get(keyword) or 0) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated not in (8, 16) or not 2 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise InvalidDicomError(
            FailedReason.HEADER_INVALID,
            f"bits allocated / stored / high bit of {allocated} / {stored} / {high} are impossible",
        )
    if header.get("PixelRepresentation", 0) not in (0, 1):
        raise InvalidDicomError(FailedReason.HEADER_INVALID, "Pixel Representation is neither 0 nor 1")
