"""What a run of the application wrote, for the readers: ``result.json`` says what they should read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.monai_app.application import Run
from tests.readers.cases import WrittenStudy, tracking_uids
from tests.readers.comparison import Expected, Finding, wrong
from tests.readers.programs import READERS, read


def wrong_readings(done: Run, source: Path) -> list[str]:
    """Return what any reader reads wrongly of the objects of a run."""
    studies = [_written(study, done, source) for study in done.result["studies"] if study["outputs"]]
    found = []
    for name, reader in READERS.items():
        readings = read(reader, [study.paths() for study in studies])
        for study in studies:
            for kind in reader.kinds:
                for path in study.of(kind):
                    said = wrong(kind, path, readings[path], study.expected)
                    found += [f"{name}: {path.parent.name}/{path.name}: {text}" for text in said]
    return found


def _written(study: Mapping[str, Any], done: Run, source: Path) -> WrittenStudy:
    objects = tuple(done.output / item["file"] for item in study["outputs"])
    images = tuple(source / image["file"] for image in study["images"])
    expected = tuple(
        _expected(image, path, objects, number)
        for number, (image, path) in enumerate(zip(study["images"], images, strict=True), start=1)
    )
    return WrittenStudy(images, objects, expected)


def _expected(image: Mapping[str, Any], path: Path, objects: tuple[Path, ...], number: int) -> Expected:
    """Masks and levels are what pydicom reads; their areas are those of ``result.json``."""
    header = dcmread(path, stop_before_pixels=True, force=True)
    pixels = {
        kind: dcmread(file).pixel_array.reshape(-1, header.Rows, header.Columns)
        for kind in ("seg", "heatmap")
        for file in objects
        if file.name == f"{kind}_{number}.dcm"
    }
    masks = pixels.get("seg", ())
    assert [int(mask.sum()) for mask in masks] == [mask["area_px"] for mask in image["masks"]], path.name
    findings = tuple(
        Finding(
            uid,
            (box["left"], box["top"], box["right"], box["bottom"]),
            box["score"],
            tuple(area for area in (outline["area_px"], outline["area_mm2"]) if area),
            mask,
        )
        for uid, box, outline, mask in zip(
            tracking_uids(objects, number), image["boxes"], image["masks"], masks, strict=True
        )
    )
    levels = pixels["heatmap"][0] if "heatmap" in pixels else None
    return Expected(image["sop_instance_uid"], header.Rows, header.Columns, image["probability"], findings, levels)
