"""Metrics, their resampling, calibration and tests of differences, judged by scikit-learn and by brute force."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from operators.records.geometry import PixelBox, intersection_over_union
from training.evaluation.calibration import (
    BINS,
    Decisions,
    calibrated_probabilities,
    calibration_summary,
    decisions_at_level,
    expected_calibration_error,
    reliability,
)
from training.evaluation.comparison.significance import (
    auroc_permutation,
    delong_covariance,
    delong_test,
    kappa_permutation,
)
from training.evaluation.metrics import (
    DECISION_METRICS,
    as_json,
    bootstrap_interval,
    measure,
    point_values,
    resampled,
    weighted_values,
)
from training.evaluation.overlap import dice, match_boxes
from training.evaluation.resampling import MINIMUM_PATIENTS, patient_weights, percentile_interval
from training.evaluation.scored_images import Sample
from training.fitting.calibration import fit_calibration
from training.fitting.operating_points import candidates, fit_decision, fit_operating_points, outcomes, shortest

DECISIONS = Decisions(0.3, 0.7, 0.55)


def sample(seed: int = 0, images: int = 200, patients: int = 80, coarse: bool = False, skill: float = 0.2) -> Sample:
    random = np.random.default_rng(seed)
    labels = random.random(images) < 0.35
    probabilities = np.clip(random.normal(0.4 + skill * labels, 0.2), 0, 1)
    groups = np.unique(random.integers(0, patients, images), return_inverse=True)[1]
    return Sample(labels, np.round(probabilities, 1) if coarse else probabilities, groups)


def judged(labels, probabilities, decisions):
    """Every metric of a resample by scikit-learn."""
    values = {
        "auroc": judge.roc_auc_score(labels, probabilities),
        "auprc": judge.average_precision_score(labels, probabilities),
        "brier": judge.brier_score_loss(labels, probabilities),
    }
    values |= {name: metric(labels, probabilities >= decisions.decision) for name, metric in DECISION_METRICS.items()}
    for point in ("rule_out", "rule_in"):
        called = probabilities >= getattr(decisions, point)
        values[f"sensitivity_at_{point}"] = judge.recall_score(labels, called)
        values[f"specificity_at_{point}"] = judge.recall_score(labels, called, pos_label=0)
    return values


# --- metrics and their resampling


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "tied"])
def test_a_resample_equals_scikit_learn_on_the_images_it_draws(coarse):
    whole = sample(1, coarse=coarse)
    weights = next(patient_weights(whole.groups, 25, seed=4))
    values = weighted_values(whole, DECISIONS, weights)
    for number, times in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(len(times)), times)
        expected = judged(whole.labels[drawn], whole.probabilities[drawn], DECISIONS)
        assert set(expected) == set(values)
        for name, value in expected.items():
            assert values[name][number] == pytest.approx(value, abs=1e-12), name


def test_the_value_of_a_metric_is_that_of_every_image_once():
    whole = sample(2)
    once = weighted_values(whole, DECISIONS, np.ones((1, len(whole.labels))))
    values = point_values(whole, DECISIONS)
    assert {name: float(value[0]) for name, value in once.items()} == pytest.approx(
        {name: value for name, value in values.items() if name != "ece"}
    )


def test_whole_patients_are_drawn_and_blocks_do_not_change_the_draw(monkeypatch):
    groups = np.array([0, 0, 0, 1, 2, 2])
    weights = np.concatenate(list(patient_weights(groups, 500, seed=1)))
    assert weights.shape == (500, 6)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.all(weights[:, [0, 3, 4]].sum(axis=1) == 3)  # as many patients as there are
    monkeypatch.setattr("training.evaluation.resampling.BLOCK", 7 * 6)
    assert np.array_equal(np.concatenate(list(patient_weights(groups, 500, seed=1))), weights)


def test_the_interval_is_that_of_the_seed_and_holds_the_value():
    whole = sample(3)
    first, again, other = (as_json(measure(whole, DECISIONS, 300, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    for name, estimate in first.items():
        assert estimate["value"] is not None, name
        if name != "ece":
            assert estimate["low"] <= estimate["value"] <= estimate["high"], name
            assert estimate["reason"] is None


def test_the_fast_interval_is_that_of_the_plain_one():
    whole = sample(4)

    def auroc(drawn):
        return float(judge.roc_auc_score(whole.labels[drawn], whole.probabilities[drawn]))

    plain = bootstrap_interval(auroc, [str(group) for group in whole.groups], resamples=1500)
    fast = percentile_interval(resampled(whole, DECISIONS, 1500)["auroc"])
    assert fast == pytest.approx(plain, abs=0.01)


def test_patients_with_many_images_widen_the_interval():
    random = np.random.default_rng(0)
    labels = np.repeat(random.random(40) < 0.4, 10)  # ten images of each patient say the same
    probabilities = np.repeat(np.clip(random.normal(0.4, 0.2, 40), 0, 1), 10)
    grouped = Sample(labels, probabilities, np.repeat(np.arange(40), 10))
    single = Sample(labels, probabilities, np.arange(400))
    widths = [np.diff(percentile_interval(resampled(of, DECISIONS, 500)["auroc"])) for of in (grouped, single)]
    assert widths[0] > 2 * widths[1]


@pytest.mark.parametrize("label", [False, True])
def test_one_class_gives_reasons_instead_of_numbers(label):
    whole = sample(5)
    one = Sample(np.full(200, label), whole.probabilities, whole.groups)
    found = as_json(measure(one, DECISIONS, 50))
    for name in ("auroc", "auprc", "kappa"):
        assert found[name]["value"] is None
        assert found[name]["reason"] == f"no {'normal' if label else 'abnormal'} image"
    assert found["sensitivity" if label else "specificity"]["value"] is not None
    assert found["specificity" if label else "sensitivity"]["value"] is None
    assert found["accuracy"]["low"] is not None
    numbers = [value for estimate in found.values() for value in estimate.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()


def test_nothing_called_abnormal_has_no_precision():
    whole = sample(6)
    found = measure(whole, Decisions(0.2, 1.1, 1.1), 50)
    assert found["precision"].value is None
    assert found["precision"].reason == "no image is called abnormal"
    assert (found["sensitivity"].value, found["kappa"].value, found["f1"].value) == (0, 0, 0)


def test_few_patients_give_no_interval():
    few = sample(7, images=60, patients=MINIMUM_PATIENTS - 1)
    estimate = measure(few, DECISIONS, 50)["auroc"]
    assert estimate.value is not None
    assert (estimate.low, estimate.high) == (None, None)
    assert "patients" in estimate.reason


def test_a_rare_class_gives_no_interval_of_what_needs_it():
    labels = np.arange(60) == 0
    rare = Sample(labels, np.random.default_rng(0).random(60), np.arange(60))
    found = measure(rare, DECISIONS, 400)
    assert found["auroc"].value is not None
    assert found["auroc"].low is None
    assert "resamples" in found["auroc"].reason
    assert found["specificity"].low is not None


def test_thousands_of_images_take_seconds():
    large = sample(8, images=3000, patients=1500)
    started = time.process_time()
    measure(large, DECISIONS)
    assert time.process_time() - started < 10


# --- calibration


def test_calibration_undoes_scale_and_offset():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 8000)
    labels = (random.random(8000) < calibrated_probabilities(logits, 1.0)).astype(float)
    temperature, bias = fit_calibration(logits * 3 + 4, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    assert bias == pytest.approx(-4 / 3, abs=0.15)
    before, after = (
        calibration_summary(p, labels == 1)
        for p in (
            calibrated_probabilities(logits * 3 + 4, 1.0),
            calibrated_probabilities(logits * 3 + 4, temperature, bias),
        )
    )
    assert after["ece"] < 0.03 < before["ece"]
    assert after["ece_equal_mass"] < 0.03
    assert after["brier"] < before["brier"]


def test_the_mean_calibrated_probability_is_the_share_of_abnormal():
    random = np.random.default_rng(1)
    labels = (random.random(4000) < 0.2).astype(float)
    logits = random.normal(3 + 2 * labels, 1.5)  # as after balanced sampling: too high on average
    temperature, bias = fit_calibration(logits, labels)
    assert calibrated_probabilities(logits, temperature, bias).mean() == pytest.approx(labels.mean(), abs=0.005)


def test_a_perfect_network_keeps_a_finite_temperature():
    labels = np.array([0.0] * 30 + [1.0] * 20)
    temperature, bias = fit_calibration(labels * 10 - 5, labels)
    assert 0.1 < temperature < 100
    assert np.isfinite(bias)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.arange(40.0), np.zeros(40), "0 abnormal images"),
        (np.arange(40.0), (np.arange(40) > 36).astype(float), "3 abnormal images"),
        (np.arange(40.0), (np.arange(40) < 20).astype(float), "do not rise with the label"),
        (np.ones(40), (np.arange(40) < 20).astype(float), "all the same"),
        (np.where(np.arange(40) == 3, np.nan, 1.0), (np.arange(40) < 20).astype(float), "not finite"),
    ],
)
def test_a_fit_that_cannot_be_is_refused_in_one_line(logits, labels, message):
    with pytest.raises(ValueError, match=message) as caught:
        fit_calibration(logits, labels)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 120), st.booleans())
def test_operating_points_keep_what_they_promise(seed, images, coarse):
    whole = sample(seed, images=images, coarse=coarse)
    labels, probabilities = whole.labels.astype(float), whole.probabilities
    if whole.classes < 2:
        return
    points = fit_operating_points(probabilities, labels)
    thresholds = candidates(probabilities)
    reached = outcomes(probabilities, labels, thresholds)
    assert (probabilities[labels == 1] >= points.rule_out).mean() >= 0.95
    assert not (reached["sensitivity"][thresholds > points.rule_out] >= 0.95).any()
    assert (probabilities[labels == 0] < points.rule_in).mean() >= 0.95
    lower = thresholds[(thresholds < points.rule_in) & (thresholds >= points.rule_out)]
    assert not any((probabilities[labels == 0] < threshold).mean() >= 0.95 for threshold in lower)
    assert points.rule_out <= points.rule_in


def test_operating_points_of_a_perfect_model_meet_and_need_both_classes():
    points = fit_operating_points(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0, 1, 1]))
    assert 0.2 < points.rule_out <= points.rule_in <= 0.8
    with pytest.raises(ValueError, match="one class"):
        fit_operating_points(np.array([0.1, 0.2]), np.zeros(2))


@pytest.mark.parametrize("seed", range(5))
def test_the_decision_has_the_highest_kappa(seed):
    whole = sample(seed, coarse=bool(seed % 2))
    decision = fit_decision(whole.probabilities, whole.labels.astype(float))
    kappas = [
        judge.cohen_kappa_score(whole.labels, whole.probabilities >= threshold)
        for threshold in candidates(whole.probabilities)
    ]
    best = judge.cohen_kappa_score(whole.labels, whole.probabilities >= decision)
    assert best == pytest.approx(np.nanmax(kappas))


def test_of_equally_good_decisions_the_middle_one_is_taken():
    labels = np.array([0.0, 1, 0, 1, 0, 1])
    probabilities = np.array([0.1, 0.3, 0.4, 0.6, 0.7, 0.9])
    kappa = outcomes(probabilities, labels, candidates(probabilities))["kappa"]
    assert np.allclose(kappa, [0, 1 / 3, 0, 1 / 3, 0, 1 / 3, 0])
    assert fit_decision(probabilities, labels) == pytest.approx(0.5)


def test_rounding_a_threshold_moves_no_image():
    probabilities = np.array([0.12345671, 0.12345679, 0.5])
    threshold = (probabilities[0] + probabilities[1]) / 2
    assert np.array_equal(probabilities >= shortest(threshold, probabilities), probabilities >= threshold)
    assert shortest(0.3456789, probabilities) == 0.3457


def test_bins_hold_every_image_and_agree_with_the_definition():
    whole = sample(9, images=500)
    probabilities = np.append(whole.probabilities, [0.0, 1.0])  # the edges
    labels = np.append(whole.labels, [False, True])
    bins = reliability(probabilities, labels)
    assert sum(entry["images"] for entry in bins) == 502
    expected = 0.0
    for number in range(BINS):
        inside = (probabilities >= number / BINS) & (
            (probabilities < (number + 1) / BINS) | (number == BINS - 1)  # the last bin holds 1
        )
        if inside.any():
            expected += inside.mean() * abs(probabilities[inside].mean() - labels[inside].mean())
    assert expected_calibration_error(bins) == pytest.approx(expected)
    equal = reliability(probabilities, labels, equal_mass=True)
    assert {entry["images"] for entry in equal} <= {33, 34}
    assert len(reliability(np.array([0.5]), np.array([True]), equal_mass=True)) == 1


def test_a_bundle_without_a_decision_decides_at_half():
    points = {"temperature": 1, "image": {"rule_out": 0.2, "rule_in": 0.8}}
    assert decisions_at_level(points, "image") == Decisions(0.2, 0.8, 0.5)
    assert decisions_at_level(points, "study") == Decisions(0.2, 0.8, 0.5)  # no studies fitted: as images
    assert decisions_at_level(points, "image").points.state(0.5) == "doubt"


# --- differences of two models


def pair(seed: int, coarse: bool = False) -> tuple[Sample, Sample]:
    first = sample(seed, images=60, patients=25, coarse=coarse)
    random = np.random.default_rng(seed + 1)
    other = np.clip(first.probabilities + random.normal(0, 0.2, 60), 0, 1)
    return first, Sample(first.labels, np.round(other, 1) if coarse else other, first.groups)


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "tied"])
def test_delong_by_midranks_equals_brute_force(coarse):
    first, second = pair(3, coarse)
    labels = first.labels
    scores = np.stack([first.probabilities, second.probabilities])
    kernel = np.sign(scores[:, labels][:, :, None] - scores[:, ~labels][:, None, :]) / 2 + 0.5  # (model, m, n)
    by_abnormal, by_normal = kernel.mean(axis=2), kernel.mean(axis=1)
    expected = np.cov(by_abnormal) / labels.sum() + np.cov(by_normal) / (~labels).sum()
    areas, covariance = delong_covariance(labels, scores)
    assert areas == pytest.approx([judge.roc_auc_score(labels, of) for of in scores])
    assert covariance == pytest.approx(expected)


def test_delong_s_p_value_is_even_where_nothing_differs():
    random = np.random.default_rng(0)
    values = []
    for _ in range(400):
        labels = np.arange(80) < 30
        signal = labels + random.normal(0, 1, 80)
        values.append(delong_test(labels, *(signal + random.normal(0, 0.7, 80) for _ in range(2)))[1])
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_delong_s_edges():
    first, second = pair(4)
    assert delong_test(first.labels, first.probabilities, first.probabilities) == (0, 1)
    forth = delong_test(first.labels, first.probabilities, second.probabilities)
    back = delong_test(first.labels, second.probabilities, first.probabilities)
    assert forth == pytest.approx((-back[0], back[1]))
    with pytest.raises(ValueError, match="1 abnormal"):
        delong_test(np.arange(60) == 0, first.probabilities, second.probabilities)


def test_permutations_give_the_plain_differences_and_keep_patients_whole():
    first, second = pair(5)
    area, p = auroc_permutation(first, second, 500)
    assert area == pytest.approx(
        judge.roc_auc_score(first.labels, first.probabilities) - judge.roc_auc_score(first.labels, second.probabilities)
    )
    assert 0 < p <= 1
    kappa, p = kappa_permutation(first, second, (0.5, 0.4), 500)
    assert kappa == pytest.approx(
        judge.cohen_kappa_score(first.labels, first.probabilities >= 0.5)
        - judge.cohen_kappa_score(first.labels, second.probabilities >= 0.4)
    )
    assert 0 < p <= 1
    one_patient = Sample(first.labels, first.probabilities, np.zeros(60, int))
    assert auroc_permutation(one_patient, second, 200)[1] == 1  # all or nothing is exchanged: always as extreme
    assert auroc_permutation(first, first, 50) == (0, 1)


def test_permutations_find_a_real_difference_whatever_the_scale():
    good, labels = sample(6, skill=0.5), sample(6).labels
    useless = Sample(labels, np.random.default_rng(1).random(200) / 1000, good.groups)
    assert auroc_permutation(good, useless, 500)[1] < 0.01
    squeezed = Sample(labels, good.probabilities / 1000, good.groups)
    assert auroc_permutation(good, squeezed, 500) == (0, 1)  # the same ranks


def test_the_permutation_s_p_value_is_even_where_nothing_differs():
    random = np.random.default_rng(2)
    values = []
    for _ in range(150):
        labels = np.repeat(np.arange(30) < 12, 2)
        signal = labels + random.normal(0, 1, 60)
        models = [Sample(labels, signal + random.normal(0, 0.7, 60), np.repeat(np.arange(30), 2)) for _ in range(2)]
        values.append(auroc_permutation(*models, 200)[1])
    assert np.mean(np.array(values) < 0.05) < 0.12
    assert np.mean(values) == pytest.approx(0.5, abs=0.1)


# --- overlaps


def test_overlaps():
    a, b = PixelBox(0, 0, 10, 10), PixelBox(5, 0, 15, 10)
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert intersection_over_union(a, PixelBox(20, 20, 30, 30)) == 0
    assert match_boxes([a, a], [a, b], 0.3) == 2
    assert match_boxes([a], [a, b], 0.3) == 1
    assert match_boxes([], [a], 0.3) == 0
    mask = np.zeros((4, 4), bool)
    assert dice(mask, mask) == 1
    assert dice(mask, ~mask) == 0


def test_the_plain_bootstrap_resamples_patients():
    assert bootstrap_interval(lambda i: float(len(i)), ["a"] * 100, resamples=20) == (100, 100)
