"""Procedural radiographs of a limb with a known finding.

Not anatomy: shafts with cortex and marrow, soft tissue, a joint gap, noise, collimation and a side marker, so that a
finding with an exact mask can be placed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.special import expit

Array = NDArray[np.float32]
FINDINGS = ("none", "gap", "step", "lytic")


@dataclass(frozen=True, slots=True)
class Phantom:
    """A drawn radiograph: ``pixels`` (rows, columns) float32 [0, 1], bone bright; ``mask`` (rows, columns) bool."""

    pixels: Array
    mask: NDArray[np.bool_]
    finding: str


class _Bone(NamedTuple):
    centre: float  # across the limb, in limb lengths
    radius: float
    cortex: float
    start: float  # along the limb
    end: float
    bend: float


def draw_phantom(seed: int, finding: str = "none", rows: int = 640, columns: int = 512) -> Phantom:
    """Draw one radiograph.

    Parameters
    ----------
    seed
        The same seed gives the same limb, whatever the finding.
    finding
        ``none``, ``gap`` (a dark fracture line), ``step`` (a displaced fracture) or ``lytic`` (a round hole).

    Raises
    ------
    ValueError
        If the finding is not one of FINDINGS.
    """
    if finding not in FINDINGS:
        raise ValueError(f"finding {finding!r} is not one of {', '.join(FINDINGS)}")
    limb_random, finding_random = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    along, across = _limb_coordinates(limb_random, rows, columns)
    bones = _choose_bones(limb_random)
    field, marker = _collimate_and_mark(limb_random, rows, columns)
    paths = [_bone_path(bone, along, across) for bone in bones]
    mask = np.zeros((rows, columns), bool)
    while finding != "none":
        index = int(finding_random.integers(min(2, len(bones))))
        path, mask = _bone_with_finding(finding_random, finding, bones[index], along, across)
        if mask.sum() > 0.0005 * mask.size and not mask[~field].any():
            paths[index] = path
            break
    pixels = _expose(limb_random, np.sum(paths, axis=0), _soft_tissue_path(limb_random, bones, along, across))
    return Phantom(np.maximum(pixels, marker) * field, mask, finding)


def _limb_coordinates(random: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """Return (along, across) the limb for every pixel, in limb lengths; along runs from 0 to 1 over the picture."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y, x = (y - rows / 2) / rows, (x - columns / 2) / rows
    angle = random.uniform(-0.3, 0.3)
    zoom = random.uniform(0.9, 1.25)
    along = (np.cos(angle) * y - np.sin(angle) * x) / zoom + 0.5 + random.uniform(-0.05, 0.05)
    across = (np.sin(angle) * y + np.cos(angle) * x) / zoom + random.uniform(-0.05, 0.05)
    return along.astype(np.float32), across.astype(np.float32)


def _choose_bones(random: np.random.Generator) -> list[_Bone]:
    """Return one or two shafts and, beyond a joint gap, what articulates with them: a second segment or rays."""
    joint = random.uniform(0.62, 0.85)
    count = int(random.integers(1, 3))
    radius = random.uniform(0.028, 0.04) if count == 2 else random.uniform(0.045, 0.065)
    bend = random.uniform(-0.12, 0.12)
    bones = [
        _Bone(
            centre=(index - (count - 1) / 2) * radius * random.uniform(2.6, 3.2),
            radius=radius * random.uniform(0.8, 1.1),
            cortex=radius * random.uniform(0.22, 0.4),
            start=random.uniform(-0.3, 0.05),
            end=joint - random.uniform(0.0, 0.02),
            bend=bend,
        )
        for index in range(count)
    ]
    gap = random.uniform(0.012, 0.025)
    if random.random() < 0.5:
        bones.append(_Bone(0.0, radius * 1.3, radius * 0.35, joint + gap, 1.4, bend * 0.5))
    else:
        width = radius * random.uniform(0.4, 0.55)
        bones += [_Bone((ray - 2) * width * 2.6, width, width * 0.4, joint + gap, 1.4, bend) for ray in range(5)]
    return bones


def _bone_path(bone: _Bone, along: Array, across: Array) -> Array:
    """Return the length of the ray's path through the bone's cortex and marrow, (rows, columns), in limb lengths."""
    position = (along - bone.start) / (bone.end - bone.start)
    flare = 1 + 0.45 * np.abs(2 * np.clip(position, 0, 1) - 1) ** 6
    outer = bone.radius * flare
    ends = np.minimum(along - bone.start, bone.end - along)
    outer = outer * np.sqrt(np.clip(ends / (0.6 * bone.radius), 0, 1))
    inner = np.clip(outer - bone.cortex / flare**2, 0, None)
    offset = across - bone.centre - bone.bend * (along - 0.5) ** 2
    chord = 2 * np.sqrt(np.clip(outer**2 - offset**2, 0, None))
    hollow = 2 * np.sqrt(np.clip(inner**2 - offset**2, 0, None))
    return np.asarray(chord - 0.72 * hollow, np.float32)


def _bone_with_finding(
    random: np.random.Generator, finding: str, bone: _Bone, along: Array, across: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the path through a bone that has the finding, and the finding's mask."""
    low, high = max(bone.start, 0.05), min(bone.end, 0.95)
    site = random.uniform(low + 0.15 * (high - low), high - 0.15 * (high - low))
    offset = across - bone.centre - bone.bend * (along - 0.5) ** 2
    if finding == "lytic":
        size = bone.radius * random.uniform(0.6, 0.95)
        shift = random.uniform(-0.3, 0.3) * bone.radius
        distance = np.hypot((along - site) / random.uniform(1.0, 1.6), offset - shift) / size
        hole = expit((1 - distance) * 14)
        path = _bone_path(bone, along, across) * (1 - random.uniform(0.6, 0.85) * hole)
        return path.astype(np.float32), (distance < 1.05) & (np.abs(offset) < bone.radius * 1.05)
    slope = random.uniform(-0.8, 0.8)
    wave = sum(random.uniform(0.02, 0.1) * np.sin(offset / bone.radius * k + random.uniform(0, 6)) for k in (3, 7, 13))
    beyond = along - site + slope * offset + wave * bone.radius
    width = bone.radius * random.uniform(0.06, 0.14)
    step = random.choice([-1, 1]) * bone.radius * (random.uniform(0.3, 0.9) if finding == "step" else 0.0)
    tilt = random.uniform(-0.12, 0.12) if finding == "step" else 0.0
    distal = _bone_path(bone, along, (across - step - tilt * np.clip(along - site, 0, None)).astype(np.float32))
    path = np.where(beyond > 0, distal, _bone_path(bone, along, across))
    depth = random.uniform(0.65, 0.95)
    path = path * (1 - depth * np.exp(-((beyond / width) ** 2)))
    reach = bone.radius * (0.45 if finding == "gap" else 0.65)
    return path.astype(np.float32), (np.abs(beyond) < reach) & (
        np.abs(offset - step / 2) < bone.radius * 1.1 + abs(step) / 2
    )


def _soft_tissue_path(random: np.random.Generator, bones: list[_Bone], along: Array, across: Array) -> Array:
    widest = max(abs(bone.centre) + bone.radius for bone in bones)
    radius = (
        widest * random.uniform(1.5, 2.4) * (1 + random.uniform(-0.2, 0.2) * np.sin(along * 5 + random.uniform(0, 6)))
    )
    offset = across - bones[0].bend * (along - 0.5) ** 2
    return np.asarray(2 * np.sqrt(np.clip(radius**2 - offset**2, 0, None)), np.float32)


def _expose(random: np.random.Generator, bone: Array, soft: Array) -> Array:
    """Return the exposed picture (rows, columns) [0, 1]: attenuation, a beam gradient, detector blur and noise."""
    attenuation = bone * random.uniform(9, 16) + soft * random.uniform(1.0, 2.5)
    rows, columns = bone.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    attenuation = attenuation + random.uniform(-0.08, 0.08) * x + random.uniform(-0.08, 0.08) * y
    attenuation += (
        ndimage.gaussian_filter(random.normal(0, 1, bone.shape), 6) * random.uniform(0.1, 0.5) * (soft > 0) * 0.5
    )
    picture = 1 - np.exp(-attenuation)
    picture = ndimage.gaussian_filter(picture, random.uniform(0.5, 1.1))
    picture += random.normal(0, random.uniform(0.004, 0.015), bone.shape)
    low, high = np.percentile(picture, [1, 99.7])
    picture = np.clip((picture - low) / (high - low), 0, 1) ** random.uniform(0.8, 1.6)
    return np.asarray(picture, np.float32)


def _collimate_and_mark(random: np.random.Generator, rows: int, columns: int) -> tuple[NDArray[np.bool_], Array]:
    """Return the collimated field (rows, columns) bool and the picture of a side marker (rows, columns) [0, 1]."""
    field = Image.new("L", (columns, rows), 0)
    margin = [float(random.uniform(0, 0.05)) for _ in range(4)]
    ImageDraw.Draw(field).rectangle(
        [margin[0] * columns, margin[1] * rows, (1 - margin[2]) * columns, (1 - margin[3]) * rows], fill=255
    )
    field = field.rotate(float(random.uniform(-2, 2)), fillcolor=0)
    marker = Image.new("L", (columns, rows), 0)
    place = (float(random.choice([0.08, 0.86])) * columns, float(random.uniform(0.08, 0.85)) * rows)
    ImageDraw.Draw(marker).text(place, str(random.choice(["L", "R"])), fill=255, font_size=max(8, rows // 24))
    return np.asarray(field) > 0, np.asarray(np.asarray(marker) / 255, np.float32)


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom), half-open pixel edges, of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
