"""One run: settings and models first, then the input, then the graph; ends in an exit code and ``result.json``."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from monai.deploy.core import AppContext, Application, RuntimeEnv
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from monai_app.analyser import Analyser, now, open_analyser
from monai_app.app import TIMED, OsteoMapApp
from monai_app.run_report import RunReport
from monai_app.runtime import hide_header_values
from monai_app.settings import SettingsError, embedded_models
from monai_app.stopping import StopRequests
from operators.reading.folder import list_files
from operators.reading.study_index import StudyIndex
from operators.records.errors import BundleError, ImageError, InvalidDicomError, system_error
from operators.records.reasons import FailedReason
from operators.records.sources import SourceImage
from operators.records.states import State
from operators.records.study import ReportedStudy, Study, internal_error
from operators.reporting.finished_studies import FinishedStudies, digest_of
from operators.reporting.output_folder import write_study
from operators.reporting.spool import Spool
from operators.reporting.summaries import ImageSummary, StudySummary

logger = logging.getLogger("osteomap")

ATTEMPTS = 3
Tell: TypeAlias = Callable[[Sequence[StudySummary]], None]


def run(argv: list[str], *, stop: StopRequests | None = None, tell: Tell | None = None, resume: bool = False) -> int:
    """Run the application and return its exit code; usage errors raise SystemExit(2).

    Parameters
    ----------
    argv
        The arguments of the MONAI Deploy App SDK, after the name of the program.
    stop
        Says whether the run is to end early; None: it never is.
    tell
        Is given what became of the studies, at the end.
    resume
        Whether studies that an interrupted run has finished are kept.
    """
    context = _context(argv)
    source = Path(context.input_path)
    try:
        spool = Spool(Path(context.output_path), keeps_arrays=False)
        analyser = open_analyser(context.model_path, spool=spool)
        output = _output_folder(Path(context.output_path), source)
    except (SettingsError, BundleError) as error:
        logger.error("%s", error)
        return 2
    with analyser, _log_beside_the_progress():
        if not _is_readable(source):
            logger.error("no input at %s that may be read; check -i / HOLOSCAN_INPUT_PATH and access rights", source)
            return 2
        _log_models(analyser)
        if stop is not None:
            stop.begin()
        this = _Run(analyser, output, _never if stop is None else stop.requested)
        code = this.run(source, resume=resume)
    if tell is not None:
        tell(this.report.studies)
    return code


def _never() -> bool:
    return False


def _log_beside_the_progress() -> AbstractContextManager[None]:
    """Keep lines of the log and the progress bar of a terminal apart."""
    return logging_redirect_tqdm() if sys.stderr.isatty() else nullcontext()


def _context(argv: list[str]) -> AppContext:
    """Parse the SDK's flags and variables; the embedded bundles are the default models."""
    environment = RuntimeEnv({"model": ("HOLOSCAN_MODEL_PATH", str(embedded_models()))})
    logging.disable(logging.WARNING)  # the SDK logs its arguments, and a path may hold a name
    try:
        return Application.init_app_context(argv, environment)
    finally:
        logging.disable(logging.NOTSET)
        hide_header_values()


def _is_readable(source: Path) -> bool:
    """Say whether the input exists and may be read; of a folder, whether it may be listed."""
    return os.access(source, os.R_OK | os.X_OK if source.is_dir() else os.R_OK)


def _output_folder(output: Path, source: Path) -> Path:
    if output.resolve() == source.resolve():
        raise SettingsError("the output folder is the input folder; name another with -o / HOLOSCAN_OUTPUT_PATH")
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".writable").touch()
        (output / ".writable").unlink()
    except OSError as error:
        raise SettingsError(
            f"{output}: cannot be written to ({type(error).__name__}); check -o / HOLOSCAN_OUTPUT_PATH"
        ) from error
    return output.resolve()


class _Run:
    """One run over an input: index, graph, report; its methods are its steps, in order."""

    def __init__(self, analyser: Analyser, output: Path, stopped: Callable[[], bool]) -> None:
        description = analyser.description
        self.started = time.perf_counter()
        self.analyser = analyser
        self.output = output
        self.stopped = stopped
        description = replace(description, provenance=replace(description.provenance, now=now()))
        self.report = RunReport(output, description, analyser.settings.report.pictures)
        self.finished = FinishedStudies(output, analyser.identity)
        self.sources: dict[str | None, str | None] = {}  # study -> digest of its files when its analysis began
        self.seconds: dict[str, float] = {}

    def run(self, source: Path, *, resume: bool) -> int:
        """Analyse all studies of an input and write what they came to; return the exit code."""
        if not resume:
            self.finished.clear()
        files = tqdm(list_files(source.resolve(), left_out=self.output), unit="file", disable=not sys.stderr.isatty())
        with self.analyser.index(takewhile(lambda _: not self.stopped(), files)) as index:
            self.seconds["read"] = time.perf_counter() - self.started
            cut_short = self.stopped()
            _log_input(index)
            self.report.expect(len(index.study_uids), index.files, index.ignored)
            if resume:
                self._add_finished(index)
            self._run_graph(index)
            lost = self._add_lost(index)
        missing = self.report.missing_files()
        for name in missing:
            logger.critical("%s was not written; please report it", name)
        return self._write(1 if lost or missing or cut_short else self.report.exit_code())

    def _add_finished(self, index: StudyIndex) -> None:
        """Add the studies that an earlier run has finished, if they are current."""
        for uid in index.study_uids:
            if uid is not None and uid in self.finished:
                found = self.finished.find(uid, digest_of(index.study(uid, now)))
                if found is not None:
                    self.report.add_finished(found)
        logger.info("%d of %d studies are finished and current", len(self.report.studies), len(index.study_uids))

    def _studies(self, index: StudyIndex) -> Iterator[Study[SourceImage]]:
        """Yield the studies that are to be analysed."""
        done = {study.study_instance_uid for study in self.report.studies}
        for uid in index.study_uids:
            if uid not in done:
                study = index.study(uid, now)
                self.sources[uid] = digest_of(study)
                yield study

    def _collect(self, index: StudyIndex, reported: ReportedStudy) -> None:
        """Write a study and add it to the report."""
        uid = reported.study.study_instance_uid
        try:
            done = self.report.add(reported, write_study(reported, self.output))
            self.finished.keep(done, self.sources.get(uid))
        except OSError:
            raise  # the disk is full, or the folder gone: so it is for the next study
        except Exception as error:  # noqa: BLE001 - a mistake of ours costs one study, not the run
            self.report.add_lost(_lost_study(index, uid, internal_error(error, f"study {uid}")))

    def _run_graph(self, index: StudyIndex) -> None:
        """Run the graph and add up the seconds of its parts.

        Holoscan's event-based scheduler (4.2) ended 1 of 12,000 small graphs before the first message was delivered:
        such a graph is run again. One that ended later is not.
        """
        collect = partial(self._collect, index)
        for attempt in range(ATTEMPTS if len(index.study_uids) > len(self.report.studies) else 0):
            if attempt:
                logger.warning("the scheduler ended before the first study was delivered; trying again")
            application = OsteoMapApp(
                *(self.analyser.stages, self._studies(index), collect),
                stopped=self.stopped,
                passed=self.report.image_done,
            )
            succeeded = _run_once(application)
            for name, value in application.seconds().items():
                self.seconds[name] = self.seconds.get(name, 0.0) + value
            if application.started or self.stopped() or not succeeded:
                break

    def _add_lost(self, index: StudyIndex) -> int:
        """Account for the studies that the run did not finish; return how many they are."""
        finished = {study.study_instance_uid for study in self.report.studies}
        lost = [uid for uid in index.study_uids if uid not in finished]
        again = "run it again; osteomap --resume keeps what is finished"
        reason, what = FailedReason.INTERNAL_ERROR, "ended"
        if self.stopped():
            reason, what = FailedReason.STOPPED, "was stopped"
            logger.error("stopped: %d studies are finished, %d are not; %s", len(finished), len(lost), again)
        ended = InvalidDicomError(reason, f"the run {what} before this study was finished; {again}")
        for uid in lost:
            self.report.add_lost(_lost_study(index, uid, ended))
        return len(lost)

    def _write(self, code: int) -> int:
        """Write report and result; return the exit code."""
        self.seconds["total"] = time.perf_counter() - self.started
        try:
            self.report.write(code, {name: self.seconds.get(name, 0.0) for name in ("total", *TIMED)})
        except OSError as error:
            told = "the result cannot be written to %s (%s); free space and run again"
            logger.critical(told, self.output, _cause(error))
            return 1
        if code != 1:
            self.finished.clear()
        _log_outcome(self.report, code)
        return code


def _log_input(index: StudyIndex) -> None:
    studies, ignored = len(index.study_uids), index.ignored_files
    logger.info("%d images of %d studies, %d other files", index.files, studies, ignored)
    for kind, number in index.ignored.items():
        if kind is not None:
            logger.info("%d of the other files: %s", number, kind.replace("_", " "))


def _log_models(analyser: Analyser) -> None:
    for model in analyser.provenance.models:
        logger.debug("model %s %s, sha256 %s", model.name, model.version, model.sha256)
    logger.debug("settings %s", analyser.settings)


def _lost_study(index: StudyIndex, uid: str | None, error: ImageError) -> StudySummary:
    """Return what is told of a study of which nothing is written."""
    images = tuple(ImageSummary(name, None, *error.outcome, None, None, None, None) for name in index.file_names(uid))
    return StudySummary(uid, None, State.FAILED, None, (), images)


def _run_once(application: OsteoMapApp) -> bool:
    """Run the graph; log the error that ended it, if any, and return whether there was none."""
    try:
        application.run()
    except Exception as error:  # noqa: BLE001 - the edge of the process: what is done is kept and told
        logger.critical("an internal error ended the run early (%s); free space or report it", _cause(error))
        logger.debug("where:\n%s", "".join(traceback.format_tb(error.__traceback__)))  # its text may quote a header
        return False
    return True


def _cause(error: Exception) -> str:
    system = system_error(error)
    return type(error).__name__ if system is None else str(system.strerror)


def _log_outcome(report: RunReport, code: int) -> None:
    counts = report.counts
    if code == 4:
        logger.error("no DICOM image was found in the input (%d other files)", counts["ignored_files"])
    logger.info("%s", ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items()))
    if counts["failed"]:
        logger.error(
            "%d of %d images failed; result.json names each with its reason", counts["failed"], counts["images"]
        )
    logger.info("open report.html in the output folder")
    sys.stderr.flush()
