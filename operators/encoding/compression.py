"""Objects with pixels of 8 bits and more -> the same objects, losslessly compressed (PS3.5 8.2, A.4)."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from operators.records.rules import COMPRESSIONS

# The encoders are chosen: pydicom's own for RLE takes ten times as long, and several could be at hand.
_ENCODERS: Mapping[str, tuple[str, str]] = {"rle": (RLELossless, "gdcm"), "jpeg_ls": (JPEGLSLossless, "pyjpegls")}


def compress(ds: Dataset, method: str) -> None:
    """Compress the pixels of an object in place; one without pixels, or of single bits, stays as it is.

    The SOP Instance UID stays too, as the pixels do: archives change the transfer syntax of an instance in this way.

    Parameters
    ----------
    ds
        An object in Explicit VR Little Endian.
    method
        One of ``COMPRESSIONS``.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    if method not in COMPRESSIONS:
        raise ValueError(f"no compression {method!r}; take one of {', '.join(COMPRESSIONS)}")
    if method == "none" or "PixelData" not in ds or ds.BitsAllocated < 8:
        return
    syntax, encoder = _ENCODERS[method]
    ds.compress(syntax, encoding_plugin=encoder, generate_instance_uid=False)
