"""The images of a study -> one Secondary Capture that shows all of them with their findings (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from operators.drawing.burned_in import Words
from operators.drawing.layers import RADIOGRAPH_SIDE
from operators.drawing.summary_sheet import Tile, draw_sheet
from operators.encoding.requests import StudyRequest
from operators.encoding.secondary_capture import capture, complete_capture
from operators.encoding.series import add_body_part, derive_series_uid, describe_series, describe_state
from operators.reading.normalised_header import is_referable
from operators.records.codes import place
from operators.records.images import EncodedImage
from operators.records.provenance import APPLICATION, RESEARCH_USE_ONLY, Provenance, equipment
from operators.records.reasons import REASONS
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.states import State


def encode_summary_sheet(request: StudyRequest) -> Dataset | None:
    """Build the sheet of a study; None if none of its images was analysed that an object can refer to."""
    study, provenance = request.study, request.provenance
    sources = [image.source for image in study.included if is_referable(image.source.header)]
    if not sources:
        return None
    tiles = [_tile(number, image, provenance) for number, image in enumerate(study.images, start=1)]
    sheet = capture(draw_sheet(tiles, _words(request)), sources[0].header, _identity(request, sources[0]))
    add_body_part(sheet, request.subject)
    sheet.DerivationDescription = (
        f"{RESEARCH_USE_ONLY}. The images of the study, small, with findings of {APPLICATION}."
    )
    sheet.LossyImageCompression = "01"  # the small pictures were kept as JPEG (PS3.3 C.7.6.1.1.5)
    sheet.LossyImageCompressionMethod, sheet.LossyImageCompressionRatio = "ISO_10918_1", _ratio(tiles)
    said = {source.header.get("BurnedInAnnotation") for source in sources}
    if "YES" in said or said == {"NO"}:
        sheet.BurnedInAnnotation = "YES" if "YES" in said else "NO"
    complete_capture(sheet, sources, provenance)
    return sheet


def _identity(request: StudyRequest, source: SourceImage) -> dict[str, Any]:
    provenance, kind = request.provenance, request.kind
    series_uid = derive_series_uid(provenance, kind, source.header, request.subject)
    return {
        "series_instance_uid": series_uid,
        "series_number": kind.series_number,
        "series_description": describe_series(kind, request.subject),
        "sop_instance_uid": provenance.uid(kind.name, series_uid, *request.identity),
        "instance_number": 1,
        "contributing_equipment": provenance.contributing_equipment(),
        **equipment(provenance),
    }


def _tile(number: int, image: EncodedImage | ExcludedImage, provenance: Provenance) -> Tile:
    source = image.source
    shown = place(source.body_part, source.laterality, source.view_position) if isinstance(source, SourceImage) else ""
    title = f"Image {number}{' · ' if shown else ''}{shown}"
    if isinstance(image, ExcludedImage):
        return Tile((title, f"not analysed, {image.state}: {REASONS[image.reason].meaning}"))
    localization = image.segmentation.localization
    words = (title, *describe_state(localization, provenance.finding))
    return Tile(words, image.picture, localization.classification.state == State.DOUBT)


def _words(request: StudyRequest) -> Words:
    outcome, provenance = request.outcome, request.provenance
    mean = "" if outcome.probability is None else f", mean probability {outcome.probability:.2f} of its images"
    return Words(
        head=f"{APPLICATION} {provenance.version} · {RESEARCH_USE_ONLY}",
        state=(f"Study: {outcome.state}{mean}",),
        foot="Blue: suspected region, dashed where it is in doubt. White: its outline. Not for measurement.",
    )


def _ratio(tiles: Sequence[Tile]) -> float:
    """Return how many times smaller the pictures were stored, at 8 bits a pixel."""
    pictures = [tile.picture for tile in tiles if tile.picture is not None]
    pixels = sum(
        picture.rows * picture.columns * min(1.0, RADIOGRAPH_SIDE / max(picture.rows, picture.columns)) ** 2
        for picture in pictures
    )
    return round(max(1.0, pixels / sum(len(picture.radiograph) for picture in pictures)), 1)
