"""The random transforms of the classifiers' trainings: what may change in a radiograph but not what it shows."""

from __future__ import annotations

from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAdjustContrastd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)

from training.batches.side_marker import RandSideMarker

BOTH = ["image", "mask"]
_PLAIN = EnsureTyped(keys=BOTH, track_meta=False)


def crops(size: int, scale: tuple[float, float] = (-0.35, 0.4), rotation: float = 0.5) -> Compose:
    """Return transforms to crops of ``size`` pixels, four of five around a finding where its pixels are known.

    Parameters
    ----------
    scale
        The pixels that a crop's pixel covers, less 1: negative enlarges.
    rotation
        Largest angle, radians.
    """
    wider = size * 7 // 5  # what a turned crop may need
    return Compose(
        [
            RandCropByPosNegLabeld(
                keys=BOTH,
                label_key="mask",
                image_key="image",
                image_threshold=-0.7,
                spatial_size=(wider, wider),
                pos=4,
                neg=1,
                num_samples=1,
                allow_smaller=True,
            ),
            _affine(size, size // 8, scale, rotation),
            *_flips_and_contrast(size),
        ]
    )


def whole_images(size: int, scale: tuple[float, float] = (-0.2, 0.2), rotation: float = 0.4) -> Compose:
    """Return transforms of whole images that were padded to ``size`` x ``size`` pixels; parameters as in ``crops``."""
    return Compose(
        [
            _affine(size, size // 10, scale, rotation),
            *_flips_and_contrast(size),
        ]
    )


def papers(size: int) -> Compose:
    """Return the source papers' transforms of whole images: rotation, scaling, flip."""
    return Compose(
        [
            RandAffined(
                keys=BOTH,
                prob=1.0,
                rotate_range=0.35,
                scale_range=((-0.2, 0.2), (-0.2, 0.2)),
                spatial_size=(size, size),
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandFlipd(keys=BOTH, prob=0.5, spatial_axis=1),
            _PLAIN,
        ]
    )


def _affine(size: int, shift: int, scale: tuple[float, float], rotation: float) -> RandAffined:
    return RandAffined(
        keys=BOTH,
        prob=1.0,
        rotate_range=rotation,
        shear_range=(0.1, 0.1),
        translate_range=shift,
        scale_range=(scale, scale),
        spatial_size=(size, size),
        mode=("bilinear", "nearest"),
        padding_mode=("border", "zeros"),
    )


def _flips_and_contrast(size: int) -> list[object]:
    return [
        RandFlipd(keys=BOTH, prob=0.5, spatial_axis=0),
        RandFlipd(keys=BOTH, prob=0.5, spatial_axis=1),
        RandSideMarker(prob=0.2, largest=size // 6),
        RandAdjustContrastd(keys="image", prob=0.5, gamma=(0.6, 1.7)),
        RandScaleIntensityd(keys="image", prob=0.5, factors=0.25),
        RandShiftIntensityd(keys="image", prob=0.5, offsets=0.25),
        RandGaussianSmoothd(keys="image", prob=0.2, sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0)),
        RandGaussianNoised(keys="image", prob=0.3, std=0.08),
        _PLAIN,
    ]
