"""The inference of a bundle: the application's own numbers in CSV and NIfTI, and no image that ends the run."""

from __future__ import annotations

import copy
import csv
import dataclasses
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
import timm
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureChannelFirst
from PIL import Image

from operators.classification.classify import classify
from operators.image_files.errors import ImageFilesError
from operators.image_files.image_file import ImageFile, ImageReader, read_image
from operators.image_files.image_list import list_images
from operators.image_files.inferers import (
    AddHeatMap,
    AddLabels,
    ClassificationInferer,
    Outlines,
    PromptedInferer,
    label_map,
    load_weights,
    open_classifier,
    open_segmenter,
    outline_boxes,
    prompt_rule,
)
from operators.image_files.writers import OutlineWriter, ProgressBar, ScoreWriter
from operators.localization.localize import localize
from operators.networks.map_classifier import MapClassifier
from operators.reading.decoder import Decoder
from operators.records.errors import BundleError
from operators.records.geometry import PixelBox
from operators.records.images import Localization
from operators.records.rules import BoxRule, PromptRule, Scope
from operators.records.sources import SourceFile
from operators.segmentation.outline import segment
from tests.phantoms import classification, radiograph, save, stored_phantom, tiny_bundle

SCOPE = Scope({"WRIST"}, secondary_capture=False, smallest_side=64, largest_area=1_000_000)
ZOOM = PromptRule(2.5)
BOXES = (PixelBox(30, 40, 80, 90), PixelBox(60, 60, 100, 120))


def picture(path: Path) -> Path:
    Image.fromarray(stored_phantom(bits=16)).save(path)
    return path


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=20, memory_mib=4096) as client:
        yield client


@pytest.fixture(scope="module")
def bundle():
    torch.manual_seed(0)
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    return tiny_bundle(
        MapClassifier(encoder, feature_channels=16), Compose([EnsureChannelFirst(channel_dim="no_channel")])
    )


@pytest.fixture
def image(decoder, tmp_path) -> ImageFile:
    return read_image(SourceFile(picture(tmp_path / "image.png"), "image.png"), SCOPE, decoder)


def run(items, decoder, writer, inferer, postprocessing):
    prompted = isinstance(inferer, PromptedInferer)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            Dataset(items, ImageReader(SCOPE, decoder)), batch_size=1, collate_fn=lambda items: items[0]
        ),
        network=inferer.bundle.network,
        prepare_batch=lambda batch, *_, **__: (batch["image"], None, (batch["boxes"],) if prompted else (), {}),
        inferer=inferer,
        postprocessing=postprocessing,
        val_handlers=[writer, ProgressBar()],
        decollate=False,
    )
    evaluator.run()
    writer.finish()
    with (writer.output_dir / writer.table).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def score(folder: Path, output: Path, decoder, bundle):
    items = list_images(str(folder), str(output))
    return run(items, decoder, ScoreWriter(bundle, str(output)), ClassificationInferer(bundle), AddHeatMap(bundle))


def test_scores_and_heat_maps_are_the_application_s(decoder, bundle, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    save(radiograph(), folder / "a.dcm")
    picture(folder / "b.png")
    (folder / "c.txt").write_text("no image")
    rows = score(folder, output, decoder, bundle)
    assert [row["file"] for row in rows] == ["a.dcm", "b.png"]  # the text is ignored, as the application does
    for row in rows:
        seen = read_image(SourceFile(folder / row["file"], row["file"]), SCOPE, decoder).radiograph
        expected = classify(seen, bundle)
        assert float(row["probability"]) == expected.probability
        assert row["state"] == expected.state
        written = nibabel.load(output / row["heatmap_file"])
        heatmap = localize(expected, BoxRule("components", 0.5, 0.0, 3, 50)).heatmap
        assert written.get_data_dtype() == np.float32
        assert np.array_equal(np.asanyarray(written.dataobj)[:, :, 0].T, heatmap)
        assert bytes(written.header["descrip"].item()).startswith(b"research use only; tiny 1")
    assert {path.name for path in output.iterdir()} == {"scores.csv", "a_heatmap.nii.gz", "b_heatmap.nii.gz"}


def test_the_network_of_the_evaluator_is_asked(bundle, image):
    other = MapClassifier(bundle.network.encoder, feature_channels=16).eval()
    told = ClassificationInferer(bundle)(image, other).probability
    assert told != classify(image.radiograph, bundle).probability


def test_an_internal_error_costs_one_image(decoder, bundle, tmp_path, caplog):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(folder / "a.png")
    picture(folder / "b.png")
    calls = []

    def break_once(pixels):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("DOE_JANE")
        return bundle.preprocess(pixels)

    broken = tiny_bundle(bundle.network, break_once)
    with caplog.at_level(logging.INFO):
        rows = score(folder, tmp_path / "out", decoder, broken)
    assert [(row["state"], row["reason"]) for row in rows][0] == ("failed", "internal_error")
    assert float(rows[1]["probability"]) > 0
    assert "JANE" not in caplog.text


def test_a_run_that_reads_nothing_fails_in_one_line(decoder, bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.dcm"):
        (tmp_path / "in" / name).write_text("no image")
    with pytest.raises(ImageFilesError, match="none of 2 images could be read.*scores.csv") as ended:
        score(tmp_path / "in", tmp_path / "out", decoder, bundle)
    assert "\n" not in str(ended.value)
    assert len((tmp_path / "out" / "scores.csv").read_text("utf-8").splitlines()) == 3


def test_a_text_is_ignored_in_a_folder_and_a_failure_where_it_is_named(decoder, bundle, tmp_path, caplog):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "readme.txt").write_text("no image")
    with pytest.raises(ImageFilesError, match="none of 1 files is an image"):
        score(folder, tmp_path / "out", decoder, bundle)
    picture(folder / "a.png")
    with caplog.at_level(logging.INFO):
        (row,) = score(folder, tmp_path / "out", decoder, bundle)
    assert row["file"] == "a.png"
    assert "1 images: 1 " in caplog.text
    assert "1 other files ignored" in caplog.text
    (folder / "list.csv").write_text("file\na.png\nreadme.txt\n")
    _, row = score(folder / "list.csv", tmp_path / "out", decoder, bundle)
    assert (row["file"], row["state"], row["reason"]) == ("readme.txt", "failed", "unreadable_file")


def test_a_run_that_declines_all_succeeds(decoder, bundle, tmp_path):
    save(radiograph(BodyPartExamined="CHEST", AnatomicRegionSequence=None), tmp_path / "in" / "a.dcm")
    (row,) = score(tmp_path / "in", tmp_path / "out", decoder, bundle)
    assert (row["state"], row["reason"]) == ("declined", "body_part_out_of_scope")


def test_an_output_folder_that_is_a_file(decoder, bundle, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "out").touch()
    with pytest.raises(ImageFilesError, match="out: cannot be written to .*check --output_dir"):
        score(tmp_path / "a.png", tmp_path / "out", decoder, bundle)


@pytest.mark.parametrize("feature_bias", [0.0, None])
def test_the_heat_map_is_that_of_the_chain(bundle, feature_bias):
    done = classification(feature_bias=feature_bias)
    expected = localize(done, bundle.fitted.boxes)
    found = AddHeatMap(bundle)({"pred": done})["pred"]
    assert np.array_equal(found.heatmap, expected.heatmap)
    assert (found.relative, found.map_rule, found.boxes) == (expected.relative, expected.map_rule, expected.boxes)
    assert found.relative is (feature_bias is None)


@pytest.mark.parametrize("rule", [ZOOM, PromptRule(2.5, prompt="box_centre", votes=3, masks="best_of_three")])
def test_outlines_are_the_application_s(segmenter, image, rule):
    classified = dataclasses.replace(classification(), radiograph=image.radiograph)
    boxed = Localization(classified, np.zeros((160, 128), np.float32), BOXES, (0.5, 0.5))
    expected = segment(boxed, segmenter, rule)
    found = outline_boxes(image, BOXES, segmenter, rule)
    assert found.predicted_iou == expected.predicted_iou
    for mask, other in zip(found.masks, expected.masks, strict=True):
        assert np.array_equal(mask, other)


def test_without_a_heat_map_the_points_are_the_centre(segmenter, image):
    points = outline_boxes(image, BOXES[:1], segmenter, PromptRule(2.5, prompt="box_points"))
    centre = outline_boxes(image, BOXES[:1], segmenter, PromptRule(2.5, prompt="box_centre"))
    assert points.predicted_iou == centre.predicted_iou
    assert points.predicted_iou != outline_boxes(image, BOXES[:1], segmenter, ZOOM).predicted_iou


def test_the_rule_is_told_on_the_command_line(bundles):
    told = {"zoom": 3.0, "prompt": "box_centre", "votes": 5, "masks": "best_of_three"}
    config = ConfigParser()
    config.read_config(str(bundles / "msk_sam" / "configs" / "inference.json"))
    for key, value in told.items():
        config[key] = value
    config.parse(True)
    assert config.get_parsed_content("inferer#rule", instantiate=True) == PromptRule(**told)
    with pytest.raises(ImageFilesError, match="prompt dot.*box, box_centre, box_points, automatic") as ended:
        prompt_rule(**told | {"prompt": "dot"})
    assert "\n" not in str(ended.value)


def test_a_box_is_cut_to_the_image_or_refused(segmenter, image):
    assert outline_boxes(image, [PixelBox(-20, 100, 60, 900)], segmenter, ZOOM).boxes == (PixelBox(0, 100, 60, 160),)
    outside = PromptedInferer(segmenter, ZOOM)(image, segmenter.network, (*BOXES, PixelBox(128, 0, 140, 20)))
    assert (outside.state, outside.reason) == ("failed", "header_invalid")
    assert outside.detail.startswith("box 3 lies outside the 128 x 160 pixels")


def test_the_first_of_two_masks_keeps_their_pixels(image):
    first, second = np.zeros((2, 160, 128), bool)
    first[10:20], second[15:30] = True, True
    labels = label_map(Outlines(image, BOXES, (first, second), (0.5, 0.6)))
    assert labels.dtype == np.uint8
    assert [int(labels[row, 0]) for row in (9, 10, 19, 20, 29, 30)] == [0, 1, 1, 2, 2, 0]


def test_outlines_are_written(decoder, segmenter, tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png")
    table = tmp_path / "in" / "list.csv"
    table.write_text('file,boxes_xyxy\na.png,"[[30,40,80,90],[60,60,100,120]]"\na.png,[]\nabsent.png,"[[1,2,3,4]]"\n')
    items = list_images(str(table), str(tmp_path / "out"), prompted=True)
    rows = run(
        items,
        decoder,
        OutlineWriter(segmenter, str(tmp_path / "out")),
        PromptedInferer(segmenter, ZOOM),
        AddLabels(),
    )
    assert [row["state"] for row in rows] == ["outlined", "outlined", "without_box", "failed"]
    labels = np.asanyarray(nibabel.load(tmp_path / "out" / rows[0]["mask_file"]).dataobj)
    assert labels.shape == (128, 160, 1)
    assert labels.dtype == np.uint8
    assert int((labels == 1).sum()) == int(rows[0]["area_px"]) > 0
    assert 0 <= float(rows[1]["predicted_iou"]) <= 1
    assert [rows[1][name] for name in ("label", "left", "top", "right", "bottom")] == ["2", "60", "60", "100", "120"]


def test_a_bundle_that_cannot_be_used_is_one_line(bundles, tmp_path):
    with pytest.raises(BundleError, match="no SHA256SUMS") as ended:
        open_classifier(str(tmp_path))
    assert "\n" not in str(ended.value)
    with pytest.raises(BundleError, match="is no classifier"):
        open_classifier(str(bundles / "msk_sam"))
    with pytest.raises(BundleError, match="holds no Segment Anything Model"):
        open_segmenter(str(bundles / "msk_resnet50"))


def test_a_network_gets_the_weights_of_its_bundle_or_is_refused():
    bundle = tiny_bundle(torch.nn.Conv2d(1, 2, 3), None)
    network = copy.deepcopy(bundle.network)
    for parameter in network.parameters():
        parameter.data.zero_()
    given = load_weights(network.train(), bundle)
    assert given is network
    assert not given.training
    expected = bundle.network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in given.state_dict().items())
    with pytest.raises(ImageFilesError, match="not the network that the weights of bundle"):
        load_weights(torch.nn.Linear(1, 1), bundle)
