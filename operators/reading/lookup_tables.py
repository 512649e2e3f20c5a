"""What shows a source image as its equipment meant it: rescale, windows and look-up tables that fit together."""

from __future__ import annotations

import struct
from collections.abc import MutableSequence, Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.header_values import MODALITY_UNITS

SEQUENCES = ("ModalityLUTSequence", "VOILUTSequence")
_RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType")
_WINDOW = ("WindowCenter", "WindowWidth")


def well_formed_items(header: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a look-up table sequence, without their explanations.

    Raises
    ------
    ValueError
        If an item is impossible (PS3.3 C.11.1.1.1, C.11.2.1.1).
    """
    return [_lut(item, header, keyword == "ModalityLUTSequence") for item in header.get(keyword) or []]


def _lut(item: Dataset, header: Dataset, is_modality_lut: bool) -> Dataset:
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    count, data = entries or 65536, item.LUTData
    if not isinstance(data, bytes):
        data = struct.pack(f"<{len(data)}H", *data)
    elif header.original_encoding[1] is False:
        raise ValueError("words in big endian, which is retired")
    packed = count + count % 2 if bits == 8 else 0
    if not 8 <= bits <= 16 or len(data) not in (2 * count, packed):
        raise ValueError("a look-up table of another length than it says")
    copy = Dataset()
    copy.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, bits])
    copy.add_new("LUTData", "OW", data)
    if is_modality_lut:  # type 1; US says that the unit is not specified
        unit = str(item.get("ModalityLUTType") or "").strip(" \0")
        copy.ModalityLUTType = unit if unit in MODALITY_UNITS else "US"
    return copy


def stretched_modality_lut(item: Dataset) -> tuple[Dataset, float]:
    """Return a Modality LUT that fills 8 or 16 bits, as a presentation state demands, and the factor of its outputs.

    Notes
    -----
    PS3.3 C.11.1.1.1: LUT Descriptor, third value. What follows the table has to be multiplied too.
    """
    values, bits = _entries(item), int(item.LUTDescriptor[2])
    highest = int(values.max())
    if highest == 0 or (bits in (8, 16) and highest.bit_length() == bits):
        return item, 1.0
    factor = 65535 / highest
    return _with_entries(item, item.LUTDescriptor[1], values * factor), factor


def stretched_voi_lut(item: Dataset, modality: Dataset | None = None) -> Dataset:
    """Return a VOI LUT with 8 or 16 bits per entry; with a Modality LUT, one table that does what both do in turn.

    What comes out of it is displayed, from 0 to the most that the bits hold (PS3.3 C.11.2.1.1), and stays so.
    """
    values, first, bits = _entries(item), int(item.LUTDescriptor[1]), int(item.LUTDescriptor[2])
    if modality is None and bits in (8, 16):
        return item
    if modality is not None:
        values = values[np.clip(_entries(modality) - first, 0, len(values) - 1).astype(int)]
        first = modality.LUTDescriptor[1]
    return _with_entries(item, first, values * (65535 / (2**bits - 1)))


def _entries(item: Dataset) -> NDArray[np.float64]:
    """Return the entries of a well-formed table."""
    count = item.LUTDescriptor[0] or 65536
    packed = item.LUTDescriptor[2] == 8 and len(item.LUTData) < 2 * count
    return np.frombuffer(item.LUTData, "u1" if packed else "<u2")[:count].astype(np.float64)


def _with_entries(item: Dataset, first: int, values: NDArray[np.float64]) -> Dataset:
    copy = deepcopy(item)  # elements are shared by any other copy
    copy.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values) % 65536, first, 16])
    copy.LUTData = np.round(np.clip(values, 0, 65535)).astype("<u2").tobytes()
    return copy


def drop_what_does_not_fit(copy: Dataset, header: Dataset) -> list[str]:
    """Remove from a normalised copy what contradicts the rest; return the keywords of what is gone or shortened.

    What is left shows the image as the application does (``radiographs.render``): a Modality LUT goes before a
    rescale, and there are as many windows as have a centre and a width.
    """
    gone = []
    lost = bool(header.get("ModalityLUTSequence")) and "ModalityLUTSequence" not in copy
    if "ModalityLUTSequence" in copy:
        gone += _remove(copy, _RESCALE)
    elif ("RescaleSlope" in copy) != ("RescaleIntercept" in copy):
        lost = lost or copy.get("RescaleSlope", 1) != 1 or copy.get("RescaleIntercept", 0) != 0
        gone += _remove(copy, _RESCALE)
    elif "RescaleSlope" not in copy:
        gone += _remove(copy, _RESCALE)
    if lost:  # windows and VOI LUTs are about values that the copy no longer tells how to reach
        gone += _remove(copy, (*_WINDOW, "VOILUTSequence"))
    gone += _drop_windows(copy)
    return gone


def _drop_windows(copy: Dataset) -> list[str]:
    """Remove the windows without centre or width, and those that the Standard forbids (PS3.3 C.11.2.1.2)."""
    centres, widths = (_listed(copy.get(keyword)) for keyword in _WINDOW)
    least = 1 if copy.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-12
    pairs = [pair for pair in zip(centres, widths, strict=False) if pair[1] >= least]
    gone = []
    if not len(pairs) == len(centres) == len(widths):
        gone = _remove(copy, _WINDOW)
        if pairs:
            copy.WindowCenter, copy.WindowWidth = (list(values) for values in zip(*pairs, strict=True))
    return gone if pairs else gone + _remove(copy, ("VOILUTFunction",))


def _remove(copy: Dataset, keywords: Sequence[str]) -> list[str]:
    found = [keyword for keyword in keywords if keyword in copy]
    for keyword in found:
        delattr(copy, keyword)
    return found


def _listed(value: object) -> list[float]:
    if value is None:
        return []
    return [float(number) for number in value] if isinstance(value, MutableSequence) else [float(str(value))]
