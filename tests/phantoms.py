"""Builders of test data: keyword arguments override what a header says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from operators.networks.bundle import Bundle
from operators.reading.normalised_header import normalise
from operators.reading.scope import body_part, imager_pixel_spacing_mm, laterality
from operators.records.geometry import PixelGeometry, whole_image
from operators.records.images import Classification, FeatureStage, FeatureView, Opinion, Radiograph
from operators.records.sources import SourceFile, SourceImage
from training.datasets.dicom_wrapping import Description, wrap
from training.datasets.phantoms import draw_phantom


def stored_phantom(
    seed: int = 1, finding: str = "none", bits: int = 12, rows: int = 160, columns: int = 128
) -> NDArray[np.uint16]:
    pixels = draw_phantom(seed, finding, rows, columns).pixels
    return np.round(pixels * (2**bits - 1)).astype(np.uint16)


def radiograph(
    key: str = "a", kind: str = "DX", stored: NDArray[Any] | None = None, bits: int = 12, **header: Any
) -> Dataset:
    """A valid DX or CR phantom; a header value of None removes the attribute."""
    description = Description(
        key,
        header.pop("study", key),
        "phantom",
        kind=kind,
        body_part="WRIST",
        view_position="AP",
        laterality="L",
        patient_orientation=("L", "F"),
        spacing_mm=0.2,
    )
    ds = wrap(stored_phantom(bits=bits) if stored is None else stored, description)
    if stored is None:
        ds.BitsStored, ds.HighBit = bits, bits - 1
        ds.WindowCenter, ds.WindowWidth = 2 ** (bits - 1), 2**bits
    ds.BurnedInAnnotation = "NO"
    if kind == "CR":  # the IOD has a term, no code
        del ds.AnatomicRegionSequence
    for keyword, value in header.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    if "SOPInstanceUID" in ds:
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def save(ds: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta.TransferSyntaxUID = ds.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    ds.save_as(path, enforce_file_format=True)
    return path


def source_image(ds: Dataset | None = None, **overrides: Any) -> SourceImage:
    header, _ = normalise(radiograph() if ds is None else ds)
    fields: dict[str, Any] = {
        "file": SourceFile(Path("a.dcm"), "a.dcm"),
        "header": header,
        "sop_instance_uid": str(header.get("SOPInstanceUID", "")),
        "body_part": body_part(header),
        "view_position": str(header.get("ViewPosition") or "") or None,
        "laterality": laterality(header),
        "imager_pixel_spacing_mm": imager_pixel_spacing_mm(header),
        "has_pixel_data": True,
    }
    return SourceImage(**(fields | overrides))


def classification(
    features: NDArray[np.float32] | None = None,
    state: str = "abnormal",
    rows: int = 160,
    columns: int = 128,
    stride: int = 16,
    **overrides: Any,
) -> Classification:
    """A classification whose map is the first feature channel, of an image that the network saw at its own size."""
    if features is None:
        features = np.full((1, rows // stride, columns // stride), -6, np.float32)
        features[0, 3:5, 2:4] = 4
    pixels = np.zeros((rows, columns), np.float32) + 0.25
    seen = PixelGeometry(rows, columns, whole_image(rows, columns), rows, columns)
    stage = FeatureStage(features, overrides.pop("gradients", None), float(stride))
    fields: dict[str, Any] = {
        "radiograph": Radiograph(overrides.pop("source", None) or source_image(), pixels),
        "probability": 0.9,
        "state": state,
        "views": (FeatureView((stage,), overrides.pop("geometry", seen), flipped=False),),
        "feature_weights": np.ones(features.shape[0], np.float32),
        "feature_bias": 0.0,
        "opinions": (Opinion("msk_a", 2.2, overrides.get("probability", 0.9), state),),
    }
    return Classification(**(fields | overrides))


def tiny_bundle(network: Any, preprocess: Any, name: str = "tiny", **metadata: Any) -> Bundle:
    points = {"rule_out": 0.2, "rule_in": 0.8}
    return Bundle(
        name,
        "1",
        "0" * 64,
        network.eval(),
        preprocess,
        {
            "operating_points": {"temperature": 1.0, "image": points, "study": points},
            "localization": {"threshold": 0.5, "expansion": 0.0} | metadata.pop("localization", {}),
        }
        | metadata,
    )
