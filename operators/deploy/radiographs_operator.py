"""Adapter of ``radiographs``."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment

from operators.deploy.stage_operator import StageOperator
from operators.reading.decoder import Decoder
from operators.reading.scope import check_scope
from operators.records.errors import UnsupportedImageError
from operators.records.images import Radiograph
from operators.records.reasons import DeclinedReason
from operators.records.rules import Scope
from operators.records.sources import SourceImage
from operators.records.study import Study


class RadiographsOperator(StageOperator):
    """Check the scope of every image and decode those that are in it."""

    input_port = "studies"
    output_port = "radiographs"

    def __init__(
        self, fragment: Fragment, *args: Any, scope: Scope, decoder: Decoder, name: str = "radiographs"
    ) -> None:
        self.scope = scope
        self.decoder = decoder
        super().__init__(fragment, *args, name=name)

    def process(self, study: Study[SourceImage]) -> Study[Radiograph]:
        """Return the study with pixels."""
        return study.map(self._read)

    def _read(self, source: SourceImage) -> Radiograph:
        check_scope(source.header, self.scope)
        if not source.has_pixel_data:
            raise UnsupportedImageError(DeclinedReason.NO_PIXEL_DATA, "no pixel data; send the whole image")
        return Radiograph(source, self.decoder.pixels(source.file.path))
