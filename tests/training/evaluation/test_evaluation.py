"""Scores -> levels, subgroups, files and page; the fit on val; a run of the application."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
from monai.transforms import Compose, EnsureChannelFirst
from PIL import Image
from sklearn import metrics as judge

from operators.classification.classify import classify
from operators.localization.activation_maps import activation_map
from operators.networks.bundle import Bundle
from operators.networks.map_classifier import MapClassifier
from operators.records.rules import MapRule
from tests.phantoms import tiny_bundle
from training.datasets.manifest import ImageRecord
from training.evaluate import main as evaluate_run
from training.evaluation import plots
from training.evaluation.evaluation import About, evaluate, mean_operating_points, write_evaluation
from training.evaluation.evaluation_writer import EvaluationWriter, identify_data_set, scores_of_run
from training.evaluation.scored_images import (
    SEVERAL,
    ScoredImage,
    image_names,
    read_scores,
    sample_from,
    scored_studies,
    write_scores,
)
from training.fitting.operating_points import fit_points
from training.fitting.predictions import Prediction, predict, record_as_radiograph
from training.weights.evaluated import Evaluated
from training.weights.origin import Origin

POINTS = {
    "temperature": 2.0,
    "bias": -0.5,
    "image": {"rule_out": 0.2, "rule_in": 0.7, "decision": 0.4},
    "study": {"rule_out": 0.25, "rule_in": 0.65, "decision": 0.45},
}
ABOUT = About("msk_tiny", "1.0.0", "ab" * 32, "phantoms", None, "val")
PARTS = ("hand", "mixed:hand+hip", "", "mixed:leg+hip")


def make_scores(seed: int = 0, patients: int = 60) -> list[ScoredImage]:
    """Patients with one or two studies of one to three images."""
    random = np.random.default_rng(seed)
    scores = []
    for patient in range(patients):
        part = PARTS[patient % len(PARTS)]
        for study in range(random.integers(1, 3)):
            ill = random.random() < 0.4
            for image in range(random.integers(1, 4)):
                label = int(ill and image == 0)  # the finding shows in one view
                logit = float(random.normal(-1 + 3 * label, 1.5))
                probability = float(1 / (1 + np.exp(-(logit / 2 - 0.5))))
                state = "normal" if probability < 0.2 else "abnormal" if probability >= 0.7 else "doubt"
                where = f"p{patient}/s{study}"
                scores.append(
                    ScoredImage(
                        f"{where}/{image}",
                        f"p{patient}",
                        f"s{study}",
                        part,
                        "frontal",
                        bool(image == 2),
                        "val",
                        label,
                        logit,
                        probability,
                        state,
                    )  # fmt: skip
                )
    return scores


def record(name: str, label: int = 0, group: str = "g", folder: str = "data", **fields: str) -> ImageRecord:
    return ImageRecord(Path(folder) / f"{name}.png", "val", label, group, fields.pop("study", name), **fields)


# --- scores


def test_scores_read_back_as_they_were_written(tmp_path):
    scores = make_scores()
    write_scores(scores, tmp_path / "scores.csv")
    assert read_scores(tmp_path / "scores.csv") == scores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("logit", "score", 1), "column logit is missing"),
        (lambda text: text.splitlines()[0], "holds no image"),
        (lambda text: text + text.splitlines()[1] + "\n", "stands in it twice"),
        (lambda text: re.sub(r",val,\d,[^,]+,", ",val,1,high,", text, count=1), "row 2: .*no number"),
        (lambda text: re.sub(r",val,\d,", ",val,2,", text, count=1), "row 2: label is not 0 or 1"),
    ],
)
def test_a_mistake_in_scores_is_named(tmp_path, change, message):
    path = tmp_path / "scores.csv"
    write_scores(make_scores(), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        read_scores(path)


def test_a_study_is_the_mean_of_its_images_and_the_worst_of_their_labels():
    images = [
        ScoredImage("a", "p1", "s1", "hand", "frontal", False, "val", 0, 1.0, 0.2, "doubt"),
        ScoredImage("b", "p1", "s1", "hand", "lateral", True, "val", 1, 3.0, 0.6, "doubt"),
        ScoredImage("c", "p2", "s1", "hip", "frontal", False, "val", 0, 0.0, 0.1, "normal"),
    ]
    first, second = scored_studies(images)
    assert (first.label, first.probability, first.logit, first.hardware) == (1, pytest.approx(0.4), 2.0, True)
    assert (first.body_part, first.view) == ("hand", SEVERAL)
    assert (second.group, second.label, second.probability) == ("p2", 0, 0.1)  # the same name, another patient


def test_names_are_unique_and_do_not_depend_on_where_the_data_lie():
    mura = [record("image1", folder=f"{root}/XR_WRIST/patient{n}/study1") for root in ("x", "y/z") for n in (1, 2)]
    first, second = image_names(mura[:2]), image_names(mura[2:])
    assert first == second == ["patient1/study1/image1", "patient2/study1/image1"]
    assert image_names([record("a"), replace(record("a"), path=Path("data/a.jpg"))]) == ["a.png", "a.jpg"]
    assert image_names([record("only")]) == ["only"]


# --- evaluation


def test_every_level_and_subgroup_is_there_with_its_counts():
    scores = make_scores()
    found = evaluate(scores, POINTS, ABOUT, 100)
    image, study = found["levels"]["image"], found["levels"]["study"]
    assert image["overall"]["n"] == found["images"] == len(scores)
    assert study["overall"]["n"] == found["studies"] == len(scored_studies(scores))
    assert set(image["body_part"]) == {"hand", "mixed", "not given"}  # "mixed:..." is one part
    assert set(image["hardware"]) == {"with hardware", "without hardware"}
    assert set(image) == {"overall", "body_part", "view", "hardware"}
    assert set(study) == {"overall", "body_part"}
    for level in (image, study):
        for name in level.keys() - {"overall"}:
            assert sum(stratum["n"] for stratum in level[name].values()) == level["overall"]["n"]
            assert sum(stratum["abnormal"] for stratum in level[name].values()) == level["overall"]["abnormal"]
    states = found["states_by_label"]
    assert sum(states["abnormal"].values()) == found["abnormal"]


def test_each_level_decides_at_its_own_point():
    scores = make_scores()
    found = evaluate(scores, POINTS, ABOUT, 20)
    for level, of in (("image", scores), ("study", scored_studies(scores))):
        sample = sample_from(of)
        called = sample.probabilities >= POINTS[level]["decision"]
        metrics = found["levels"][level]["overall"]["metrics"]
        assert metrics["kappa"]["value"] == pytest.approx(judge.cohen_kappa_score(sample.labels, called), abs=1e-6)
        ruled = sample.probabilities >= POINTS[level]["rule_out"]
        expected = judge.recall_score(sample.labels, ruled)
        assert metrics["sensitivity_at_rule_out"]["value"] == pytest.approx(expected, abs=1e-6)


def test_the_papers_count_the_network_s_own_output_at_half():
    scores = make_scores()
    labels, logits = sample_from(scores).labels, np.array([score.logit for score in scores])
    papers = evaluate(scores, POINTS, ABOUT, 20)["papers"]
    assert papers["network_output"]["accuracy"]["value"] == pytest.approx(np.mean((logits >= 0) == labels), abs=1e-6)
    assert papers["network_output"]["recall"]["value"] == pytest.approx(np.mean(logits[labels] >= 0), abs=1e-6)
    assert papers["calibrated"] != papers["network_output"]


@pytest.mark.parametrize("scores", [make_scores()[:1], [s for s in make_scores() if s.label == 0], make_scores()[:12]])
def test_too_little_data_still_give_a_page_and_strict_json(tmp_path, scores):
    write_evaluation(scores, POINTS, ABOUT, tmp_path, 100)
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert "<img" in (tmp_path / "evaluation.html").read_text()


def test_nothing_to_evaluate_is_named():
    with pytest.raises(ValueError, match="no image to evaluate"):
        evaluate([], POINTS, ABOUT)


def trained(folder: Path) -> Origin:
    """Where weights come from whose training left its curve in a folder."""
    history = folder / "history.csv"
    history.write_text("epoch,loss,learning_rate,val_auroc\n1,0.7,0.1,0.6\n2,0.5,0.1,\n3,0.4,0.1,0.8\n")
    return Origin("runs/x/best.pt", "2026-11-01 10:00 UTC", "runs/x", str(history))


def test_the_files_of_an_evaluation(tmp_path):
    output = tmp_path / "evaluation_val"
    found = write_evaluation(make_scores(), POINTS, ABOUT, output, 100)
    assert {path.name for path in output.iterdir()} == {"scores.csv", "metrics.json", "metrics.md", "evaluation.html"}
    assert json.loads((output / "metrics.json").read_text()) == found
    assert (found["model"], found["data"], found["split"]) == ("msk_tiny", "phantoms", "val")
    markdown = (output / "metrics.md").read_text()
    value = found["levels"]["image"]["overall"]["metrics"]["auroc"]
    assert f"| AUROC | {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}] |" in markdown
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    write_evaluation(make_scores(), POINTS, ABOUT, output, 100)
    assert before == {path.name: path.read_bytes() for path in output.iterdir()}  # the same again


def outside_references(page: str) -> list[str]:
    """What a page would load from elsewhere."""
    sources = re.findall(r"(?:\b(?:src|href|srcset|action|data)\s*=|url\()\s*[\"']?([^\"'\s>]+)", page)
    return [source for source in sources if not source.startswith("data:image/png;base64,")]


def test_the_page_is_one_file_without_scripts(tmp_path):
    about = replace(ABOUT, data="<b>odd</b>", weights=trained(tmp_path))
    write_evaluation(make_scores(), POINTS, about, tmp_path, 100)
    page = (tmp_path / "evaluation.html").read_text()
    assert outside_references(page) == []
    assert not re.search(r"<script|<link|<iframe|@import|javascript:", page)
    assert "RESEARCH USE ONLY" in page
    assert "width=device-width" in page
    assert "<b>odd" not in page
    assert page.count("<img src") == 7
    for title in (
        "Training runs/x",
        "ROC",
        "Precision and recall",
        "Reliability",
        "States",
        "Probabilities",
        "By body part",
    ):
        assert re.search(f'alt="{title}', page), title


def test_a_curve_beside_the_output_is_not_that_of_the_weights(tmp_path):
    trained(tmp_path)  # another training, whose folder the evaluation is written to
    output = tmp_path / "evaluation_val"
    about = replace(ABOUT, weights=Origin("bundles/msk_tiny/models/model.safetensors", "2026-11-01 10:00 UTC"))
    write_evaluation(make_scores(), POINTS, about, output, 100)
    page = (output / "evaluation.html").read_text()
    assert 'alt="Training' not in page
    assert "The training that the weights come from is not recorded" in page


def test_the_first_line_says_what_was_evaluated(tmp_path):
    about = replace(ABOUT, weights=trained(tmp_path), evaluated_at="2026-11-02 11:00 UTC", fitted=False)
    write_evaluation(make_scores(), POINTS, about, tmp_path / "out", 100)
    page, markdown = ((tmp_path / "out" / name).read_text() for name in ("evaluation.html", "metrics.md"))
    line = (
        f"Evaluated: msk_tiny 1.0.0, weights sha256 {'ab' * 32}, from runs/x/best.pt (written 2026-11-01 10:00 UTC), "
        "on 2026-11-02 11:00 UTC."
    )
    assert re.search(r"</h1>\s*<p[^>]*>([^<]*)</p>", page).group(1) == line
    for text in (page, markdown):
        assert "The weights come from the training runs/x." in text
        assert "Nothing was fitted to these weights" in text


@pytest.mark.parametrize(("patients", "told"), [(4, "without intervals: fewer than 10"), (60, "with 95 % intervals")])
def test_a_caption_promises_intervals_only_where_there_are_some(tmp_path, patients, told):
    write_evaluation(make_scores(patients=patients), POINTS, ABOUT, tmp_path, 100)
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", (tmp_path / "evaluation.html").read_text())
    (caption,) = [caption for caption in captions if caption.startswith("By body part")]
    assert told in caption
    assert ("No intervals: fewer than 10" in (tmp_path / "metrics.md").read_text()) == (patients < 10)


def test_no_legend_lies_over_points_and_counts_are_whole():
    sample = sample_from(make_scores(patients=3))
    points = {"rule-out": 0.2, "decision": 0.4, "rule-in": 0.7}
    calibration = evaluate(make_scores(), POINTS, ABOUT, 20)["calibration"]
    figures = [
        plots.roc(sample, points, 20),
        plots.precision_recall(sample),
        plots.reliability_diagram(calibration),
        plots.probabilities(sample, points),
    ]
    for figure in figures:
        figure.canvas.draw()
        (legend,), (axes,) = figure.legends, figure.axes
        assert axes.get_legend() is None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    assert all(float(tick).is_integer() for tick in figures[-1].axes[0].get_yticks())


@pytest.mark.parametrize(
    ("text", "message"), [("epoch,loss\n1,low\n", "row 2: loss 'low'"), ("loss\n1\n", "epoch"), ("epoch\n", "no row")]
)
def test_a_mistake_in_a_history_is_named(tmp_path, text, message):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        plots.read_history(tmp_path / "history.csv")


def test_several_classifiers_decide_by_the_mean_of_their_points():
    other = {"temperature": 1.0, "image": {"rule_out": 0.4, "rule_in": 0.9}, "study": {"rule_out": 0.1, "rule_in": 0.2}}
    together = mean_operating_points([POINTS, other])
    assert together["image"] == pytest.approx({"rule_out": 0.3, "rule_in": 0.8, "decision": 0.45})
    assert together["study"]["rule_out"] == pytest.approx(0.175)
    assert mean_operating_points([POINTS]) == POINTS


# --- where scores come from


def test_a_bundle_s_evaluation_writes_its_calibrated_scores(tmp_path, capsys):
    bundle: Bundle = tiny_bundle(timm.create_model("resnet18", num_classes=1), None, operating_points=POINTS)
    records = [record(f"i{n}", n % 2, f"g{n}", body_part="hand") for n in range(40)]
    (tmp_path / "manifest.csv").write_text("file\n")
    evaluated = Evaluated(bundle, Origin("tiny/models/model.safetensors", "2026-11-01 10:00 UTC"), POINTS)
    writer = EvaluationWriter(records, evaluated, str(tmp_path / "out"), tmp_path)
    logits = np.linspace(-3, 3, 40)
    for _ in range(2):  # an evaluator that runs twice does not mix its runs
        writer._begin(None)
        for value in logits:
            writer._collect(SimpleNamespace(state=SimpleNamespace(output=[{"pred": np.float32(value)}])))
        writer._write(None)
    scores = read_scores(tmp_path / "out" / "scores.csv")
    assert [score.logit for score in scores] == pytest.approx(logits)
    assert [score.probability for score in scores] == pytest.approx(1 / (1 + np.exp(-(logits / 2 - 0.5))))
    assert {score.state for score in scores} == {"normal", "doubt", "abnormal"}
    evaluation = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (evaluation["model"], evaluation["data"], evaluation["split"]) == ("tiny", tmp_path.name, "val")
    assert len(evaluation["data_sha256"]) == 64
    assert "AUROC" in capsys.readouterr().out


def test_a_data_set_is_named_by_the_end_of_its_path(tmp_path):
    assert identify_data_set(Path()) == ("not given", None)
    assert identify_data_set(tmp_path / "mura") == ("mura", None)
    (tmp_path / "list.csv").write_text("file\n")
    name, digest = identify_data_set(tmp_path / "list.csv")
    assert name == f"{tmp_path.name}/list.csv"
    assert len(digest) == 64


@pytest.fixture
def data_set(tmp_path):
    """A manifest of 40 images, and the result of a run on them."""
    random = np.random.default_rng(0)
    rows, images = [], []
    for number in range(40):
        file = f"images/{number}.png"
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (64, 64), np.uint8).astype(np.uint8)).save(tmp_path / file)
        label = number % 3 == 0
        rows.append({"file": file, "label": "abnormal" if label else "normal", "split": "val", "group_id": number // 2})
        probability = float(np.clip(random.normal(0.3 + 0.4 * label, 0.15), 0.01, 0.99))
        images.append({"file": f"images/{number}.dcm", "probability": probability, "state": "doubt"})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        # a patient's label is a mix, which is as it may be
        writer.writerows(rows)
    models = [{"bundle": "msk_tiny", "version": "2", "sha256": hashlib.sha256(b"weights").hexdigest()}]
    (tmp_path / "result.json").write_text(json.dumps({"models": models, "studies": [{"images": images}]}))
    return tmp_path


def test_a_run_of_the_application_is_evaluated(data_set, tmp_path, capsys):
    bundle = tmp_path / "msk_tiny"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    (bundle / "models" / "model.safetensors").write_bytes(b"weights")
    (bundle / "configs" / "metadata.json").write_text(json.dumps({"version": "2", "operating_points": POINTS}))
    arguments = [str(data_set / "result.json"), "--dataset_dir", str(data_set), "--split", "val"]
    arguments += ["--bundle", str(bundle), "--output_dir", str(tmp_path / "out")]
    assert evaluate_run(arguments) == 0
    assert "| AUROC |" in capsys.readouterr().out
    evaluation = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (evaluation["model"], evaluation["version"], evaluation["images"]) == ("msk_tiny", "2", 40)
    assert evaluation["weights"]["file"].endswith("result.json")
    score = read_scores(tmp_path / "out" / "scores.csv")[0]
    assert 1 / (1 + np.exp(-(score.logit / 2 - 0.5))) == pytest.approx(score.probability)  # the logit is recovered
    result = json.loads((data_set / "result.json").read_text())
    result["studies"][0]["images"][7]["probability"] = None
    (data_set / "result.json").write_text(json.dumps(result))
    with pytest.raises(SystemExit, match="1 images of the split were not analysed, first images/7"):
        evaluate_run(arguments)
    (bundle / "models" / "model.safetensors").write_bytes(b"newer")
    result["studies"][0]["images"][7]["probability"] = 0.5
    (data_set / "result.json").write_text(json.dumps(result))
    with pytest.raises(SystemExit, match="the run used other weights of msk_tiny"):
        evaluate_run(arguments)


def test_a_probability_of_one_has_a_finite_logit(tmp_path):
    images = [{"file": "a.dcm", "probability": 1.0, "state": "abnormal"}]
    (tmp_path / "result.json").write_text(json.dumps({"studies": [{"images": images}]}))
    (score,) = scores_of_run(tmp_path / "result.json", [record("a", 1, folder=str(tmp_path))], tmp_path, POINTS)
    assert np.isfinite(score.logit)


# --- the fit on val


def predictions(logits, labels, study_of=str) -> list[Prediction]:
    return [
        Prediction(record(str(n), int(label), study_of(n), study=study_of(n)), float(value), None)
        for n, (value, label) in enumerate(zip(logits, labels, strict=True))
    ]


def test_the_fit_gives_what_the_metadata_hold_and_keeps_its_promises():
    random = np.random.default_rng(0)
    labels = (random.random(300) < 0.3).astype(int)
    logits = random.normal(2 + 3 * labels, 2)
    points = fit_points(predictions(logits, labels, lambda number: f"s{number // 3}"))
    assert set(points) == {"temperature", "bias", "image", "study"}
    probabilities = 1 / (1 + np.exp(-(logits / points["temperature"] + points["bias"])))
    assert probabilities.mean() == pytest.approx(labels.mean(), abs=0.01)
    means, worst = probabilities.reshape(100, 3).mean(axis=1), labels.reshape(100, 3).max(axis=1)
    for level, p, y in (("image", probabilities, labels), ("study", means, worst)):
        assert set(points[level]) == {"rule_out", "rule_in", "decision"}
        assert (p[y == 1] >= points[level]["rule_out"]).mean() >= 0.92
        assert (p[y == 0] < points[level]["rule_in"]).mean() >= 0.95
    assert points["image"] != points["study"]
    wider = fit_points(predictions(logits, labels, lambda number: f"s{number // 3}"), 0.99, 0.99)
    assert wider["image"]["rule_out"] < points["image"]["rule_out"] < points["image"]["rule_in"]
    assert points["image"]["rule_in"] < wider["image"]["rule_in"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(40), "0 abnormal images"),
        ((np.arange(40) < 20), "do not rise with the label"),
    ],
)
def test_a_val_that_cannot_be_fitted_is_named(labels, message):
    with pytest.raises(ValueError, match=message):
        fit_points(predictions(np.linspace(-2, 2, 40), labels))


def test_boxes_are_fitted_on_the_map_that_the_application_will_have(data_set):
    keep = Compose([EnsureChannelFirst(channel_dim="no_channel")])
    encoder = timm.create_model("resnet18", features_only=True, out_indices=[2, 3, 4], in_chans=1, pretrained=False)
    bundle = tiny_bundle(MapClassifier(encoder, feature_channels=16), keep)
    image = replace(record("0", 1, folder=str(data_set / "images")))
    image = replace(image, boxes=((2.0, 2.0, 20.0, 30.0),))
    maps = MapRule(flips=True)
    (prediction,) = predict(bundle, [image], maps)
    fitted = replace(bundle, metadata={**bundle.metadata, "operating_points": POINTS})
    expected = classify(record_as_radiograph(image), fitted, maps, everything=True)
    assert prediction.logit == pytest.approx(expected.opinions[0].logit)
    assert prediction.image.calibrated(POINTS) == pytest.approx(activation_map(expected, maps), abs=1e-6)
    assert prediction.image.classification.probability == pytest.approx(1 / (1 + np.exp(-prediction.logit)))
    assert prediction.image.classification.features.size == 0
    (alone,) = predict(bundle, [image], None)
    assert (alone.logit, alone.image) == (prediction.logit, None)
