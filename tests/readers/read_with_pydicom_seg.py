"""What pydicom-seg reads; run by the Python that has it. Standard input and output: ``tests.readers.programs``."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pydicom
import pydicom_seg


def reading(path: str) -> dict[str, Any]:
    """Return the pixels of each segment, of a heat map its levels."""
    try:
        ds = pydicom.dcmread(path)
        read = pydicom_seg.SegmentReader().read(ds)
        (image,) = read.referenced_instance_uids
        scale = ds.MaximumFractionalValue if ds.SegmentationType == "FRACTIONAL" else 1
        segments = {}
        for number in read.available_segments:
            (pixels,) = read.segment_data(number)  # one slice
            rows, columns = pixels.shape
            digest = sha256(np.round(pixels * scale).astype(np.uint8).tobytes()).hexdigest()
            segments[number] = {"image": image, "rows": rows, "columns": columns, "sha256": digest}
    except (ValueError, AttributeError, KeyError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"segments": segments}


if __name__ == "__main__":
    studies = json.load(sys.stdin)["studies"]
    json.dump({path: reading(path) for study in studies for path in study["segmentations"]}, sys.stdout)
