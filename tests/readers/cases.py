"""Studies for the readers, without a model: every way in which a header tells, or does not tell, the size of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from operators.pipeline import object_stages, run
from operators.records.images import Radiograph, Segmentation
from operators.records.study import Study
from operators.reporting.output_folder import write_study
from operators.reporting.summaries import ImageSummary
from tests.built_studies import DESCRIPTION, EVERY_OBJECT, STATES, Look, outline, segment
from tests.phantoms import radiograph, save, source_image, stored_phantom
from tests.readers.comparison import Expected, Finding
from tests.readers.programs import GROUP_OF_KIND
from training.datasets.dicom_wrapping import derived_uid

CR: Mapping[str, Any] = {"kind": "CR", "ImagerPixelSpacing": None}
# Name -> the state of ``built_studies``, and what the headers say.
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "imager_pixel_spacing": ("abnormal_3", {}),
    "pixel_spacing_only": ("abnormal_3", CR | {"PixelSpacing": [0.15, 0.15]}),
    "nominal_scanned_pixel_spacing": ("abnormal_1", CR | {"NominalScannedPixelSpacing": [0.1, 0.1]}),
    "no_spacing": ("abnormal_3", CR),
    "non_square_pixels": ("abnormal_3", {"ImagerPixelSpacing": [0.1, 0.3]}),
    "aspect_ratio_only": ("abnormal_3", CR | {"PixelAspectRatio": [2, 1]}),
    "normal": ("normal", {}),
    "doubt": ("doubt", CR),
    "two_views": ("two_views", {}),
    "two_series": ("two_series", CR),
    "overlapping_outlines": ("overlapping", {}),
    "compressed": ("abnormal_3", {}),
}
COMPRESSION = {"compressed": "rle"}  # JPEG-LS is read neither by dcmqi nor by pydicom-seg


@dataclass(frozen=True, slots=True)
class WrittenStudy:
    """The files of a study and what is known of them."""

    images: tuple[Path, ...]
    objects: tuple[Path, ...]
    expected: tuple[Expected, ...]

    def paths(self) -> dict[str, list[Path]]:
        """Return what a reader is asked."""
        groups: dict[str, list[Path]] = {
            "images": list(self.images),
            "reports": [],
            "segmentations": [],
            "pictures": [],
        }
        for path in self.objects:
            group = GROUP_OF_KIND.get(path.stem.split("_")[0])
            if group:
                groups[group].append(path)
        return groups

    def of(self, kind: str) -> list[Path]:
        return [path for path in self.objects if path.stem.split("_")[0] == kind]


def write_case(name: str, folder: Path) -> WrittenStudy:
    """Write the images of a case, and the objects as the application does."""
    state, header = CASES[name]
    looks = STATES.get(state, (None,))
    sources = [_source(name, state, number, header) for number in range(1, len(looks) + 1)]
    found = tuple(_find(ds, look) for ds, look in zip(sources, looks, strict=True))
    rule = replace(EVERY_OBJECT, compression=COMPRESSION.get(name, "none"))
    reported = run(Study(sources[0].StudyInstanceUID, found), object_stages(rule, DESCRIPTION))
    summary = write_study(reported, folder)
    objects = tuple(folder / item.file for item in summary.outputs)
    expected = (
        _expected(image, segmentation, tracking_uids(objects, number))
        for number, (image, segmentation) in enumerate(zip(summary.images, found, strict=True), start=1)
    )
    images = (save(ds, folder / f"source_{number}.dcm") for number, ds in enumerate(sources, start=1))
    return WrittenStudy(tuple(images), objects, tuple(expected))


def tracking_uids(objects: Sequence[Path], number: int) -> list[str]:
    """Return those of the segments of an image, in their order."""
    found = [path for path in objects if path.name == f"seg_{number}.dcm"]
    return [str(segment.TrackingUID) for path in found for segment in dcmread(path).SegmentSequence]


def _source(name: str, state: str, number: int, header: Mapping[str, Any]) -> Dataset:
    ds = radiograph(
        f"{name} {number}", stored=stored_phantom(3, "gap"), study=name, BitsStored=12, HighBit=11, **header
    )
    if state == "two_views":
        ds.SeriesInstanceUID = derived_uid(name)
    return ds


def _find(ds: Dataset, look: Look | None) -> Segmentation:
    """Return what the last model would; without a look, two outlines that share pixels."""
    image = Radiograph(source_image(ds), ds.pixel_array.astype(np.float32) / 4095)
    if look is not None:
        return segment(image, look)
    masks = np.zeros((2, ds.Rows, ds.Columns), bool)
    masks[0, 20:60, 30:80] = masks[1, 40:90, 50:100] = True
    return outline(image, "abnormal", tuple(masks), masks.max(axis=0) * 0.9)


def _expected(summary: ImageSummary, segmentation: Segmentation, uids: Sequence[str]) -> Expected:
    findings = tuple(
        Finding(uid, (box.left, box.top, box.right, box.bottom), score, tuple(filter(None, areas[:2])), mask)
        for uid, (box, score), areas, mask in zip(uids, summary.boxes, summary.masks, segmentation.masks, strict=True)
    )
    levels = np.round(segmentation.localization.heatmap * 255).astype(np.uint8)
    rows, columns = levels.shape
    return Expected(str(summary.sop_instance_uid), rows, columns, summary.probability, findings, levels)
