"""What every report says of the run that made it."""

from __future__ import annotations

from dataclasses import dataclass

from operators.records.operating_points import OperatingPoints
from operators.records.provenance import Provenance


@dataclass(frozen=True, slots=True)
class RunDescription:
    """Who analyses, by which operating points, within which limits.

    Parameters
    ----------
    provenance
        The software and its models.
    points, image_points
        The operating points of a study and of an image.
    limits
        What is known of the models' limits, as sentences.
    patient_data
        Whether reports for people name the patient.
    """

    provenance: Provenance
    points: OperatingPoints
    image_points: OperatingPoints
    limits: tuple[str, ...]
    patient_data: bool = False
