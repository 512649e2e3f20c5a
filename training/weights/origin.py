"""Where weights come from: the file, when it was written, the training that made them and its curve."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operators.networks.bundle import Bundle
from operators.networks.verification import METADATA
from operators.networks.weights import WEIGHTS, sha256
from training.learning.history import HISTORY

CARD = "docs/README.md"
RECORD = "training"  # the key of a bundle's metadata


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from.

    Parameters
    ----------
    file
        What was opened, by the path that was given.
    written
        When that file was last written, UTC.
    training
        The training that made the weights; None where it is not recorded.
    history
        The ``history.csv`` of that very training; None where there is none.
    """

    file: str
    written: str
    training: str | None = None
    history: str | None = None


def utc(moment: datetime) -> str:
    """Return a moment as text, to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def last_written(file: Path) -> str:
    """Return when a file was last written."""
    return utc(datetime.fromtimestamp(file.stat().st_mtime, UTC))


def shown(path: Path) -> str:
    """Return a path as a page shows it: from the working directory, if it lies there."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def checkpoint_origin(checkpoint: Path) -> Origin:
    """Return the origin of a checkpoint: a training writes its curve into the folder of its checkpoints."""
    history = checkpoint.parent / HISTORY
    known = history.is_file()
    return Origin(
        shown(checkpoint),
        last_written(checkpoint),
        shown(checkpoint.parent) if known else None,
        shown(history) if known else None,
    )


def bundle_origin(bundle_root: Path, bundle: Bundle) -> Origin:
    """Return the origin of a bundle's weights, as its metadata record it of these very weights."""
    weights, record = bundle_root / WEIGHTS, bundle.metadata.get(RECORD, {})
    if record.get("weights_sha256") != bundle.sha256:
        return Origin(shown(weights), last_written(weights))
    made_of = ", ".join(f"{each['file']} (written {each['written']})" for each in record["checkpoints"])
    history = bundle_root / "docs" / HISTORY
    own = history.is_file() and sha256(history) == record.get("history_sha256")
    return Origin(shown(weights), last_written(weights), made_of, shown(history) if own else None)


def record_training(bundle_root: Path, checkpoints: Sequence[Path]) -> None:
    """Write into a bundle what its weights were made of, and the curve of that training in place of any other.

    Several checkpoints, of which the weights are the mean, have no one curve. Of a path its last two parts are
    written, which tell nothing of the machine.
    """
    history = bundle_root / "docs" / HISTORY
    history.unlink(missing_ok=True)
    source = checkpoints[0].parent / HISTORY
    if len(checkpoints) == 1 and source.is_file():
        history.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, history)
    file = bundle_root / METADATA
    metadata = json.loads(file.read_text("utf-8"))
    metadata[RECORD] = {
        "weights_sha256": sha256(bundle_root / WEIGHTS),
        "history_sha256": sha256(history) if history.is_file() else None,
        "checkpoints": [
            {"file": "/".join(each.parts[-2:]), "sha256": sha256(each), "written": last_written(each)}
            for each in checkpoints
        ],
    }
    file.write_text(json.dumps(metadata, indent=4) + "\n", "utf-8")


def write_card(bundle_root: Path, base: str) -> None:
    """Write the card of a bundle of one's own, made from the bundle ``base``, whose card tells of other weights."""
    metadata = json.loads((bundle_root / METADATA).read_text("utf-8"))
    record: Mapping[str, Any] = metadata[RECORD]
    rows = [("made from", f"the bundle `{base}` of OsteoMAP, version {metadata['version']}")]
    rows += [("weights", f"`{WEIGHTS}`, sha256 `{record['weights_sha256']}`")]
    for each in record["checkpoints"]:
        rows.append(("training", f"checkpoint `{each['file']}`, written {each['written']}, sha256 `{each['sha256']}`"))
    course = f"[{HISTORY}]({HISTORY})" if record["history_sha256"] else "not recorded"
    rows.append(("course of the training", course))
    text = f"# {bundle_root.resolve().name}\n\n**Research use only.** {metadata['description']}.\n\n| | |\n|---|---|\n"
    text += "".join(f"| {name} | {value} |\n" for name, value in rows)
    text += (
        "\nCalibration, operating points and boxes: `python -m training.fit` writes them into `configs/metadata.json`."
        " Figures of these weights come from `configs/evaluate.json`; those of other weights say nothing of them.\n"
    )
    (bundle_root / CARD).write_text(text, "utf-8")
