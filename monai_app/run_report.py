"""What a run leaves beside the objects: ``report.html``, ``result.csv`` and ``result.json``, which is written last."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_app import __version__
from operators.records.provenance import APPLICATION
from operators.records.run_description import RunDescription
from operators.records.sources import Ignored
from operators.records.states import State
from operators.records.study import ReportedStudy
from operators.reporting.finished_studies import FinishedStudy
from operators.reporting.output_folder import (
    LIST,
    REPORT,
    RESULT,
    RUN_FILES,
    remove_objects,
    remove_unfinished,
    study_folder,
    write_atomically,
)
from operators.reporting.page import render_foot, render_head, render_study, render_unfinished, worst_first
from operators.reporting.result_list import as_csv
from operators.reporting.summaries import ImageSummary, StudySummary

logger = logging.getLogger("osteomap")


class RunReport:
    """The report of a run; it holds numbers and names only, so that memory stays flat.

    Parameters
    ----------
    output
        The output folder.
    description
        What the report says of the run.
    pictures
        How many images the report shows with pictures.
    """

    def __init__(self, output: Path, description: RunDescription, pictures: int) -> None:
        self.output = output
        self.description = description
        self.ignored: Counter[Ignored | None] = Counter()
        self.studies: list[StudySummary] = []
        self._pictures_left = pictures
        self._parts = tempfile.TemporaryFile(dir=output)  # noqa: SIM115 - holds pictures; gone with the process
        self._sections: dict[str | None, tuple[int, int]] = {}  # study -> offset and bytes of its section in the parts
        self._expected = 0
        self._progress: tqdm[Any] | None = None
        remove_unfinished(output)
        for name in RUN_FILES:  # of an earlier run: a run that is killed must not seem to have ended
            (output / name).unlink(missing_ok=True)

    def expect(self, studies: int, images: int, ignored: Counter[Ignored | None]) -> None:
        """Learn how many studies and images the input has, and how many files are passed over, by the reason."""
        self._expected = studies
        self.ignored = ignored
        if sys.stderr.isatty():
            self._progress = tqdm(total=images, unit="image", dynamic_ncols=True)

    def add(self, reported: ReportedStudy, summary: StudySummary) -> FinishedStudy:
        """Add the section of a study whose objects are written, and return what another run may need of it."""
        section = render_study(reported, summary, self.description, self._pictures_left).encode()
        finished = FinishedStudy(summary, section, min(self._pictures_left, len(reported.study.included)))
        self._add(finished)
        if self._progress is None:
            logger.info("study %d of %d: %s", len(self.studies), self._expected, summary.state)
        return finished

    def add_finished(self, finished: FinishedStudy) -> None:
        """Add a study that an earlier run has finished."""
        self._add(finished)
        if self._progress is not None:
            self._progress.update(len(finished.summary.images))

    def _add(self, finished: FinishedStudy) -> None:
        self._sections[finished.summary.study_instance_uid] = (self._parts.tell(), len(finished.section))
        self._parts.write(finished.section)
        self._pictures_left = max(0, self._pictures_left - finished.pictures)
        self.studies.append(finished.summary)

    def image_done(self) -> None:
        """Move the progress bar on."""
        if self._progress is not None:
            self._progress.update()

    def add_lost(self, summary: StudySummary) -> None:
        """Account for a study that the run did not finish."""
        if summary.study_instance_uid is not None:
            remove_objects(self.output / study_folder(summary.study_instance_uid))
        self.studies.append(summary)

    def missing_files(self) -> list[str]:
        """Return the artefacts that should exist and do not."""
        expected = [written.file for study in self.studies for written in study.outputs]
        return [name for name in expected if not (self.output / name).is_file()]

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts of ``result.json``."""
        images = [image for study in self.studies for image in study.images]
        states = Counter(image.state for image in images)
        named = sum(study.study_instance_uid is not None for study in self.studies)
        return (
            {"studies": named, "images": len(images)}
            | {str(state): states[state] for state in State}
            | {"ignored_files": self.ignored.total()}
            | {f"ignored_{kind}": self.ignored[kind] for kind in Ignored}
        )

    def exit_code(self) -> int:
        """Return 0, 3 or 4 for a run that came to its end (INTERFACE: exit codes)."""
        counts = self.counts
        if counts["images"] == 0:
            return 4
        return 3 if counts["failed"] else 0

    def write(self, exit_code: int, seconds: Mapping[str, float]) -> None:
        """Write the report, the list of images and, last, ``result.json``."""
        if self._progress is not None:
            self._progress.close()
        counts = self.counts

        def write_report(file: Any) -> None:
            file.write(render_head(self.description, counts, self.studies).encode())
            for study in worst_first(self.studies):
                file.write(self._section(study))
            file.write(render_foot(self.description).encode())

        write_atomically(self.output / REPORT, write_report)
        self._parts.close()
        write_atomically(self.output / LIST, lambda file: file.write(as_csv(self.studies)))
        text = json.dumps(self.as_json(exit_code, seconds), indent=1, allow_nan=False) + "\n"
        write_atomically(self.output / RESULT, lambda file: file.write(text.encode()))

    def _section(self, study: StudySummary) -> bytes:
        """Return the section of a study."""
        if study.study_instance_uid not in self._sections:
            return render_unfinished(study, self.description).encode()
        start, size = self._sections[study.study_instance_uid]
        self._parts.seek(start)
        return self._parts.read(size)

    def as_json(self, exit_code: int, seconds: Mapping[str, float]) -> dict[str, Any]:
        """Return what ``result.json`` holds; ``result.schema.json`` is the authority."""
        provenance = self.description.provenance
        return {
            "schema_version": 1,
            "application": {"name": APPLICATION, "version": __version__, "research_use_only": True},
            "models": [
                {"bundle": model.name, "version": model.version, "sha256": model.sha256} for model in provenance.models
            ],
            "started_at": provenance.now.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            "exit_code": exit_code,
            "counts": self.counts,
            "studies": [_study_json(study) for study in self.studies],
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }


def _rounded(value: float | None) -> float | None:
    """Return a number without the digits that only binary arithmetic adds."""
    return None if value is None else round(value, 6)


def _study_json(study: StudySummary) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "folder": study.folder,
        "state": study.state,
        "probability": _rounded(study.probability),
        "outputs": [dataclasses.asdict(written) for written in study.outputs],
        "images": [_image_json(image) for image in study.images],
    }


def _image_json(image: ImageSummary) -> dict[str, Any]:
    plain = {field.name: getattr(image, field.name) for field in dataclasses.fields(image)}
    return plain | {
        "probability": _rounded(image.probability),
        "boxes": [dataclasses.asdict(box) | {"score": _rounded(score)} for box, score in image.boxes],
        "masks": [
            {"area_px": area, "area_mm2": _rounded(area_mm2), "predicted_iou": _rounded(iou)}
            for area, area_mm2, iou in image.masks
        ],
        "outputs": list(image.outputs),
        "doubts": list(image.doubts),
    }
