"""Classify a PNG or JPEG radiograph, draw what was found, and fine-tune the segmenter on twenty images.

``python docs/examples/outline_and_fine_tune.py IMAGE OUT`` writes ``OUT/before.png``: the heat map in orange, the boxes
in blue, the outlines in white. Then it trains ``msk_sam`` on the images of ``--data`` (a manifest with masks and boxes;
without it, 20 phantoms are drawn), and writes the trained bundle to ``OUT/msk_sam`` and its outlines to
``OUT/after.png``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import monai.bundle
import numpy as np
from PIL import Image, ImageDraw

from operators.classification.classify import classify
from operators.drawing.colours import BOX, OUTLINE
from operators.drawing.contours import drawn_contours
from operators.drawing.layers import grey_picture, heat_picture
from operators.image_files import BODY_PARTS, Decoder, Scope
from operators.image_files.image_file import read_image
from operators.localization.localize import localize
from operators.networks import Bundle, load_classifier, load_segmenter
from operators.records.images import Localization, Radiograph, Segmentation
from operators.records.rules import PromptRule
from operators.records.sources import SourceFile
from operators.segmentation.outline import outline_each, segment
from training.batches.findings import finding_mask, pixel_box
from training.batches.images import read_pixels
from training.datasets.dataset import read_dataset
from training.export import main as export
from training.phantoms import main as write_phantoms

CLASSIFIER, SEGMENTER = (Path(__file__).resolve().parents[2] / "bundles" / name for name in ("msk_resnet50", "msk_sam"))
PROMPT = PromptRule(zoom=2.5)  # SAM sees a window 2.5 times as large as the box


def main() -> None:
    """Draw, train, and draw again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="a PNG or JPEG file")
    parser.add_argument("output", type=Path, help="folder for the pictures and the trained bundle")
    parser.add_argument("--data", type=Path, help="a folder with manifest.csv; default: 20 phantoms")
    parser.add_argument("--epochs", type=int, default=4, help="of two steps with 20 phantoms")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    radiograph = read_radiograph(options.image)
    found = find(radiograph, load_classifier(CLASSIFIER))
    segmenter = load_segmenter(SEGMENTER)
    write(f"{found.classification.state}, probability {found.classification.probability:.2f}")
    draw(segment(found, segmenter, PROMPT)).save(options.output / "before.png")

    data = options.data or phantoms(options.output / "phantoms")
    tuned = fine_tune(data, options.output, options.epochs)
    for name, bundle in (("before", segmenter), ("after", tuned)):
        write(f"Dice {name}: {mean_dice(bundle, data):.3f} of the outlines in the validation images")
    draw(segment(found, tuned, PROMPT)).save(options.output / "after.png")


def read_radiograph(path: Path) -> Radiograph:
    """Read an image; what the application would decline raises ``ImageError``, which says why."""
    scope = Scope(frozenset(BODY_PARTS), secondary_capture=False, smallest_side=64, largest_area=64_000_000)
    with Decoder(timeout_s=60, memory_mib=4096) as decoder:
        return read_image(SourceFile(path, path.name), scope, decoder).radiograph


def find(radiograph: Radiograph, classifier: Bundle) -> Localization:
    """Return probability, state, heat map and boxes."""
    return localize(classify(radiograph, classifier, classifier.fitted.maps), classifier.fitted.boxes)


def draw(segmentation: Segmentation) -> Image.Image:
    """Return the radiograph with the heat map laid over it, the boxes and the outlines."""
    localization = segmentation.localization
    pixels = localization.classification.radiograph.pixels
    picture = grey_picture(pixels, side=max(pixels.shape)).convert("RGB")
    heat = heat_picture(localization.heatmap).resize(picture.size)
    picture.paste(heat, mask=heat.getchannel("A"))
    canvas, width = ImageDraw.Draw(picture), max(1, max(pixels.shape) // 300)
    for box in localization.boxes:
        canvas.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=BOX, width=width)
    for mask in segmentation.masks:
        for polygon in drawn_contours(mask):
            canvas.polygon([tuple(point) for point in polygon.tolist()], outline=OUTLINE, width=width)
    return picture


def phantoms(folder: Path) -> Path:
    """Draw 20 phantoms, 10 with a finding, 2 of them for validation."""
    write_phantoms([str(folder), "--count", "20", "--seed", "5"])
    return folder


def fine_tune(data: Path, output: Path, epochs: int) -> Bundle:
    """Train on from the shipped weights of the segmenter, and return the trained one as a bundle of its own."""
    monai.bundle.run(
        config_file=[str(SEGMENTER / "configs" / "train.json")],
        dataset_dir=str(data),
        output_dir=str(output / "training"),
        initial_checkpoint=str(SEGMENTER / "models" / "model.safetensors"),
        epochs=epochs,
        batch_size=4,
        loader_workers=0,
        learning_rate=1e-4,
        validation_interval=max(1, epochs // 4),
    )
    export([str(SEGMENTER), str(output / "training" / "best.pt"), "--output", str(output / "msk_sam")])
    return load_segmenter(output / "msk_sam")


def mean_dice(segmenter: Bundle, data: Path) -> float:
    """Return the mean Dice of the outlines in the boxes of the validation images."""
    values = []
    for record in read_dataset(data, "val"):
        if record.mask is None:
            continue
        pixels, mask = read_pixels(str(record.path)), read_pixels(str(record.mask)) > 0
        boxes = [pixel_box(box) for box in record.boxes]
        for box, (outlined, _) in zip(boxes, outline_each(pixels, boxes, segmenter, PROMPT), strict=True):
            truth = finding_mask(mask.astype(np.float32), box) > 0
            values.append(2 * (outlined & truth).sum() / (outlined.sum() + truth.sum()))
    return float(np.mean(values))


def write(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
