"""The grey-scale pipeline of the source in its presentation state (PS3.3 C.11.1, C.11.2, C.11.6)."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from operators.reading.lookup_tables import stretched_modality_lut, stretched_voi_lut

MODALITY_LUT = ("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "RescaleType")
VOI_LUT = ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction")


def add_grey_scale(state: Dataset, header: Dataset) -> None:
    """Copy Modality LUT and VOI LUT of the source, a table before a window, as ``radiographs`` applies them."""
    factor, voi = _add_modality_lut(state, header), Dataset()
    if header.get("VOILUTSequence"):
        modality = state.ModalityLUTSequence[0] if factor != 1 else None
        if modality is not None:  # tables that fit each other no longer: one for both
            modality = header.ModalityLUTSequence[0]
            del state.ModalityLUTSequence
        voi.VOILUTSequence = [stretched_voi_lut(header.VOILUTSequence[0], modality)]
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        linear = header.get("VOILUTFunction", "LINEAR") == "LINEAR"
        window = (_first(header.WindowCenter), _first(header.WindowWidth))
        voi.WindowCenter, voi.WindowWidth = window if factor == 1 else _stretched(window, factor, linear)
        if header.get("VOILUTFunction"):
            voi.VOILUTFunction = header.VOILUTFunction
    if len(voi):
        state.SoftcopyVOILUTSequence = [voi]
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        state.PresentationLUTShape = "INVERSE"


def _add_modality_lut(state: Dataset, header: Dataset) -> float:
    """Copy Modality LUT or rescale of the source; return by what its outputs were multiplied."""
    factor = 1.0
    if header.get("ModalityLUTSequence"):
        item, factor = stretched_modality_lut(header.ModalityLUTSequence[0])
        state.ModalityLUTSequence = [item]
    elif header.get("RescaleSlope") is not None and header.get("RescaleIntercept") is not None:
        state.RescaleSlope, state.RescaleIntercept = header.RescaleSlope, header.RescaleIntercept
        state.RescaleType = header.get("RescaleType") or "US"  # unspecified
    return factor


def _stretched(window: tuple[Any, Any], factor: float, linear: bool) -> tuple[str, str]:
    """Return a window for values that were multiplied; LINEAR counts from pixel centres (PS3.3 C.11.2.1.2.1)."""
    shift = (0.5, 1.0) if linear else (0.0, 0.0)
    centre, width = ((float(value) - off) * factor + off for value, off in zip(window, shift, strict=True))
    return format_number_as_ds(centre), format_number_as_ds(width)


def _first(value: object) -> object:
    """Return the first of several values: a presentation state holds one window, the one that is shown."""
    return value[0] if isinstance(value, MutableSequence) else value
