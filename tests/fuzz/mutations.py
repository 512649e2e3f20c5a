"""Mutants of sound radiographs in nine transfer syntaxes, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.coded_images import coded, content
from tests.phantoms import stored_phantom

SYNTAXES = (
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
)
FINDINGS = ("none", "step", "none")  # of the phantoms that are mutated
ROWS, COLUMNS = 256, 208


@dataclass(frozen=True)
class Seed:
    """A sound file; ``start`` and ``end`` of its pixel data, as they are stored."""

    syntax: UID
    file: bytes
    start: int
    end: int


@dataclass(frozen=True)
class Mutant:
    """A damaged file, of which seed, and how."""

    seed: Seed
    kind: str
    file: bytes


@cache
def seed_file(syntax: UID, number: int) -> Seed:
    stored = stored_phantom(800_000 + number, FINDINGS[number], rows=ROWS, columns=COLUMNS)
    ds = coded(stored, syntax, key=f"{syntax}-{number}")
    file = content(ds)
    if syntax == DeflatedExplicitVRLittleEndian:
        return Seed(syntax, file, len(file) // 8, len(file))
    start = file.rindex(b"\xe0\x7f\x10\x00OB" if syntax.is_encapsulated else b"\xe0\x7f\x10\x00OW") + 12
    return Seed(syntax, file, start + 16 * syntax.is_encapsulated, len(file) - 8 * syntax.is_encapsulated)


def flip(seed: Seed, draw: Random) -> bytes:
    """One byte of the pixel data has another value."""
    return _flipped(seed.file, [draw.randrange(seed.start, seed.end)], draw)


def flips(seed: Seed, draw: Random) -> bytes:
    """Up to 16 bytes of the pixel data have other values."""
    places = [draw.randrange(seed.start, seed.end) for _ in range(draw.randrange(2, 17))]
    return _flipped(seed.file, places, draw)


def zeros(seed: Seed, draw: Random) -> bytes:
    """A span of the pixel data, of a hundredth to a fifth of them, is zero."""
    length = int((seed.end - seed.start) * draw.uniform(0.01, 0.2))
    place = draw.randrange(seed.start, seed.end - length)
    return seed.file[:place] + bytes(length) + seed.file[place + length :]


def cut(seed: Seed, draw: Random) -> bytes:
    """The file ends within the pixel data."""
    return seed.file[: draw.randrange(seed.start, seed.end)]


def moved(seed: Seed, draw: Random) -> bytes:
    """Up to 64 bytes of the pixel data are lost, or doubled."""
    place, length = draw.randrange(seed.start, seed.end - 64), draw.randrange(1, 65)
    if draw.random() < 0.5:
        return seed.file[:place] + seed.file[place + length :]
    return seed.file[: place + length] + seed.file[place:]


def header(seed: Seed, draw: Random) -> bytes:
    """Up to 8 bytes of the header have other values."""
    places = [draw.randrange(132, seed.start) for _ in range(draw.randrange(1, 9))]
    return _flipped(seed.file, places, draw)


KINDS: Mapping[str, tuple[Callable[[Seed, Random], bytes], int]] = {  # with how many of 20
    "a byte flipped": (flip, 8),
    "up to 16 bytes flipped": (flips, 3),
    "a span zeroed": (zeros, 2),
    "cut short": (cut, 1),
    "bytes lost or doubled": (moved, 2),
    "bytes of the header flipped": (header, 4),
}
HEADER = "bytes of the header flipped"


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """Yield so many mutants, of each syntax alike."""
    draw = Random(seed)  # noqa: S311 - no secret
    kinds = [kind for kind, (_, share) in KINDS.items() for _ in range(share)]
    for number in range(count):
        origin = seed_file(SYNTAXES[number % len(SYNTAXES)], draw.randrange(len(FINDINGS)))
        kind = draw.choice(kinds)
        yield Mutant(origin, kind, KINDS[kind][0](origin, draw))


def _flipped(file: bytes, places: list[int], draw: Random) -> bytes:
    changed = bytearray(file)
    for place in places:
        changed[place] ^= draw.randrange(1, 256)
    return bytes(changed)
