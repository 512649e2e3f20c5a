"""PNG or JPEG radiographs as CR or DX objects "for presentation".

The pixels stay as they are. Patient data are made up from a hash, and the header says so. Of what the picture shows,
the header holds what is known: an unknown side, view, orientation or body part is absent, or empty where the Standard
wants the attribute.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from operators.reading.pictures.capture import add_compression, add_pixel_data, add_pixel_description
from operators.records.codes import BODY_PARTS, normalise_body_part
from training.datasets.manifest import read_manifest

EPOCH = ("20260101", "120000")
KINDS = {"DX": DigitalXRayImageStorageForPresentation, "CR": ComputedRadiographyImageStorage}
CHEST = Code("816094009", "SCT", "Chest")  # out of scope, for tests and the demonstration
VIEWS = {
    "AP": Code("399348003", "SCT", "antero-posterior"),
    "PA": Code("272479007", "SCT", "postero-anterior"),
}  # CID 4010
SUFFIXES = (".png", ".jpg", ".jpeg")
_UPPER = frozenset(
    ("ACJOINT", "ARM", "CLAVICLE", "ELBOW", "FINGER", "FOREARM", "HAND", "HUMERUS", "SCAPULA", "SHOULDER", "THUMB")
    + ("UPPERLIMB", "WRIST")
)
_LOWER = frozenset(
    ("ANKLE", "CALCANEUS", "FEMUR", "FIBULA", "FOOT", "KNEE", "LEG", "LOWERLIMB", "PATELLA", "THIGH", "TOE")
)
# The regions of CID 4031 that hold several parts, the narrowest first.
_WIDER_REGIONS: Mapping[str, frozenset[str]] = {
    "UPPERLIMB": _UPPER,
    "LOWERLIMB": _LOWER,
    "PELVISLOWEXTREMT": _LOWER | {"HIP", "PELVIS"},
    "EXTREMITY": _UPPER | _LOWER | {"EXTREMITY"},
}


@dataclass(frozen=True, slots=True)
class Description:
    """The content of an image's header; ``key`` makes its UIDs, ``study`` and ``patient`` group images.

    An empty text, and None, mean that nothing is known.
    """

    key: str
    study: str
    patient: str
    kind: str = "CR"
    body_part: str = ""
    view_position: str = ""
    laterality: str = ""
    patient_orientation: tuple[str, str] | None = None
    spacing_mm: float | None = None
    burned_in_annotation: str = ""  # YES or NO
    instance_number: int = 1
    jpeg_ratio: float | None = None  # how much the image was compressed before; None: without loss


def wrap(stored: NDArray[np.unsignedinteger], description: Description) -> Dataset:
    """Return a CR or DX data set of stored values (rows, columns) uint8 or uint16, more attenuation brighter.

    Raises
    ------
    ValueError
        If the array is not a grey-scale image of 8 or 16 bits.
    """
    if stored.ndim != 2 or stored.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"not a grey-scale image of 8 or 16 bits: {stored.shape}, {stored.dtype}")
    ds = Dataset()
    _add_identity(ds, description)
    rows, columns = stored.shape
    add_pixel_description(ds, rows, columns, 8 * stored.dtype.itemsize)
    add_compression(ds, description.jpeg_ratio)
    add_pixel_data(ds, stored)
    if description.kind == "DX":
        _add_dx(ds, description)
    else:
        ds.PlateID = ""
        ds.Laterality = description.laterality
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def derived_uid(*parts: str) -> str:
    """Return the same UID for the same text (PS3.5 B.2)."""
    digest = hashlib.sha256("\n".join(("wrap_dicom", *parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _add_identity(ds: Dataset, description: Description) -> None:
    pseudonym = hashlib.sha256(description.patient.encode()).hexdigest()[:12].upper()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = KINDS[description.kind]
    ds.SOPInstanceUID = derived_uid("instance", description.key)
    ds.StudyInstanceUID = derived_uid("study", description.study)
    ds.SeriesInstanceUID = derived_uid("series", description.key)
    ds.PatientName, ds.PatientID = f"WRAPPED^{pseudonym}", f"WRAPPED-{pseudonym}"
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ds.AccessionNumber = ""
    for prefix in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{prefix}Date", EPOCH[0])
        setattr(ds, f"{prefix}Time", EPOCH[1])
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", description.instance_number, description.instance_number
    ds.Modality = description.kind
    ds.SeriesDescription = "wrapped image, not an original"
    ds.Manufacturer, ds.ManufacturerModelName = "OsteoMAP project", "training.wrap_dicom"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1", "1"
    ds.ImageType = ["DERIVED", "PRIMARY", ""] if description.kind == "DX" else ["DERIVED", "PRIMARY"]
    ds.BodyPartExamined = description.body_part
    ds.ViewPosition = description.view_position
    ds.PatientOrientation = list(description.patient_orientation or ()) or None
    region = BODY_PARTS.get(description.body_part, CHEST if description.body_part == "CHEST" else None)
    if region is not None:
        ds.AnatomicRegionSequence = [_code(region)]
    if description.burned_in_annotation:
        ds.BurnedInAnnotation = description.burned_in_annotation
    if description.spacing_mm is not None:
        ds.ImagerPixelSpacing = [description.spacing_mm, description.spacing_mm]


def _add_dx(ds: Dataset, description: Description) -> None:
    """Add what the DX IOD demands beyond CR (PS3.3 A.26), as far as it is known; CR needs neither side nor spacing."""
    ds.PresentationIntentType = "FOR PRESENTATION"
    if description.laterality:
        ds.ImageLaterality = description.laterality
    if not description.body_part:
        ds.AnatomicRegionSequence = []
    if description.view_position in VIEWS:
        ds.ViewCodeSequence = [_code(VIEWS[description.view_position])]
        ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    ds.DetectorType, ds.PositionerType, ds.KVP = "DIRECT", "NONE", None


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def read_stored(path: Path) -> NDArray[np.unsignedinteger]:
    """Read a PNG or JPEG as (rows, columns) uint8 or uint16."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("L"))


def list_images(source: Path, body_part: str, split: str | None) -> Iterator[tuple[Path, Description]]:
    """Yield the images to wrap and what their headers will say."""
    root = source if source.is_dir() else source.parent
    if source.suffix == ".csv" or (source / "manifest.csv").is_file():
        for record in read_manifest(source, split):
            part = body_part or part_of_collection(record.body_part)
            yield record.path, Description(image_key(record.path, root), record.study, record.group, body_part=part)
        return
    paths = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
    for path in paths:
        key = image_key(path, root)
        yield path, Description(key, key, key, body_part=body_part)


def image_key(path: Path, root: Path) -> str:
    """Return what names an image of a collection: its path in the collection without the suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def part_of_collection(text: str) -> str:
    """Return the defined term for a collection's own word, or an empty text if there is none.

    A word that names several parts, such as ``hand_wrist_forearm``, becomes the narrowest region of CID 4031 that
    holds them all: which of them an image shows is not known.
    """
    terms = (normalise_body_part(word) for word in re.split(r"[^A-Za-z]+", text))
    named = {term for term in terms if term is not None}
    if len(named) == 1:
        return next((part for part in named if part in BODY_PARTS), "")
    return next((region for region, parts in _WIDER_REGIONS.items() if named and named <= parts), "")
