"""How well maps, boxes and outlines meet the expert's marks: every way of making them, in one table and one picture.

``python -m training.localization_benchmark data/fracatlas --split val --output runs/localization`` runs the
application's own code and writes ``localization.json``, ``localization.md`` and ``localization.png``. Any data set with
masks or boxes serves; where abnormal images have none, only the agreement of outlines and map can be given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from operators.networks.loading import load_classifier, load_segmenter
from training.datasets.dataset import read_dataset
from training.datasets.errors import InputError, or_exit
from training.datasets.fracatlas import mask_folder
from training.datasets.manifest import ImageRecord
from training.evaluation.evaluation_writer import identify_data_set
from training.evaluation.metrics import as_json
from training.evaluation.resampling import RESAMPLES
from training.evaluation.scored_images import image_names
from training.evaluation.text_tables import as_markdown
from training.localization.arms import (
    OUTLINES,
    Arm,
    Defaults,
    all_arms,
    application_defaults,
    choose_arms,
    feasible_arms,
    segmenter_prompt,
)
from training.localization.images import Images, benchmark_images
from training.localization.measuring import measure, read_case
from training.localization.picture import draw
from training.localization.rows import Case, Measured, Tools
from training.localization.summary import ArmResult, summarise
from training.localization.tables import benchmark_tables
from training.localization.timing import time_arms

SCHEMA = 1


def run_arms(cases: Sequence[tuple[ImageRecord, str]], tools: Tools, arms: Sequence[Arm]) -> list[Measured]:
    """Run all arms of one classifier on all images."""
    bar = tqdm(cases, tools.classifier.name, unit="image", disable=not sys.stderr.isatty())
    return [measure(read_case(*case), tools, arms) for case in bar]


def limited(cases: Sequence[tuple[ImageRecord, str]], limit: int | None) -> list[tuple[ImageRecord, str]]:
    """Return at most ``limit`` abnormal and as many normal images, the first of each."""
    if limit is None:
        return list(cases)
    return [case for label in (1, 0) for case in [case for case in cases if case[0].label == label][:limit]]


def timed_cases(cases: Sequence[tuple[ImageRecord, str]], count: int) -> list[Case]:
    """Return the abnormal images that the arms are timed on, or any images where there is none."""
    abnormal = [case for case in cases if case[0].label == 1] or list(cases)
    return [read_case(*case) for case in abnormal[:count]]


def benchmark(
    cases: Sequence[tuple[ImageRecord, str]], tools: Tools, defaults: Defaults, options: argparse.Namespace
) -> tuple[list[Measured], list[ArmResult]]:
    """Return the rows and the results of one classifier; raise InputError if nothing can be measured.

    Of data without any mark only outlines are measured, and of those only agreement, so normal images are not read.
    """
    marked = any(record.mask is not None or record.boxes for record, _ in cases)
    chosen = [case for case in cases if marked or case[0].label == 1]
    named = [arm for arm in choose_arms(all_arms(defaults), options.arms) if marked or arm.kind == OUTLINES]
    if not chosen or not named:
        what = "outlines of abnormal images can be measured; name other arms or another split"
        raise InputError(f"{options.dataset}: no image has a mask or a box, so only {what}")
    timed = timed_cases(chosen, options.timed)
    arms = feasible_arms(named, tools.classifier, timed[0].radiograph)
    if not arms:
        raise InputError(f"bundle {tools.classifier.name} can do none of the arms; the warnings say why")
    seconds = time_arms(timed, tools, arms)
    measured = run_arms(chosen, tools, arms)
    return measured, summarise(measured, arms, defaults, seconds, options.resamples)


def write(
    output: Path, about: dict[str, Any], measured: Sequence[Measured], results: Sequence[ArmResult], images: Images
) -> str:
    """Write ``localization.json``, ``.md`` and ``.png``; return the Markdown."""
    output.mkdir(parents=True, exist_ok=True)
    title = "{}, split {}: {}".format(
        about["data"], about["split"], ", ".join(c["bundle"] for c in about["classifiers"])
    )
    markdown = as_markdown(benchmark_tables(results, images, title))
    content = {
        **about,
        "size_cuts": images.cuts,
        "summary": [summary(result) for result in results],
        "rows": {
            "images": [asdict(each.image) for each in measured],
            "boxes": [_row(each, row) for each in measured for row in each.boxes],
            "outlines": [_row(each, row) for each in measured for row in each.outlines],
        },
    }
    (output / "localization.json").write_text(json.dumps(content, allow_nan=False) + "\n", "utf-8")
    (output / "localization.md").write_text(markdown, "utf-8")
    (output / "localization.png").write_bytes(draw(results, title))
    return markdown


def _row(each: Measured, row: Any) -> dict[str, Any]:
    return {"classifier": each.image.classifier, **asdict(row)}


def summary(result: ArmResult) -> dict[str, Any]:
    """Return the result of an arm as ``localization.json`` holds it."""
    arm = asdict(result.arm)
    return {
        "classifier": result.classifier,
        **{key: arm.pop(key) for key in ("name", "title", "kind")},
        "default": result.default,
        "rules": arm,
        "seconds": asdict(result.seconds),
        "measures": as_json(result.overall),
        "strata": {
            kind: {name: as_json(estimates) for name, estimates in strata.items()}
            for kind, strata in result.strata.items()
        },
    }


def positive(text: str) -> int:
    """Parse a whole number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m training.localization_benchmark", description=__doc__)
    parser.add_argument("dataset", type=Path, help="a data set in any form that training.describe reads")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val")
    parser.add_argument("--arms", nargs="*", default=(), metavar="NAME", help="none: all; a wrong name lists them")
    parser.add_argument("--classifiers", type=Path, nargs="+", default=[Path("bundles/msk_resnet50")])
    parser.add_argument("--segmenter", type=Path, default=Path("bundles/msk_sam"))
    parser.add_argument(
        "--checkpoint", help="a published checkpoint in place of the segmenter's weights: sam_vit_b ..."
    )
    parser.add_argument("--most", type=positive, default=5, help="boxes per image for the FROC curve")
    parser.add_argument("--output", type=Path, default=Path("runs/localization"))
    parser.add_argument("--limit", type=positive, help="so many abnormal and so many normal images at most")
    parser.add_argument("--timed", type=positive, default=5, help="images that each arm is timed on")
    parser.add_argument("--resamples", type=positive, default=RESAMPLES)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write and print the tables."""
    sys.stdout.write(or_exit(run_benchmark, parse(arguments)))
    return 0


def run_benchmark(options: argparse.Namespace) -> str:
    """Measure and write; return the Markdown."""
    records = read_dataset(options.dataset, options.split, (), "official", mask_folder(options.dataset))
    cases = limited(list(zip(records, image_names(records), strict=True)), options.limit)
    segmenter = load_segmenter(options.segmenter, options.checkpoint)
    prompt = segmenter_prompt(options.segmenter, options.checkpoint)
    measured: list[Measured] = []
    results: list[ArmResult] = []
    classifiers = [load_classifier(path) for path in options.classifiers]
    for classifier in classifiers:
        tools = Tools(classifier, segmenter, options.most)
        rows, summaries = benchmark(cases, tools, application_defaults(classifier, prompt), options)
        images, measured, results = benchmark_images(rows), measured + rows, results + summaries
    name, digest = identify_data_set(options.dataset)
    about = {
        "schema_version": SCHEMA,
        "data": name,
        "data_sha256": digest,
        "split": options.split,
        "classifiers": [{"bundle": b.name, "version": b.version, "sha256": b.sha256} for b in classifiers],
        "segmenter": {"bundle": segmenter.name, "version": segmenter.version, "sha256": segmenter.sha256},
        "checkpoint": options.checkpoint,
        "resamples": options.resamples,
    }
    return write(options.output, about, measured, results, images)


if __name__ == "__main__":
    sys.exit(main())
