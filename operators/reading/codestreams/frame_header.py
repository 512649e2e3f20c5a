"""What a codestream says of its own picture."""

from __future__ import annotations

from dataclasses import dataclass


class CodestreamError(ValueError):
    """A codestream is damaged or not complete; the text says what was found, never a value of a pixel."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Size of the frame, components (samples per pixel) and precision (bits per sample)."""

    rows: int
    columns: int
    components: int
    precision: int

    def __str__(self) -> str:
        samples = "" if self.components == 1 else f" of {self.components} samples"
        return f"{self.columns} x {self.rows} pixels{samples} of {self.precision} bits"
