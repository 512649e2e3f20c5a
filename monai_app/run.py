"""One run: settings and models first, then the input, then the graph; ends in an exit code and ``result.json``."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from monai.deploy.core import AppContext, Application, RuntimeEnv
from tqdm import tqdm

from monai_app import __version__
from monai_app.app import OsteoMapApp, Stages
from monai_app.result import RunResult
from monai_app.rules import map_rule, shaping
from monai_app.settings import Settings, SettingsError, embedded_models, read_settings
from operators.classification.classify import image_points, study_points
from operators.networks.bundle import Bundle
from operators.networks.loading import load_classifier, load_segmenter
from operators.reading.decoder import Decoder
from operators.reading.dicom_file import NotDicomError
from operators.reading.folder import FolderIndex, HeaderReader, index_files, list_files, read_studies
from operators.records.errors import BundleError
from operators.records.provenance import Model, Provenance
from operators.records.reasons import FailedReason
from operators.records.sources import HeaderReply
from operators.reporting.page import Page
from operators.reporting.summaries import ImageSummary, StudySummary

logger = logging.getLogger("osteomap")

ATTEMPTS = 3


def run(argv: list[str]) -> int:
    """Run the application on the SDK's arguments and return its exit code; usage errors raise SystemExit(2)."""
    context = _context(argv)
    try:
        settings = read_settings()
        models = Path(context.model_path)
        classifiers = tuple(load_classifier(models / name) for name in settings.classification.bundles)
        segmenter = load_segmenter(models / settings.segmentation.bundle, settings.segmentation.checkpoint)
        map_rule(settings, classifiers[0])  # refuses what this bundle cannot give
        output = _output_folder(Path(context.output_path), Path(context.input_path))
    except (SettingsError, BundleError) as error:
        logger.error("%s", error)
        return 2
    source = Path(context.input_path)
    if not source.exists():
        logger.error("no input at %s; check -i / HOLOSCAN_INPUT_PATH", source)
        return 2
    return _analyse(source, output, settings, classifiers, segmenter)


def _context(argv: list[str]) -> AppContext:
    """Parse the SDK's flags and variables; the embedded bundles are the default models."""
    environment = RuntimeEnv({"model": ("HOLOSCAN_MODEL_PATH", str(embedded_models()))})
    logging.disable(logging.WARNING)  # the SDK logs its arguments, and a path may hold a name
    try:
        return Application.init_app_context(argv, environment)
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its texts quote values of headers
        logging.getLogger("highdicom").setLevel(logging.ERROR)


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


def _analyse(source: Path, output: Path, settings: Settings, classifiers: tuple[Bundle, ...], segmenter: Bundle) -> int:
    started = time.perf_counter()
    provenance = _provenance(classifiers, segmenter, shaping(settings))
    said_once = dict.fromkeys(limit for bundle in (*classifiers, segmenter) for limit in bundle.metadata["limits"])
    points = study_points(*classifiers), image_points(*classifiers)
    page = Page(provenance, *points, tuple(said_once), settings.report.patient_data)
    result = RunResult(output, page, settings.report.pictures)
    limits = settings.radiographs
    with (
        Decoder(limits.decoder_timeout_s, limits.decoder_memory_mib) as headers,
        Decoder(limits.decoder_timeout_s, limits.decoder_memory_mib) as pixels,
    ):
        read_header = _header_reader(headers)
        files_found = list_files(source.resolve(), left_out=output)
        index = index_files(tqdm(files_found, unit="file", disable=not sys.stderr.isatty()), read_header)
        seconds = {"total": 0.0, "read": time.perf_counter() - started}
        files = sum(len(entries) for entries in index.studies.values())
        logger.info("%d DICOM files of %d studies, %d other files", files, len(index.studies), index.ignored_files)
        result.expect(len(index.studies), index.ignored_files)

        def graph() -> OsteoMapApp:
            studies = read_studies(index, read_header)
            return OsteoMapApp(Stages(settings, classifiers, segmenter, page, pixels, studies, result.collect))

        code = _run_graph(graph, index, result, seconds)
    seconds["total"] = time.perf_counter() - started
    stages_timed = ("total", "read", "classify", "localize", "segment", "write")
    try:
        result.write(code, {name: seconds.get(name, 0.0) for name in stages_timed})
    except OSError as error:
        logger.critical("the result cannot be written to %s (%s); free space and run again", output, error.strerror)
        return 1
    _say_what_happened(result, code)
    return code


def _run_graph(
    graph: Callable[[], OsteoMapApp], index: FolderIndex, result: RunResult, seconds: dict[str, float]
) -> int:
    """Run the graph, account for every study and return the exit code.

    Holoscan's event-based scheduler (4.2) ended 1 of 12,000 small graphs before the first message was delivered: such a
    graph is run again. One that was stopped later, by SIGTERM for example, is not.
    """
    for attempt in range(ATTEMPTS if index.studies else 0):
        if attempt:
            logger.warning("the scheduler ended before the first study was delivered; trying again")
        application = graph()
        succeeded = _run_once(application)
        for name, value in application.seconds().items():
            seconds[name] = seconds.get(name, 0.0) + value
        if application.started or not succeeded:
            break
    finished = {study.study_instance_uid for study in result.studies}
    lost = [uid for uid in index.studies if uid not in finished]
    for uid in lost:
        detail = "the run ended before this study was finished; run it again"
        images = tuple(
            ImageSummary(entry.name, None, "failed", str(FailedReason.INTERNAL_ERROR), detail, None, None, None, None)
            for entry in sorted(index.studies[uid])
        )
        result.add_lost(StudySummary(uid, None, "failed", None, (), images))
    missing = result.missing_files()
    for name in missing:
        logger.critical("%s was not written; please report it", name)
    return 1 if lost or missing else result.exit_code()


def _run_once(application: OsteoMapApp) -> bool:
    """Run the graph; log the error that ended it, if any, and return whether there was none."""
    try:
        application.run()
    except Exception as error:  # noqa: BLE001 - the edge of the process: what is done is kept and told
        cause = error.strerror if isinstance(error, OSError) else type(error).__name__
        logger.critical("an internal error ended the run early (%s); free space or report it", cause)
        logger.debug("where:\n%s", "".join(traceback.format_tb(error.__traceback__)))  # its text may quote a header
        return False
    return True


def _header_reader(decoder: Decoder) -> HeaderReader:
    """Return a reader of headers that answers None for a file that is not DICOM."""

    def read(path: Path) -> HeaderReply | None:
        try:
            return decoder.header(path)
        except NotDicomError:
            return None

    return read


def _provenance(classifiers: tuple[Bundle, ...], segmenter: Bundle, settings: str) -> Provenance:
    return Provenance(
        version=__version__,
        classifiers=tuple(_classifier(bundle) for bundle in classifiers),
        segmenter=Model(segmenter.name, segmenter.version, segmenter.sha256),
        now=datetime.now(UTC).astimezone().replace(microsecond=0),  # DICOM times without a zone are local ones
        settings=settings,
    )


def _classifier(bundle: Bundle) -> Model:
    points = study_points(bundle)
    parameters = (("rule_out", f"{points.rule_out:.6f}"), ("rule_in", f"{points.rule_in:.6f}"))
    return Model(bundle.name, bundle.version, bundle.sha256, parameters)


def _say_what_happened(result: RunResult, code: int) -> None:
    counts = result.counts
    if code == 4:
        logger.error("no DICOM image was found in the input (%d other files)", counts["ignored_files"])
    logger.info("%s", ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items()))
    if counts["failed"]:
        logger.error(
            "%d of %d images failed; result.json names each with its reason", counts["failed"], counts["images"]
        )
    logger.info("open report.html in the output folder")
    sys.stderr.flush()
