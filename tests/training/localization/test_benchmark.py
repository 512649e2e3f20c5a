"""The benchmark's arms, gate, strata, tables and picture, on images whose findings are as bright as one wants."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirst
from PIL import Image
from torch import nn

from operators.classification.classify import classify
from operators.localization.activation_maps import activation_map
from operators.localization.boxes import find_boxes
from operators.records.geometry import PixelBox
from operators.records.images import Segmentation
from operators.records.rules import MAP_METHODS, PROMPTS, BoxRule, MapRule, PromptRule
from tests.phantoms import tiny_bundle
from tests.sams import Echo
from training import localization_benchmark
from training.datasets.manifest import read_manifest
from training.evaluation.metrics import bootstrap_interval
from training.localization.arm_measures import outline_measures, shares
from training.localization.arms import (
    BOXES,
    MAPS,
    OUTLINES,
    Defaults,
    all_arms,
    application_defaults,
    choose_arms,
    is_default,
    joint_rules,
    segmenter_prompt,
)
from training.localization.images import benchmark_images
from training.localization.masks import Overlap, filled
from training.localization.measuring import _Mapped, classify_once, find, measure, read_case
from training.localization.picture import draw
from training.localization.rows import BoxRow, ImageRow, Measured, OutlineRow, Tools
from training.localization.summary import estimates, summarise
from training.localization.tables import benchmark_tables
from training.localization.timing import Seconds

ROWS, COLUMNS = 96, 128
DEFAULTS = Defaults(MapRule(), BoxRule("components", 0.5, 0.0), PromptRule(2.5))


class Bright(nn.Module):
    """Cells of 8 pixels that are as bright as the image, the brightest is the logit; before them cells of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.AvgPool2d(4), nn.AvgPool2d(2)
        self.classifier = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.classifier.weight, 8.0)
        nn.init.constant_(self.classifier.bias, -4.0)
        self.runs = 0

    def forward_features(self, image):
        self.runs += 1
        return self.coarse(self.fine(image))

    def forward_head(self, features):
        return self.classifier(features).amax(dim=(1, 2, 3))[:, None]

    def get_classifier(self):
        return self.classifier


def bright_bundle(stages: tuple[str, ...] = ("fine",)):
    points = {"rule_out": 0.7, "rule_in": 0.8}  # a finding of .9 is abnormal, one of .55 is called normal
    return tiny_bundle(
        Bright(),
        Compose([EnsureChannelFirst(channel_dim="no_channel")]),
        operating_points={"temperature": 1.0, "image": points, "study": points},
        localization={"threshold": 0.5, "expansion": 0.0, "stages": list(stages)},
        limits=[],
    )


def place(number: int) -> tuple[int, int, int, int]:
    left, top = 8 * (1 + number % 10), 8 * (1 + number % 7)
    return left, top, left + 24 + 8 * (number % 3), top + 24


def write_data(folder, abnormal: int, normal: int, faint: int = 0, marks: bool = True):
    """Write a manifest; the first ``faint`` findings are so faint that the classifier calls the image normal."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(abnormal + normal):
        pixels, mask = np.full((ROWS, COLUMNS), 0.1), np.zeros((ROWS, COLUMNS), bool)
        label = "abnormal" if number < abnormal else "normal"
        row = {"file": f"{number}.png", "label": label, "split": "val", "group_id": f"p{number}", "body_part": "wrist"}
        if number < abnormal:
            left, top, right, bottom = place(number)
            mask[top:bottom, left:right] = True
            pixels[mask] = 0.55 if number < faint else 0.9
            Image.fromarray(mask).save(folder / f"m{number}.png")
            if marks:
                row |= {"mask_file": f"m{number}.png", "boxes_xyxy": json.dumps([place(number)])}
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(folder / row["file"])
        rows.append(row)
    names = ["file", "label", "split", "group_id", "body_part", "mask_file", "boxes_xyxy"]
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def run(monkeypatch, data, output, segmenter, *arguments: str, classifier=None):
    monkeypatch.setattr(localization_benchmark, "load_classifier", lambda _: classifier or bright_bundle())
    monkeypatch.setattr(localization_benchmark, "load_segmenter", lambda *_: segmenter)
    monkeypatch.setattr(localization_benchmark, "segmenter_prompt", lambda *_: PromptRule(2.5))
    command = [str(data), "--output", str(output), "--timed", "1", "--resamples", "200", *arguments]
    assert localization_benchmark.main(command) == 0
    return json.loads((output / "localization.json").read_text()), (output / "localization.md").read_text()


def value(content, arm: str, measure: str) -> float | None:
    (of,) = [each for each in content["summary"] if each["name"] == arm]
    return of["measures"][measure]["value"]


# --- the arms


def test_every_map_box_and_prompt_has_an_arm():
    arms = all_arms(DEFAULTS)
    assert {arm.maps.method for arm in arms if arm.kind == MAPS} == set(MAP_METHODS)
    assert {arm.boxes.method for arm in arms if arm.kind == BOXES} >= {"peaks", "components", "brightest_point_224"}
    assert {arm.prompt.prompt for arm in arms if arm.prompt is not None} == set(PROMPTS)
    assert len({arm.name for arm in arms}) == len({(arm.kind, arm.title) for arm in arms}) == len(arms)
    assert {arm.maps for arm in arms if arm.kind != MAPS} == {DEFAULTS.maps}
    assert {arm.boxes for arm in arms if arm.kind != BOXES} == {DEFAULTS.boxes}


@pytest.mark.parametrize(
    "defaults",
    [
        DEFAULTS,
        Defaults(MapRule("cam", flips=True), BoxRule("peaks", 0.3, 0.2, minimum_score=0.1), PromptRule(2.5, votes=5)),
        Defaults(
            MapRule("layer_cam", scales=(0.5, 1.0)),
            BoxRule("peaks", 0.4, 0.1, overlap=0.4),
            PromptRule(3.0, votes=3, prompt="box_points"),
        ),
    ],
)
def test_what_the_application_does_is_an_arm_of_each_kind(defaults):
    arms = all_arms(defaults)
    for kind in (MAPS, BOXES, OUTLINES):
        same = [arm for arm in arms if arm.kind == kind and is_default(arm, defaults)]
        assert same  # two, where a rule that is fitted is what another arm asks for
        for own in same:
            assert (own.maps, own.boxes) == (defaults.maps, defaults.boxes)
            assert own.prompt == (defaults.prompt if kind == OUTLINES else None)


def test_the_defaults_are_those_of_the_bundles(bundles):
    bundle = bright_bundle()
    assert application_defaults(bundle, PromptRule(2.5)) == DEFAULTS
    fitted = {"threshold": 0.4, "expansion": 0.2, "boxes": "peaks", "least_score": 0.1, "map": "cam", "flips": True}
    rules = application_defaults(replace(bundle, metadata={**bundle.metadata, "localization": fitted}), PromptRule(2.5))
    assert (rules.boxes.method, rules.boxes.minimum_score, rules.maps.flips) == ("peaks", 0.1, True)
    assert segmenter_prompt(bundles / "msk_sam").zoom == 2.5


def test_an_arm_that_is_none_is_refused_by_a_line_that_lists_them():
    with pytest.raises(ValueError, match=r"--arms: nonsense is no arm; they are cam, grad_cam"):
        choose_arms(all_arms(DEFAULTS), ["cam", "nonsense"])


def test_the_network_runs_once_per_view_and_gradients_apart(tmp_path):
    case = read_case(read_manifest(write_data(tmp_path, 1, 0))[0], "a")
    bundle = bright_bundle(("fine", "coarse"))
    rules = [arm.maps for arm in all_arms(DEFAULTS)]
    together = classify_once(case.radiograph, bundle, rules)
    assert bundle.network.runs == 4 + 1  # two sizes, each mirrored too; one more with gradients
    for rule, classification in together.items():
        alone = activation_map(classify(case.radiograph, bundle, rule, everything=True), rule)
        np.testing.assert_allclose(activation_map(classification, rule), alone, atol=1e-6)


def test_one_view_costs_one_run():
    assert joint_rules([MapRule(), MapRule()]) == [MapRule()]
    assert [rule.needs_gradients for rule in joint_rules([MapRule("cam", stages=2), MapRule()])] == [False, True]


@pytest.mark.parametrize("least_score", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("method", ["peaks", "components", "brightest_point"])
def test_the_boxes_taken_are_the_applications(tmp_path, method, least_score):
    record = read_manifest(write_data(tmp_path, 1, 0))[0]
    pixels = np.random.default_rng(4).random((ROWS, COLUMNS)).astype(np.float32)
    pixels = np.repeat(np.repeat(pixels[::16, ::16], 16, axis=0), 16, axis=1)
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(record.path)
    classification = classify(read_case(record, "a").radiograph, bright_bundle())
    rule = BoxRule(method, 0.8, 0.0, maximum_boxes=3, minimum_score=least_score)
    cells = activation_map(classification)
    found, taken = find(_Mapped(classification, cells), rule, 7)
    assert found[:taken] == find_boxes(classification, cells, rule)
    assert taken <= len(found) <= 7


# --- what is measured of one image


def test_a_mask_without_boxes_gives_one_per_region(tmp_path):
    record = replace(read_manifest(write_data(tmp_path, 1, 0))[0], boxes=())
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[3:9, 4:6], mask[50:60, 70:90] = True, True
    Image.fromarray(mask).save(record.mask)
    assert read_case(record, "a").boxes == (PixelBox(4, 3, 6, 9), PixelBox(70, 50, 90, 60))


def test_a_mask_of_another_size_is_named(tmp_path):
    record = read_manifest(write_data(tmp_path, 1, 0))[0]
    Image.fromarray(np.ones((5, 5), bool)).save(record.mask)
    with pytest.raises(ValueError, match=r"m0\.png: not as large as .*0\.png; draw the mask"):
        read_case(record, "a")


def test_an_empty_mask_is_no_mark(tmp_path):
    record = replace(read_manifest(write_data(tmp_path, 1, 0))[0], boxes=())
    Image.fromarray(np.zeros((ROWS, COLUMNS), bool)).save(record.mask)
    assert (read_case(record, "a").expert, read_case(record, "a").boxes) == (None, ())


def test_normal_images_have_boxes_and_no_outline(tmp_path):
    records = read_manifest(write_data(tmp_path, 1, 1))
    arms = choose_arms(all_arms(DEFAULTS), ["cam", "peaks", "sam_box"])
    tools = Tools(bright_bundle(), Echo().bundle, 5)
    abnormal, normal = (measure(read_case(record, "a"), tools, arms) for record in records)
    assert [row.arm for row in abnormal.boxes] == [row.arm for row in normal.boxes] == ["cam", "peaks"]
    assert [row.arm for row in abnormal.outlines] == ["sam_box"]
    assert normal.outlines == ()
    assert abnormal.boxes[0].in_mask is True
    assert normal.boxes[0].in_mask is None
    assert abnormal.image.share == pytest.approx(24 * 24 / (ROWS * COLUMNS), abs=1e-6)


# --- from rows to estimates


def row_of(number: int, label: int, state: str = "abnormal", part: str = "wrist", share: float | None = 0.01):
    return ImageRow("tiny", str(number), f"p{number}", part, label, state, label, share if label else None, 50.0)


def measured_of(images, boxes=(), outlines=()):
    by_image = {image.image: image for image in images}
    return [
        Measured(
            image,
            tuple(row for row in boxes if row.image == name),
            tuple(row for row in outlines if row.image == name),
        )
        for name, image in by_image.items()
    ]


def test_the_gate_empties_what_is_called_normal():
    rows = [row_of(0, 1), row_of(1, 1, state="normal"), row_of(2, 1, state="doubt")]
    images = benchmark_images(measured_of(rows))
    met = Overlap(0.8, 2 / 3, 4.0)
    measures = outline_measures([OutlineRow("a", str(n), met, met, None) for n in range(3)], images)
    values = estimates(measures, images, np.ones(3, bool))
    assert values["dice_own"].value == values["dice_given"].value == pytest.approx(0.8)
    assert values["dice_own_gated"].value == pytest.approx(1.6 / 3)
    assert values["iou_own_gated"].value == pytest.approx(4 / 9)
    assert values["hd95_own_gated"].value == pytest.approx(4.0)  # the median of 4, 4 and the diagonal
    assert values["agreement"].value is None


def test_strata_hold_their_images_only():
    rows = [row_of(n, 1, part="hand" if n < 12 else "knee", share=(n + 1) / 100) for n in range(24)]
    boxes = [BoxRow("cam", str(n), n < 12, n < 12, (), (), (), 0, (0, 0, 0)) for n in range(24)]
    (result,) = summarise(
        measured_of(rows, boxes), choose_arms(all_arms(DEFAULTS), ["cam"]), DEFAULTS, {"cam": Seconds(1, None)}, 100
    )
    assert result.overall["pointing_game"].value == 0.5
    assert result.strata["body_part"]["hand"]["pointing_game"].value == 1
    assert result.strata["body_part"]["knee"]["pointing_game"].value == 0
    assert [result.strata["size"][size]["pointing_game"].value for size in ("small", "medium", "large")] == [1, 0.5, 0]
    few = result.strata["size"]["small"]["pointing_game"]
    assert few.low is None
    assert "8 patients" in few.reason


def test_intervals_are_those_of_whole_patients_resampled():
    random = np.random.default_rng(5)
    rows = [replace(row_of(n, 1), group=f"p{n // 3}") for n in range(90)]
    hits = (random.random(30)[np.arange(90) // 3] < 0.6).astype(float)  # a patient's images agree
    images = benchmark_images(measured_of(rows))
    estimate = estimates([shares({"a": (hits, np.ones(90))})], images, np.ones(90, bool))["a"]
    low, high = bootstrap_interval(lambda drawn: hits[drawn].mean(), [row.group for row in rows])
    assert estimate.value == hits.mean()
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.03)


def test_an_abnormal_image_that_nobody_marked_counts_for_nothing():
    rows = [row_of(0, 1), replace(row_of(1, 1), findings=0, share=None), row_of(2, 0)]
    boxes = [
        BoxRow("cam", "0", True, True, ((0, 0, 9, 9),), (0.5,), (True,), 1, (1, 1, 1)),
        BoxRow("cam", "1", None, None, ((0, 0, 9, 9),) * 5, (0.9,) * 5, (False,) * 5, 3, (0, 0, 0)),
        BoxRow("cam", "2", None, None, ((0, 0, 9, 9),), (0.4,), (False,), 1, (0, 0, 0)),
    ]
    arms = choose_arms(all_arms(DEFAULTS), ["cam"])
    (result,) = summarise(measured_of(rows, boxes), arms, DEFAULTS, {"cam": Seconds(1, None)}, 100)
    of = {name: estimate.value for name, estimate in result.overall.items()}
    assert of["pointing_game"] == of["box_recall_0.5"] == of["sensitivity_at_0.25_false_boxes_all"] == 1
    assert of["false_boxes_per_abnormal_image"] == 0
    assert of["boxes_per_normal_image"] == 1


# --- end to end


def test_every_arm_is_in_the_table_the_picture_and_the_file(tmp_path, monkeypatch, caplog):
    def outlined(localization, _bundle, _rule):  # SAM's prompts have tests of their own
        masks = tuple(filled(box, localization.heatmap.shape) for box in localization.boxes)
        return Segmentation(localization, masks, localization.scores)

    monkeypatch.setattr("operators.pipeline.segment", outlined)
    data = write_data(tmp_path / "data", 3, 2)
    content, page = run(monkeypatch, data, tmp_path / "out", Echo().bundle, "--limit", "2")
    assert [len([r for r in content["rows"]["images"] if r["label"] == label]) for label in (1, 0)] == [2, 2]
    arms = {arm.name: arm for arm in choose_arms(all_arms(DEFAULTS), [])}
    lacking = {name for name, arm in arms.items() if arm.maps.stages > 2}  # the bundle names one earlier stage
    assert "cam_3_stages left out: bundle tiny: 3 stages of its map are asked for" in caplog.text
    assert {each["name"] for each in content["summary"]} == set(arms) - lacking
    for name in set(arms) - lacking:
        assert f"(`{name}`)" in page
    assert "**regions above the fitted cut**" in page
    for each in content["summary"]:
        assert each["seconds"]["find"] > 0
        assert (each["seconds"]["outline"] is None) == (each["kind"] != OUTLINES)
    with Image.open(tmp_path / "out" / "localization.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
    assert len(content["rows"]["boxes"]) == 4 * len(
        [a for a in arms.values() if a.kind != OUTLINES and a.name not in lacking]
    )


def test_findings_as_bright_as_can_be_are_found_and_the_gate_costs_its_share(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data", 12, 12, faint=3)
    arms = ("cam", "components", "filled_box", "ellipse", "sam_box")
    content, page = run(monkeypatch, data, tmp_path / "out", Echo().bundle, "--arms", *arms)
    assert value(content, "cam", "pointing_game") == value(content, "cam", "pointing_game_box") == 1
    assert value(content, "components", "box_recall_0.5") == 1
    assert value(content, "components", "box_recall_0.5_gated") == pytest.approx(9 / 12)
    assert value(content, "components", "sensitivity_at_0.25_false_boxes_all") == 1
    assert value(content, "components", "false_boxes_per_abnormal_image") == 0
    assert value(content, "components", "boxes_per_normal_image_gated") == 0
    assert value(content, "filled_box", "dice_given") == 1
    assert value(content, "ellipse", "dice_given") == pytest.approx(np.pi / 2 / (1 + np.pi / 4), abs=0.02)
    assert value(content, "sam_box", "dice_given") > 0.9  # this SAM draws the box
    own, gated = (value(content, "sam_box", f"dice_{kind}") for kind in ("own", "own_gated"))
    assert 0.7 < gated < own
    (interval,) = [each["measures"]["dice_own_gated"] for each in content["summary"] if each["name"] == "sam_box"]
    assert interval["low"] < gated < interval["high"]
    assert value(content, "sam_box", "agreement") is None
    assert "agreement" not in page
    assert content["size_cuts"][0] < content["size_cuts"][1]


def test_without_any_mark_there_is_agreement_alone(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data", 3, 2, marks=False)
    content, page = run(monkeypatch, data, tmp_path / "out", Echo().bundle, "--arms", "cam", "sam_box", "ellipse")
    assert [each["name"] for each in content["summary"]] == ["ellipse", "sam_box"]
    assert {row["label"] for row in content["rows"]["images"]} == {1}
    assert page.count("## ") == 1
    assert "agreement" in page.splitlines()[0]
    assert "nothing of whether they are right" in page
    assert "accuracy" not in page
    assert 0.5 < value(content, "sam_box", "agreement") <= 1
    assert value(content, "sam_box", "dice_own") is None


def test_agreement_is_of_unmarked_images_only(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data", 3, 1)
    manifest = (data / "manifest.csv").read_text().splitlines()
    manifest[1] = "0.png,abnormal,val,p0,wrist,,"
    (data / "manifest.csv").write_text("\n".join(manifest) + "\n")
    content, page = run(monkeypatch, data, tmp_path / "out", Echo().bundle, "--arms", "sam_box")
    by_image = {row["image"]: row for row in content["rows"]["outlines"]}
    assert (by_image["0"]["own"], by_image["1"]["agreement"]) == (None, None)
    assert by_image["0"]["agreement"] is not None
    assert "agreement" in page


@pytest.mark.parametrize("arguments", [("--arms", "cam"), ("--arms", "nonsense")])
def test_what_cannot_be_measured_is_one_line(tmp_path, monkeypatch, arguments):
    data = write_data(tmp_path / "data", 2, 1, marks=False)
    with pytest.raises(SystemExit, match=r"^error: .*(only outlines|no arm)"):
        run(monkeypatch, data, tmp_path / "out", Echo().bundle, *arguments)


def test_what_does_the_same_is_measured_once_unless_it_is_named():
    defaults = replace(DEFAULTS, boxes=replace(DEFAULTS.boxes, method="peaks", expansion=0.0))
    arms = all_arms(defaults)
    chosen = choose_arms(arms, [])
    assert [arm.name for arm in arms if arm not in chosen] == ["no_expansion"]
    for kind in (MAPS, BOXES, OUTLINES):  # one line of each panel is the application's
        assert len([arm for arm in chosen if arm.kind == kind and is_default(arm, defaults)]) == 1
    assert [arm.name for arm in choose_arms(arms, ["no_expansion"])] == ["no_expansion"]


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_count_is_one_or_more(wrong, capsys):
    with pytest.raises(SystemExit):
        localization_benchmark.parse(["data", "--limit", wrong])
    assert f"'{wrong}' is no number from 1 on" in capsys.readouterr().err


def test_two_classifiers_stand_in_one_table():
    rows = [row_of(n, 1) for n in range(3)]
    boxes = [BoxRow("cam", str(n), True, True, (), (), (), 0, (0, 0, 0)) for n in range(3)]
    arms = choose_arms(all_arms(DEFAULTS), ["cam"])
    (one,) = summarise(measured_of(rows, boxes), arms, DEFAULTS, {"cam": Seconds(1, None)}, 10)
    both = [one, replace(one, classifier="other", default=False)]
    table = benchmark_tables(both, benchmark_images(measured_of(rows)), "a")[0]
    assert [row[1] for row in table.rows] == ["**tiny: CAM** (`cam`)", "other: CAM (`cam`)"]
    assert draw(both, "a").startswith(b"\x89PNG")
