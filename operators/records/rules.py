"""How the stages work, as ``app.yaml`` and what was fitted for a model decide it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from operators.records.reasons import DoubtReason

MAP_LABELS = {
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "layer_cam": "LayerCAM",
    "hires_cam": "HiResCAM",
}
MAP_METHODS = tuple(MAP_LABELS)


@dataclass(frozen=True, slots=True)
class MapRule:
    """How the activation map is made.

    Parameters
    ----------
    method
        ``cam``: the linear layer's own weights, or, of a head that is not linear, Grad-CAM's; ``grad_cam``,
        ``grad_cam_plus_plus``, ``layer_cam``, ``hires_cam``: by the gradients of the logit.
    stages
        Stages of the network, from the last; the earlier ones are those that the bundle's metadata name.
    flips
        Whether the mirrored image is looked at too.
    scales
        Sizes of the image that are looked at, as factors; its own size, 1, always is.

    Raises
    ------
    ValueError
        If a method is unknown, or stages or scales are not positive.
    """

    method: str = "cam"
    stages: int = 1
    flips: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.method not in MAP_METHODS:
            raise ValueError(f"no map {self.method!r}; take one of {', '.join(MAP_METHODS)}")
        if self.stages < 1 or not all(scale > 0 for scale in self.scales):
            raise ValueError(f"{self.stages} stages, scales {self.scales}: take 1 or more stages and positive scales")

    @property
    def needs_gradients(self) -> bool:
        """Whether the linear layer's weights are not enough."""
        return self.method != "cam" or self.stages > 1

    @property
    def views(self) -> tuple[tuple[float, bool], ...]:
        """The (scale, flipped) of each view, the plain one first."""
        sizes = dict.fromkeys((1.0, *map(float, self.scales)))
        return tuple((scale, flipped) for scale in sizes for flipped in ((False, True) if self.flips else (False,)))

    @property
    def name(self) -> str:
        """What to call the map within a sentence."""
        stages = f" of {self.stages} stages, fused" if self.stages > 1 else ""
        views = f", mean of {len(self.views)} views" if len(self.views) > 1 else ""
        return MAP_LABELS[self.method] + stages + views


PLAIN = MapRule()
CUTS = ("fraction", "otsu")
BOX_METHODS = ("peaks", "components", "brightest_point", "brightest_point_224")


@dataclass(frozen=True, slots=True)
class BoxRule:
    """How boxes are found on the activation map.

    Parameters
    ----------
    method
        ``peaks``: about each local maximum, the connected region at or above ``threshold`` x that maximum;
        ``components``: the connected regions at or above one cut for the whole map; ``brightest_point``: one box of
        ``fixed_side`` original pixels about the maximum; ``brightest_point_224``: the same with ``fixed_side`` measured
        on the image resized to 224 x 224, as in the source paper.
    threshold
        Fraction of the maximum, 0 to 1.
    expansion
        How much a region's box is enlarged, as a fraction of its sides.
    maximum_boxes
        Boxes per image, the brightest first.
    fixed_side
        Side of the ``brightest_point`` boxes, pixels.
    cut
        Of ``components``: ``fraction``, ``threshold`` x the map's maximum; ``otsu``, the cut that splits the map's
        values best in two (Otsu, 1979).
    minimum_score
        A box with a smaller score is dropped; an image that is left without one says so (``Localization.unmarked``).
    overlap
        Non-maximum suppression: a box gives way to a brighter one if their IoU is at least this.

    Raises
    ------
    ValueError
        If there is no such method or cut.
    """

    method: str
    threshold: float
    expansion: float
    maximum_boxes: int = 3
    fixed_side: int = 50
    cut: str = "fraction"
    minimum_score: float = 0.0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if self.method not in BOX_METHODS or self.cut not in CUTS:
            raise ValueError(
                f"boxes {self.method!r}, cut {self.cut!r}: boxes must be one of {', '.join(BOX_METHODS)}, "
                f"cut one of {', '.join(CUTS)}"
            )


PROMPTS = ("box", "box_centre", "box_points", "automatic")


MASKS = ("one", "best_of_three")


MOST_VOTES = 25  # ``prompts.JITTERS``


@dataclass(frozen=True, slots=True)
class PromptRule:
    """What SAM sees of the image, what it is told, and which of its masks is taken.

    Parameters
    ----------
    zoom
        Side of the square window about a box, in longer sides of the box; None: the whole image.
    smallest_window
        Least side of a window, original pixels.
    prompt
        ``box``; ``box_centre``: and a positive point in its centre; ``box_points``: and a positive point where the heat
        map is highest in the box, and negative ones where it is lowest beside it, or ``box_centre`` where there is no
        heat map; ``automatic``: no prompt, the mask of the whole image that suits the box best (the other parameters
        have no meaning then).
    votes
        1 to 25: so many variations of the box, the first the box itself, vote on each pixel.
    masks
        ``one``: SAM's mask of an unambiguous prompt; ``best_of_three``: of its three masks of an ambiguous one that of
        the highest predicted IoU x overlap with the heat map, or predicted IoU alone where there is no heat map.

    Raises
    ------
    ValueError
        If there is no such prompt, number of votes or choice of masks.
    """

    zoom: float | None
    smallest_window: int = 32
    prompt: str = "box"
    votes: int = 1
    masks: str = "one"

    def __post_init__(self) -> None:
        if self.prompt not in PROMPTS or self.masks not in MASKS or not 1 <= self.votes <= MOST_VOTES:
            raise ValueError(
                f"prompt {self.prompt}, votes {self.votes}, masks {self.masks}: prompt must be one of "
                f"{', '.join(PROMPTS)}, votes from 1 to {MOST_VOTES}, masks {' or '.join(MASKS)}"
            )


@dataclass(frozen=True, slots=True)
class Scope:
    """Which images are analysed.

    ``body_parts`` are defined terms of PS3.16 Annex L; an image that names no body part is always in scope.
    ``smallest_side`` is in pixels, ``largest_area`` in pixels. ``accepted_doubts`` do not keep an image from being
    called normal.
    """

    body_parts: Collection[str]
    secondary_capture: bool
    smallest_side: int
    largest_area: int
    accepted_doubts: Collection[DoubtReason] = ()


@dataclass(frozen=True, slots=True)
class TurnRule:
    """Whether a picture that seems normal is looked at turned, too.

    ``check``: look; ``accepted``: that it is abnormal when turned does not keep it from being called normal.
    """

    check: bool = True
    accepted: bool = False


TURNED, NOT_TURNED = TurnRule(), TurnRule(check=False)


COMPRESSIONS = ("none", "rle", "jpeg_ls")


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """Which DICOM objects are written; see ``app.yaml``, ``outputs``.

    Parameters
    ----------
    kinds
        Names of the optional kinds that are written beside SEG and SR.
    segmentation_series_per_image
        Whether every SEG has a series of its own, as some viewers show only one SEG of a series.
    compression
        How pixels of 8 bits and more are compressed without loss: one of ``COMPRESSIONS``.
    """

    kinds: frozenset[str]
    segmentation_series_per_image: bool = False
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class Rules:
    """How every stage of the chain works."""

    scope: Scope
    maps: MapRule
    boxes: BoxRule
    prompts: PromptRule
    objects: ObjectRule
    patient_data: bool = False
    turns: TurnRule = TURNED
