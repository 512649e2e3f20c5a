"""A picture that was analysed -> the Secondary Capture that its results refer to, as a file (PS3.3 A.8.1)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from operators.encoding.requests import ImageRequest
from operators.reading.pictures.capture import capture, stored_type


def encode_wrapped_picture(request: ImageRequest) -> Dataset | None:
    """Build the source image of an analysed PNG or JPEG picture; None for a DICOM image, which exists already.

    It is the same in every run: neither the time nor the software is in it.
    """
    source = request.source
    if not source.file.picture:
        return None
    stored = stored_type(source.header)
    pixels = request.segmentation.localization.classification.radiograph.pixels
    return capture(source.header, np.round(pixels * np.float32(np.iinfo(stored).max)).astype(stored))
