"""What a source displays with its pixels, in its presentation state, which else switches it off (PS3.3 A.33.1.2)."""

from __future__ import annotations

from copy import deepcopy

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from operators.reading.display.overlays import overlay_planes
from operators.reading.display.shutters import SHUTTER, SHUTTER_VALUE

_LAYER = "OVERLAYS"
_ACTIVATION_LAYER = 0x1001  # of an overlay's group (PS3.3 C.11.7)


def add_source_display(state: Dataset, header: Dataset) -> None:
    """Apply the display shutters of the source (PS3.3 C.7.6.11) and activate its overlays on a layer of their own."""
    for keyword in SHUTTER:
        if keyword in header:
            setattr(state, keyword, deepcopy(header[keyword].value))
    if "ShutterShape" in state:
        setattr(state, SHUTTER_VALUE, header.get(SHUTTER_VALUE) or 0)
    planes = overlay_planes(header)
    if planes:
        order = len(state.GraphicLayerSequence) + 1
        state.GraphicLayerSequence.append(
            hd.pr.GraphicLayer(_LAYER, order=order, description="Overlays of the source image")
        )
    for plane in planes:
        state.add_new(Tag(plane.group, _ACTIVATION_LAYER), "CS", _LAYER)
