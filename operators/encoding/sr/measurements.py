"""What the report measures (PS3.16 TID 300), on which region, and by which model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from operators.reading.scope import plane_spacing
from operators.records.codes import (
    AREA,
    ARTIFICIAL_INTELLIGENCE,
    PEAK_NAME,
    PIXELS,
    PROBABILITY_NAME,
    RATIO_UNIT,
    SQUARE_MILLIMETRE,
    in_sentence,
)
from operators.records.geometry import PixelBox
from operators.records.provenance import Model, Provenance
from operators.records.sources import SourceImage

_DIGITS = 4  # significant ones: more is not known of a probability or an area, and hard to read


def rectangle(source: SourceImage, box: PixelBox) -> sr.ImageRegion:
    """Return a box as a closed polyline."""
    return sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, _corners(box), _image(source))


def probability(value: float, provenance: Provenance) -> sr.Measurement:
    """Return a probability, what it is the probability of, and the models that gave it."""
    algorithm = _algorithm(provenance.classifiers)
    measurement = sr.Measurement(PROBABILITY_NAME, _rounded(value), RATIO_UNIT, algorithm_id=algorithm)
    _explain(measurement, f"Probability of {in_sentence(provenance.finding)}")
    return measurement


def peak(value: float, model: Model) -> sr.Measurement:
    """Return the peak of the heat map in a box, which is no probability of the box, and the model that gave the map."""
    return sr.Measurement(PEAK_NAME, _rounded(value), RATIO_UNIT, algorithm_id=_algorithm([model]))


def add_box(group: sr.PlanarROIMeasurementsAndQualitativeEvaluations, source: SourceImage, box: PixelBox) -> None:
    """Add to what a group measures in a box the box itself (TID 320), where some viewers look for it.

    highdicom knows coordinates of measurements in TID 1501 only, so they are added to the group that it has built.
    """
    for item in group[0].ContentSequence:
        if item.ValueType == sr.ValueTypeValues.NUM.value:
            coordinates = sr.CoordinatesForMeasurement(sr.GraphicTypeValues.POLYLINE, _corners(box), _image(source))
            item.ContentSequence.append(coordinates)


def outlined_area(mask: NDArray[np.bool_], source: SourceImage, segmenter: Model) -> sr.Measurement:
    """Return the area of an outline, in what plane it is measured, and the model that drew it.

    ``mask`` is (rows, columns). Without a spacing of the detector the area is counted in pixels: of another spacing it
    is not known whether it holds for the bone, and an invented one measures nothing.
    """
    area, unit, spacing_mm = float(np.count_nonzero(mask)), PIXELS, source.imager_pixel_spacing_mm
    plane = f"Area in pixels. Pixel Spacing of the segmentation: {plane_spacing(source.header).origin}"
    if spacing_mm is not None:
        area, unit = _rounded(area * spacing_mm[0] * spacing_mm[1]), SQUARE_MILLIMETRE
        plane = "Area in the plane of the detector, not corrected for magnification"
    measurement = sr.Measurement(name=AREA, value=area, unit=unit, algorithm_id=_algorithm([segmenter]))
    _explain(measurement, plane)
    return measurement


def _corners(box: PixelBox) -> NDArray[np.float64]:
    """Return the five corners of a closed rectangle in image coordinates: (column, row), pixel edges (PS3.3 C.18.6)."""
    x, y = (box.left, box.right), (box.top, box.bottom)
    return np.array([[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]], float)


def _image(source: SourceImage) -> sr.SourceImageForRegion:
    return sr.SourceImageForRegion(source.header.SOPClassUID, source.sop_instance_uid)


def _rounded(value: float) -> float:
    """Return a value with no more digits than a reader needs."""
    return float(f"{value:.{_DIGITS}g}")


def _explain(measurement: sr.Measurement, meaning: str) -> None:
    """Add what the name of a measurement means here (TID 300 row 16)."""
    measurement[0].ContentSequence.append(
        sr.TextContentItem(codes.DCM.EquivalentMeaningOfConceptName, meaning, sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
    )


def _algorithm(models: Sequence[Model]) -> sr.AlgorithmIdentification:
    """Return the name and version of a model (TID 4019), or of several whose mean a value is.

    The summary tells their weights and parameters once, as Contributing Equipment does.
    """
    names = ", ".join(model.name for model in models)
    return sr.AlgorithmIdentification(
        name=names if len(models) == 1 else f"mean of {names}",
        version=", ".join(model.version for model in models),
        family=ARTIFICIAL_INTELLIGENCE,
    )
