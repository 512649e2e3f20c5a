"""Patient Orientation -> by how many quarter turns a stored picture is brought upright (PS3.3 C.7.6.1.1.1)."""

from __future__ import annotations

from collections.abc import MutableSequence

from pydicom.dataset import Dataset

# Parts that are shown with the hand or foot up as well as down: columns that run towards the head are no mistake there.
EITHER_WAY_UP = frozenset(
    ("CALCANEUS", "ELBOW", "EXTREMITY", "FINGER", "FOOT", "FOREARM", "HAND", "THUMB", "TOE", "UPPERLIMB", "WRIST")
)


def upright_turns(header: Dataset, body_part: str | None) -> int:
    """Return by how many counter-clockwise quarter turns a picture stands head up, 0 to 3.

    Only directions to head or feet say how a picture is turned: without one of them on exactly one axis, as in an axial
    projection, it stays as it is. A mirrored picture stays mirrored, as a view from behind does.

    Parameters
    ----------
    header
        The normalised header.
    body_part
        Defined term of Body Part Examined, or None.

    Notes
    -----
    Field of View Rotation and Horizontal Flip say how the stored pixels were turned from the detector, mostly so that
    they stand upright (PS3.3 C.8.11.4); they say nothing of the patient and turn no picture here.
    """
    along_row, down_column = _directions(header)
    if (along_row in "HF") == (down_column in "HF"):
        return 0
    if along_row in "HF":
        return 1 if along_row == "H" else 3
    return 2 if down_column == "H" and body_part not in EITHER_WAY_UP else 0


def is_upright(header: Dataset, body_part: str | None) -> bool:
    """Say whether nothing in a header speaks against a picture that is stored upright.

    What speaks against it: a Patient Orientation that asks for a turn or names head or feet on both axes, or, where it
    is absent, a turn or flip from the detector of which nothing says what it led to.
    """
    along_row, down_column = _directions(header)
    if along_row == down_column == "-":
        turned = header.get("FieldOfViewRotation") not in (None, 0) or header.get("FieldOfViewHorizontalFlip") == "YES"
        return not turned
    return upright_turns(header, body_part) == 0 and not (along_row in "HF" and down_column in "HF")


def _directions(header: Dataset) -> tuple[str, str]:
    """Return the main direction of rows and of columns as one letter each, "-" where the header names none."""
    value = header.get("PatientOrientation")
    if not isinstance(value, MutableSequence) or len(value) != 2:
        return "-", "-"
    along_row, down_column = (str(direction)[:1] or "-" for direction in value)
    return along_row, down_column
