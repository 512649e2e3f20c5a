"""An evaluation as tables: the same rows as Markdown and in the HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.resampling import MINIMUM_PATIENTS
from training.evaluation.text_tables import Table, display_name, number, short, with_interval

METRICS = ("auroc", "auprc", "sensitivity", "specificity", "accuracy", "precision", "f1", "kappa")
AT_POINTS = (
    "sensitivity_at_rule_out",
    "specificity_at_rule_out",
    "sensitivity_at_rule_in",
    "specificity_at_rule_in",
)
THRESHOLDS = {"rule_out": "rule-out", "decision": "decision", "rule_in": "rule-in"}


def evaluation_tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """Return the tables of an evaluation, in the order of the page."""
    tables = [_counts(evaluation), _overall(evaluation), _papers(evaluation["papers"])]
    for level, strata in evaluation["levels"].items():
        tables += [_subgroups(level, name, strata[name]) for name in strata if name != "overall"]
    return [*tables, _states(evaluation["states_by_label"]), _calibration(evaluation["calibration"])]


def identity(evaluation: Mapping[str, Any]) -> list[str]:
    """Return what was evaluated, in sentences: name and version, sha256, from where, when, and the training."""
    weights, name = evaluation["weights"], f"{evaluation['model']} {evaluation['version']}"
    if weights is None:
        return [f"Evaluated: {name}."]
    digest = f", weights sha256 {evaluation['sha256']}" if evaluation["sha256"] else ""
    sentences = [
        f"Evaluated: {name}{digest}, from {weights['file']} (written {weights['written']}), "
        f"on {evaluation['evaluated_at']}."
    ]
    if weights["training"] is None:
        sentences.append("The training that the weights come from is not recorded, so no curve of it is shown.")
    else:
        missing = "" if weights["history"] else "; its curve is not recorded"
        sentences.append(f"The weights come from the training {weights['training']}{missing}.")
    if not evaluation["fitted"]:
        sentences.append(
            "Nothing was fitted to these weights: probabilities are the network's own output, all thresholds .5."
        )
    return sentences


def _counts(evaluation: Mapping[str, Any]) -> Table:
    data = evaluation["data"]
    if evaluation["data_sha256"]:
        data += f" (manifest {evaluation['data_sha256'][:12]})"
    names = ("images", "abnormal", "studies", "patients")
    return Table(
        f"{evaluation['model']} {evaluation['version']} on {data}, split {evaluation['split']}",
        tuple(name if name != "abnormal" else "abnormal images" for name in names),
        (tuple(str(evaluation[name]) for name in names),),
        " ".join(identity(evaluation)),
    )


def _overall(evaluation: Mapping[str, Any]) -> Table:
    strata = [level["overall"] for level in evaluation["levels"].values()]
    rows = [
        (display_name(metric), *(with_interval(stratum["metrics"][metric]) for stratum in strata))
        for metric in (*METRICS, *AT_POINTS, "brier", "ece")
    ]
    header = [f"{level} level (n = {strata['overall']['n']})" for level, strata in evaluation["levels"].items()]
    few = evaluation["patients"] < MINIMUM_PATIENTS
    intervals = f"95 % intervals over {evaluation['bootstrap']['resamples']} resamples of patients"
    note = (
        f"{f'No intervals: fewer than {MINIMUM_PATIENTS} patients' if few else intervals}. Accuracy, sensitivity "
        "(recall), specificity, precision, F1 and kappa are those of one threshold, the decision, chosen on val for "
        f"the highest kappa (.5 where none is fitted). {thresholds(evaluation['operating_points'])}. A study's "
        "probability is the mean of its images'; it is abnormal if one of them is."
    )
    return Table("All images and studies", ("metric", *header), tuple(rows), note)


def thresholds(points: Mapping[str, Any]) -> str:
    """Return the thresholds of both levels as text."""
    texts = []
    for level in (level for level in ("image", "study") if level in points):
        fitted = {"decision": 0.5, **points[level]}
        shown = (f"{name} {number(fitted[key])}" for key, name in THRESHOLDS.items())
        texts.append(f"{level.capitalize()} level: {', '.join(shown)}")
    return "; ".join(texts)


def _papers(papers: Mapping[str, Any]) -> Table:
    kinds = [kind for kind in papers if kind not in ("level", "threshold")]
    rows = [(display_name(kind), *(with_interval(papers[kind][name]) for name in papers[kind])) for kind in kinds]
    return Table(
        "The papers' numbers in their own way",
        ("images at probability .5 of", *papers[kinds[0]]),
        tuple(rows),
        "The papers calibrate nothing and choose no threshold: compare them with the first row.",
    )


def _subgroups(level: str, subgroup: str, strata: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            *(str(stratum[count]) for count in ("n", "abnormal", "patients")),
            *(short(stratum["metrics"][metric]) for metric in METRICS),
        )
        for name, stratum in strata.items()
    ]
    header = (display_name(subgroup), "n", "abnormal", "patients", *(display_name(metric) for metric in METRICS))
    note = (
        "No interval below ten patients; a dash where a class is missing or nothing is called abnormal. An interval "
        "without width says only that no error was seen."
    )
    return Table(f"By {display_name(subgroup)}, {level} level", header, tuple(rows), note)


def _states(states: Mapping[str, Mapping[str, int]]) -> Table:
    rows = tuple(
        (label, *(str(counts[state]) for state in ("normal", "doubt", "abnormal"))) for label, counts in states.items()
    )
    return Table("States by label, images", ("label", "called normal", "doubt", "called abnormal"), rows)


def _calibration(calibration: Mapping[str, Any]) -> Table:
    names = {"brier": "Brier score", "ece": "ECE, 15 equally wide bins", "ece_equal_mass": "ECE, 15 equally full bins"}
    rows = tuple((kind, *(number(measures[name]) for name in names)) for kind, measures in calibration.items())
    return Table("Calibration, images", ("calibration", *names.values()), rows)
