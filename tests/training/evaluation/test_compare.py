"""Evaluations side by side: the same images, tests of differences, the ensemble, and what others report."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.training.evaluation.test_evaluation import ABOUT, POINTS, make_scores, outside_references
from training.compare import main
from training.evaluation.comparison.differences import compare
from training.evaluation.comparison.published import ANCHORS, HIDDEN_TEST, PAPERS, PUBLIC_VALIDATION, SETS
from training.evaluation.comparison.runs import ensemble, read_runs
from training.evaluation.comparison.tables import comparison_tables
from training.evaluation.evaluation import write_evaluation
from training.evaluation.scored_images import read_scores


def noisy(scores, seed, noise):
    random = np.random.default_rng(seed)
    changed = []
    for score in scores:
        logit = score.logit + float(random.normal(0, noise))
        changed.append(replace(score, logit=logit, probability=float(1 / (1 + np.exp(-(logit / 2 - 0.5))))))
    return changed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of three evaluations of the same images."""
    folder = tmp_path_factory.mktemp("runs")
    for name, noise in (("msk_resnet50", 0.3), ("msk_cnn", 2.0), ("msk_random_baseline", 20.0)):
        about = replace(ABOUT, model=name)
        write_evaluation(noisy(make_scores(), len(name), noise), POINTS, about, folder / name, 200)
    return [folder / name for name in ("msk_resnet50", "msk_cnn", "msk_random_baseline")]


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("comparison")
    assert main([*map(str, runs), "--output", str(output)]) == 0
    return output


def test_the_files_of_a_comparison(written):
    assert {path.name for path in written.iterdir()} == {f"comparison.{kind}" for kind in ("md", "json", "png", "html")}
    comparison = json.loads((written / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert list(comparison["models"]) == [
        "msk_resnet50", "msk_cnn", "msk_random_baseline", "ensemble: msk_resnet50 + msk_cnn",
    ]  # fmt: skip
    page = (written / "comparison.html").read_text()
    assert outside_references(page) == []
    assert not re.search(r"<script|<link|@import", page)
    assert "RESEARCH USE ONLY" in page
    assert (written / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_markdown_is_printed(runs, capsys, tmp_path):
    main([str(runs[0]), str(runs[1]), "--output", str(tmp_path), "--ensemble", "none"])
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "comparison.md").read_text()
    assert "ensemble:" not in printed


def test_differences_are_to_the_best(written, runs):
    comparison = json.loads((written / "comparison.json").read_text())
    for level in ("image", "study"):
        found = comparison["differences"][level]
        areas = {
            name: model["levels"][level]["overall"]["metrics"]["auroc"]["value"]
            for name, model in comparison["models"].items()
        }
        best = max(areas, key=areas.get)
        assert found["best"] == best
        assert {row["model"] for row in found["rows"]} == set(areas) - {best}
        for row in found["rows"]:
            assert row["auroc_difference"] == pytest.approx(areas[row["model"]] - areas[best], abs=1e-5)
            assert all(0 <= row[p] <= 1 for p in ("delong_p", "auroc_permutation_p", "kappa_permutation_p"))
        worst = next(row for row in found["rows"] if row["model"] == "msk_random_baseline")
        assert worst["delong_p"] < 0.01
        assert worst["auroc_permutation_p"] < 0.01


def test_the_ensemble_is_the_mean_of_probabilities_by_the_mean_of_points(runs):
    read = read_runs(runs[:2])
    together = ensemble(read, ["msk_resnet50", "msk_cnn"])
    means = np.mean([[score.probability for score in run.scores] for run in read], axis=0)
    assert [score.probability for score in together.scores] == pytest.approx(means)
    labels = [score.label for score in together.scores]
    value = together.evaluation["levels"]["image"]["overall"]["metrics"]["auroc"]["value"]
    assert value == pytest.approx(roc_auc_score(labels, means), abs=1e-6)
    assert together.evaluation["operating_points"]["image"] == pytest.approx(POINTS["image"])


def test_runs_are_matched_by_image_not_by_order(runs, tmp_path):
    shuffled = make_scores()[::-1]
    write_evaluation(shuffled, POINTS, replace(ABOUT, model="other"), tmp_path / "other", 200)
    first, second = read_runs([runs[0], tmp_path / "other"])
    assert [score.name for score in first.scores] == [score.name for score in second.scores]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores[:-3], "3 images of .*msk_resnet50 are not in it, first p59"),
        (lambda scores: [*scores, replace(scores[0], name="new")], "1 images of .*other are not in it, first new"),
        (lambda scores: [replace(scores[0], label=1 - scores[0].label), *scores[1:]], "another label.*first p0/s0/0"),
        (lambda scores: [replace(scores[0], group="x"), *scores[1:]], "another label, patient or study"),
    ],
)
def test_runs_of_different_images_are_refused(runs, tmp_path, change, message):
    write_evaluation(change(make_scores()), POINTS, replace(ABOUT, model="other"), tmp_path / "other", 200)
    with pytest.raises(SystemExit, match=message) as caught:
        main([str(runs[0]), str(tmp_path / "other"), "--output", str(tmp_path / "out")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ensemble", "msk_resnet50,vgg"], "vgg is none of the runs"),
        (["--ensemble", "msk_cnn"], "two members"),
        (["absent"], r"absent.metrics.json: no such file"),
    ],
)
def test_a_mistake_of_the_caller_is_named(runs, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([*map(str, runs), *arguments, "--output", str(tmp_path)])


def test_a_run_given_twice_or_of_an_old_version_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="given twice"):
        read_runs([runs[0], runs[0]])
    (tmp_path / "metrics.json").write_text('{"images": 3}')
    with pytest.raises(ValueError, match="model, .*evaluate the model again"):
        read_runs([tmp_path])
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read_runs([tmp_path])


def test_other_weights_than_the_bundle_s_are_refused(runs, tmp_path):
    weights = tmp_path / "msk_cnn" / "models" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"new")
    with pytest.raises(SystemExit, match="msk_cnn: evaluated with other weights"):
        main([*map(str, runs), "--output", str(tmp_path / "out"), "--bundles", str(tmp_path)])


def test_the_same_model_twice_is_told_apart_by_its_folder(runs, tmp_path):
    write_evaluation(make_scores(), POINTS, replace(ABOUT, model="msk_cnn"), tmp_path / "second", 200)
    names = [run.name for run in read_runs([runs[1], tmp_path / "second"])]
    assert names == [f"msk_cnn ({runs[1].as_posix()})", f"msk_cnn ({(tmp_path / 'second').as_posix()})"]


def test_one_class_is_compared_without_tests(tmp_path):
    normal = [score for score in make_scores() if score.label == 0]
    for name in ("a", "b"):
        write_evaluation(noisy(normal, len(name), 1), POINTS, replace(ABOUT, model=name), tmp_path / name, 200)
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "out")]) == 0
    assert "No test: one class only" in (tmp_path / "out" / "comparison.md").read_text()


def test_published_numbers_are_not_mixed_with_ours_or_with_each_other(runs):
    tables = comparison_tables(compare(read_runs(runs)))
    published = [table for table in tables if table.title.startswith("Published")]
    assert len(published) == len(SETS)
    for table, dataset in zip(published, SETS, strict=True):
        assert dataset in table.title
        assert len(table.rows) == sum(anchor.dataset == dataset for anchor in ANCHORS)
        assert not any("msk_" in row[0] for row in table.rows)
    kappa = {
        dataset: {anchor.metrics.get("kappa") for anchor in ANCHORS if anchor.dataset == dataset} for dataset in SETS
    }
    assert {0.705, 0.778, 0.843} <= kappa[HIDDEN_TEST]
    assert not kappa[PUBLIC_VALIDATION] & kappa[HIDDEN_TEST] - {None}
    (papers,) = [table for table in tables if table.title.startswith("The papers")]
    assert all("MURA" in row[1] for row in papers.rows if row[0].startswith("paper:"))
    assert all(row[1] == "phantoms, split val" for row in papers.rows if not row[0].startswith("paper:"))
    contradiction = next(row for row in papers.rows if "ResNet50" in row[0])
    assert contradiction[2] == "0.7193 or 0.9432"
    assert "contradicts" in contradiction[-1]


def test_every_published_number_has_its_set_and_source():
    assert {anchor.dataset for anchor in ANCHORS} <= set(SETS)
    assert all(anchor.source and (anchor.metrics or anchor.parts or anchor.note) for anchor in ANCHORS)
    values = [value for anchor in ANCHORS for value in (*anchor.metrics.values(), *anchor.parts.values())]
    assert all(0 < value < 1 for value in values)
    accuracies = {paper.bundle: paper.accuracy for paper in PAPERS}
    assert accuracies["msk_random_baseline"] == (0.4921,)
    assert accuracies["msk_resnet50"] == (0.7193, 0.9432)


def test_tables_have_a_cell_per_column(written, runs):
    for table in comparison_tables(compare(read_runs(runs))):
        assert all(len(row) == len(table.header) for row in table.rows), table.title
    for run in runs:
        assert read_scores(run / "scores.csv")
