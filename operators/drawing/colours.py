"""The colours of what is drawn on a radiograph, told from bone and each other in all common colour deficiencies."""

from __future__ import annotations

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

BOX: Colour = (86, 180, 233)  # sky blue
OUTLINE: Colour = (255, 255, 255)
HEAT: Colour = (255, 140, 0)  # orange
SEGMENTS: tuple[Colour, ...] = (
    (213, 94, 0),
    (204, 121, 167),
    (230, 159, 0),
)  # vermilion, reddish purple, amber; in turn


def as_hex(colour: Colour) -> str:
    """Return a colour as HTML and CSS write it."""
    return "#" + "".join(f"{part:02x}" for part in colour)
