"""Stored values -> grey levels: the grey-scale pipeline of a radiograph (PS3.4 N.2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.records.errors import InvalidDicomError, UnsupportedImageError
from operators.records.reasons import DeclinedReason, FailedReason

Array = NDArray[np.float32]


def render(stored: NDArray[np.integer], header: Dataset) -> Array:
    """Return the picture of stored values: (rows, columns) float32 [0, 1], MONOCHROME2 sense.

    The steps are worked out once for every value that a pixel can have; the pixels are then looked up.

    Parameters
    ----------
    stored
        (rows, columns) as decoded, signed if Pixel Representation is 1.
    header
        The full header: Modality LUT, VOI LUT, photometric interpretation and padding are read from it.

    Raises
    ------
    UnsupportedImageError
        If all pixels are equal.
    InvalidDicomError
        If a look-up table is impossible.
    """
    lowest, highest = int(stored.min()), int(stored.max())
    padding = padding_range(header)
    ramp = np.arange(lowest, highest + 1)
    inside = np.ones(ramp.shape, bool) if padding is None else (ramp < padding[0]) | (ramp > padding[1])
    entry = stored.astype(np.int32) - lowest
    used = np.zeros(ramp.shape, bool)
    used[entry.ravel()] = True
    if (used & inside).sum() < 2:
        raise UnsupportedImageError(DeclinedReason.IMAGE_QUALITY, "a blank image: all pixels are equal")
    try:
        modality_values = apply_modality(ramp, header)
        table = apply_voi(modality_values, modality_values[used & inside], header)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InvalidDicomError(
            FailedReason.HEADER_INVALID, f"a look-up table is impossible ({type(error).__name__})"
        ) from error
    if not np.isfinite(table).all():
        raise InvalidDicomError(FailedReason.HEADER_INVALID, "a look-up table yields values that are not numbers")
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        table = 1 - table
    table = np.where(inside, table, 0.0).astype(np.float32)
    return np.take(table, entry)


def apply_modality(stored: NDArray[np.integer], header: Dataset) -> NDArray[np.float64]:
    """Return modality values of stored values: by Modality LUT or by rescale slope and intercept (PS3.3 C.11.1)."""
    if header.get("ModalityLUTSequence"):
        values, _ = _look_up(stored, header.ModalityLUTSequence[0])
        return values
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return np.asarray(stored * float(1 if slope is None else slope) + float(intercept or 0), np.float64)


def apply_voi(values: NDArray[np.float64], used: NDArray[np.float64], header: Dataset) -> NDArray[np.float64]:
    """Return modality values after the VOI LUT, scaled to [0, 1] (PS3.3 C.11.2).

    The first item is taken: a LUT before a window, the first of several windows. Without any, the range of the
    image's own values is shown. ``used`` are the modality values that the image's pixels have, padding excluded.
    """
    sequence = header.get("VOILUTSequence")
    if sequence:
        looked_up, bits = _look_up(np.round(values).astype(np.int64), sequence[0])
        return np.asarray(np.clip(looked_up / (2**bits - 1), 0, 1))
    centre, width = (_first_number(header, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None:
        windowed = apply_window(values, centre, width, str(header.get("VOILUTFunction") or "LINEAR").strip().upper())
        if np.ptp(windowed[np.isin(values, used)]) > 0:
            return windowed  # a window that misses all pixels is a mistake of the header, not of the radiograph
    low, high = used.min(), used.max()
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1))


def apply_window(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Return values after a window, scaled to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises
    ------
    ValueError
        If the width or the function is not one of the Standard.
    """
    if function == "SIGMOID" and width > 0:
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60))))
    if function == "LINEAR_EXACT" and width > 0:
        return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1))
    if function == "LINEAR" and width >= 1:
        return np.asarray(np.clip((values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1))
    raise ValueError(f"a window of function {function} and width {width}")


def _look_up(values: NDArray[np.integer], item: Dataset) -> tuple[NDArray[np.float64], int]:
    """Return (entries of a LUT for integer values, bits per entry); beyond the table its first or last entry holds."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):  # OW, or US read without knowing the number of entries
        data = np.frombuffer(data, np.uint8 if len(data) == count else np.dtype("<u2"))
    entries = np.asarray(data, np.float64)
    if entries.size < (count or 65536) or not 8 <= bits <= 16:
        raise ValueError(f"a LUT of {entries.size} entries of {bits} bits")
    return entries[np.clip(values - first, 0, (count or 65536) - 1)], bits


def _first_number(header: Dataset, keyword: str) -> float | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    return float(value[0] if header[keyword].VM > 1 else value)


def padding_range(header: Dataset) -> tuple[int, int] | None:
    """Return the (lowest, highest) stored value that is padding, or None (PS3.3 C.7.5.1.1.2)."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    first, last = int(value), int(value if limit is None else limit)
    return min(first, last), max(first, last)
