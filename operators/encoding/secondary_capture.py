"""Segmentation -> Secondary Captures of one image (PS3.3 A.8.1): the radiograph with boxes, outlines and words.

Of a picture that is no DICOM image, also the picture itself, to which the results refer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from operators.drawing.burned_in import Words, burn
from operators.encoding.requests import ImageRequest
from operators.encoding.series import add_body_part, add_image_laterality, describe_state, identify
from operators.reading.pictures.capture import stored_type, wrap_picture
from operators.records.codes import place
from operators.records.images import Segmentation
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY, Provenance
from operators.records.sources import SourceImage
from operators.records.states import State

# What holds for the pixels of a source holds for the picture made of them (PS3.3 C.7.6.1). We burn in nothing that
# identifies a patient, so Burned In Annotation is what the source says; if it says nothing, neither do we.
_INHERITED = (
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202


def encode_secondary_capture(request: ImageRequest) -> Dataset:
    """Build the picture of an image, whatever its state, for viewers that show neither SEG nor presentation states."""
    segmentation, provenance = request.segmentation, request.provenance
    source = segmentation.source
    pixels = burn(segmentation, _words(segmentation, request.number, provenance))
    picture = capture(pixels, source.header, identify(request))
    picture.PatientOrientation = source.header.get("PatientOrientation") or None
    add_body_part(picture, request.subject)
    add_image_laterality(picture, source)
    picture.DerivationDescription = (
        f"{RESEARCH_USE_ONLY}. The source image, scaled, with findings of {APPLICATION} drawn in."
    )
    for keyword in _INHERITED:
        if keyword in source.header:
            setattr(picture, keyword, source.header[keyword].value)
    complete_capture(picture, [source], provenance)
    return picture


def encode_wrapped_picture(request: ImageRequest) -> Dataset | None:
    """Build the source image of an analysed PNG or JPEG picture; None for a DICOM image, which exists already.

    It is the same in every run: neither the time nor the software is in it.
    """
    source = request.source
    if not source.file.picture:
        return None
    stored = stored_type(source.header)
    pixels = request.segmentation.localization.classification.radiograph.pixels
    return wrap_picture(source.header, np.round(pixels * np.float32(np.iinfo(stored).max)).astype(stored))


def capture(pixels: NDArray[np.uint8], header: Dataset, identity: dict[str, Any]) -> Dataset:
    """Return a Secondary Capture of a picture (rows, columns, 3) uint8 RGB for the patient and study of a header."""
    picture = hd.sc.SCImage.from_ref_dataset(
        header,
        pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # demanded by highdicom; what is true replaces it
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity,
    )
    picture.PatientOrientation = None
    picture.copy_patient_and_study_information(header)
    return cast(Dataset, picture)


def complete_capture(picture: Dataset, sources: Sequence[SourceImage], provenance: Provenance) -> None:
    """Say what a picture was made of (PS3.3 C.7.6.1, C.12.4) and when, in the zone of the first source."""
    header = sources[0].header
    provenance = provenance.in_zone_of(header)
    picture.SourceImageSequence = [_reference(source) for source in sources]
    provenance.stamp(picture, header)
    picture.DateOfSecondaryCapture = provenance.now.strftime("%Y%m%d")
    picture.TimeOfSecondaryCapture = provenance.now.strftime("%H%M%S")


def _reference(source: SourceImage) -> Dataset:
    item, purpose = Dataset(), Dataset()
    item.ReferencedSOPClassUID = source.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = _SOURCE_IMAGE[:3]
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _words(segmentation: Segmentation, number: int, provenance: Provenance) -> Words:
    models = ", ".join(f"{model.name} {model.version}" for model in provenance.models)
    localization = segmentation.localization
    blue = (
        "Blue, dashed: region in doubt"
        if localization.classification.state == State.DOUBT
        else "Blue: suspected region"
    )
    legend = f"{blue}, its number and score. White: its outline. " if segmentation.masks else ""
    source = segmentation.source
    shown = place(source.body_part, source.laterality, source.view_position)
    return Words(
        head=f"{APPLICATION} {provenance.version} · {RESEARCH_USE_ONLY}",
        state=(f"Image {number} · {shown}", *describe_state(localization, provenance.finding)),
        foot=f"{legend}Not for measurement. Models: {models}.",
    )
