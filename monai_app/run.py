"""One run: settings and models first, then the input, then the graph; ends in an exit code and ``result.json``."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from monai.deploy.core import AppContext, Application, RuntimeEnv
from tqdm import tqdm

from monai_app.analyser import Analyser, now, open_analyser
from monai_app.app import TIMED, OsteoMapApp
from monai_app.run_report import RunReport
from monai_app.runtime import hide_header_values
from monai_app.settings import SettingsError, embedded_models
from operators.reading.folder import list_files
from operators.reading.study_index import StudyIndex
from operators.records.errors import BundleError, ImageError, InvalidDicomError, system_error
from operators.records.reasons import FailedReason
from operators.records.states import State
from operators.records.study import ReportedStudy, internal_error
from operators.reporting.output_folder import write_study
from operators.reporting.spool import Spool
from operators.reporting.summaries import ImageSummary, StudySummary

logger = logging.getLogger("osteomap")

ATTEMPTS = 3
Tell: TypeAlias = Callable[[Sequence[StudySummary]], None]


def run(argv: list[str], *, tell: Tell | None = None) -> int:
    """Run the application and return its exit code; usage errors raise SystemExit(2).

    Parameters
    ----------
    argv
        The arguments of the MONAI Deploy App SDK, after the name of the program.
    tell
        Is given what became of the studies, at the end.
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
    with analyser:
        if not _is_readable(source):
            logger.error("no input at %s that may be read; check -i / HOLOSCAN_INPUT_PATH and access rights", source)
            return 2
        return _analyse(analyser, source, output, tell)


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


def _analyse(analyser: Analyser, source: Path, output: Path, tell: Tell | None) -> int:
    """Index the input, run the graph, write the report; return the exit code."""
    started = time.perf_counter()
    description = analyser.description
    description = replace(description, provenance=replace(description.provenance, now=now()))
    for model in description.provenance.models:
        logger.debug("model %s %s, sha256 %s", model.name, model.version, model.sha256)
    logger.debug("settings %s", analyser.settings)
    report = RunReport(output, description, analyser.settings.report.pictures)
    files = tqdm(list_files(source.resolve(), left_out=output), unit="file", disable=not sys.stderr.isatty())
    with analyser.index(files) as index:
        seconds = {"read": time.perf_counter() - started}
        uids = index.study_uids
        logger.info("%d images of %d studies, %d other files", index.files, len(uids), index.ignored_files)
        for kind, number in index.ignored.items():
            if kind is not None:
                logger.info("%d of the other files: %s", number, kind.replace("_", " "))
        report.expect(len(uids), index.ignored)

        def collect(reported: ReportedStudy) -> None:
            try:
                report.add(reported, write_study(reported, output))
            except OSError:
                raise  # the disk is full, or the folder gone: so it is for the next study
            except Exception as error:  # noqa: BLE001 - a mistake of ours costs one study, not the run
                uid = reported.study.study_instance_uid
                report.add_lost(_lost_study(index, uid, internal_error(error, f"study {uid}")))

        def graph() -> OsteoMapApp:
            return OsteoMapApp(analyser.stages, index.studies(now), collect)

        _run_graph(graph, seconds, attempts=ATTEMPTS if uids else 0)
        lost = _add_lost_studies(index, report)
    missing = report.missing_files()
    for name in missing:
        logger.critical("%s was not written; please report it", name)
    code = 1 if lost or missing else report.exit_code()
    seconds["total"] = time.perf_counter() - started
    try:
        report.write(code, {name: seconds.get(name, 0.0) for name in ("total", *TIMED)})
    except OSError as error:
        logger.critical("the result cannot be written to %s (%s); free space and run again", output, _cause(error))
        return 1
    _log_outcome(report, code)
    if tell is not None:
        tell(report.studies)
    return code


def _run_graph(graph: Callable[[], OsteoMapApp], seconds: dict[str, float], attempts: int) -> None:
    """Run the graph and add up the seconds of its parts.

    Holoscan's event-based scheduler (4.2) ended 1 of 12,000 small graphs before the first message was delivered: such a
    graph is run again. One that was stopped later, by SIGTERM for example, is not.
    """
    for attempt in range(attempts):
        if attempt:
            logger.warning("the scheduler ended before the first study was delivered; trying again")
        application = graph()
        succeeded = _run_once(application)
        for name, value in application.seconds().items():
            seconds[name] = seconds.get(name, 0.0) + value
        if application.started or not succeeded:
            break


def _add_lost_studies(index: StudyIndex, report: RunReport) -> int:
    """Account for the studies that the run did not finish; return how many they are."""
    finished = {study.study_instance_uid for study in report.studies}
    lost = [uid for uid in index.study_uids if uid not in finished]
    ended = InvalidDicomError(FailedReason.INTERNAL_ERROR, "the run ended before this study was finished; run it again")
    for uid in lost:
        report.add_lost(_lost_study(index, uid, ended))
    return len(lost)


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
