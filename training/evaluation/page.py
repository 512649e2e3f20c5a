"""An evaluation -> one self-contained HTML page; no script, no font and no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from matplotlib.figure import Figure

from operators.records.provenance import RESEARCH_USE_ONLY
from training.evaluation import plots
from training.evaluation.calibration import decisions_at_level
from training.evaluation.evaluation_tables import evaluation_tables, identity
from training.evaluation.figures import data_uri, png
from training.evaluation.scored_images import ScoredImage, sample_from
from training.evaluation.text_tables import display_name, interval_note, value_and_interval

TEMPLATES = Environment(
    loader=PackageLoader("training.evaluation"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["value_and_interval"] = value_and_interval


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a page: its data URI and what it shows."""

    uri: str
    caption: str


def render_evaluation(evaluation: Mapping[str, Any], scores: Sequence[ScoredImage]) -> str:
    """Return the page of an evaluation.

    Parameters
    ----------
    evaluation
        What ``evaluate`` returns; the history that its weights name is drawn.

    Raises
    ------
    InputError
        If the history cannot be read.
    """
    return TEMPLATES.get_template("evaluation.html").render(
        title=f"Evaluation of {evaluation['model']}",
        evaluation=evaluation,
        identity=identity(evaluation),
        tables=evaluation_tables(evaluation),
        pictures=_pictures(evaluation, scores),
        research_use_only=RESEARCH_USE_ONLY,
    )


def picture(figure: Figure | bytes, caption: str) -> Picture:
    """Return a figure, or its PNG, as a picture of a page."""
    return Picture(data_uri(figure if isinstance(figure, bytes) else png(figure)), caption)


def _pictures(evaluation: Mapping[str, Any], scores: Sequence[ScoredImage]) -> list[Picture]:
    sample = sample_from(scores)
    decisions = decisions_at_level(evaluation["operating_points"], "image")
    points = {"rule-out": decisions.rule_out, "decision": decisions.decision, "rule-in": decisions.rule_in}
    pictures = []
    weights = evaluation["weights"]
    if weights is not None and weights["history"] is not None:
        caption = f"Training {weights['training']}: losses (broken) and scores (solid)"
        pictures.append(picture(plots.training_curves(Path(weights["history"])), caption))
    if sample.classes == 2:
        resamples = evaluation["bootstrap"]["resamples"]
        pictures += [
            picture(plots.roc(sample, points, resamples), "ROC of all images, with the operating points"),
            picture(plots.precision_recall(sample), "Precision and recall of all images"),
        ]
    parts = {
        f"{name.replace('_', ' ')}\nn = {stratum['n']}": stratum["metrics"]
        for name, stratum in evaluation["levels"]["image"]["body_part"].items()
    }
    metrics = {name: display_name(name) for name in ("auroc", "kappa", "sensitivity")}
    return [
        *pictures,
        picture(plots.reliability_diagram(evaluation["calibration"]), "Reliability before and after calibration"),
        picture(plots.confusion(evaluation["states_by_label"]), "States against labels, images"),
        picture(plots.probabilities(sample, points), "Probabilities of normal and abnormal images"),
        picture(
            plots.bars(parts, metrics, "By body part, images"),
            f"By body part, image level, {interval_note(parts.values(), metrics)}",
        ),
    ]
