"""The application in memory, without Holoscan: models are loaded once, then any number of studies is analysed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from monai_app import __version__
from monai_app.analysed_study import AnalysedStudy, analysed
from monai_app.rules import rules_of, shaping
from monai_app.runtime import hide_header_values
from monai_app.settings import ROOT, Settings, embedded_models, read_settings
from monai_app.sources import Source, source_files
from operators import pipeline
from operators.classification.classify import common_finding, study_points
from operators.networks.bundle import Bundle, Models
from operators.networks.loading import load_classifier, load_segmenter
from operators.reading.decoder import Decoder, FileReader
from operators.reading.study_index import StudyIndex, index_files
from operators.records.errors import AnalysisCancelledError
from operators.records.provenance import Model, Provenance
from operators.records.run_description import RunDescription
from operators.records.sources import SourceFile, SourceImage
from operators.records.study import ReportedStudy, Study
from operators.reporting.spool import Spool


class Analyser:
    """Verified models and the chain that they are part of; use it as a context manager, or call ``close``.

    It may be called from several threads: their studies are analysed one after the other. Nothing is written but by
    ``AnalysedStudy.save``, and what waits for it in the spool.

    Parameters
    ----------
    models
        The models.
    settings
        How they are used.
    spool
        Where the results of a study wait on disk as long as it is in use; None: below TMPDIR.

    Raises
    ------
    SettingsError
        If the settings ask for a map that the first classifier cannot give.
    """

    def __init__(self, models: Models, settings: Settings, spool: Spool | None = None) -> None:
        hide_header_values()
        limits = settings.radiographs
        self.models = models
        self.settings = settings
        self.rules = rules_of(settings, models.classifiers[0])
        self.provenance = _provenance(models, settings)
        self.decoder = Decoder(limits.decoder_timeout_s, limits.decoder_memory_mib)
        self.spool = spool or Spool()
        self.stages = pipeline.stages(models, self.rules, self.provenance, self.decoder, self.spool)
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder's process; the analyser cannot be used any more."""
        with self._lock:
            self._closed = True
            self.decoder.close()
            self.spool.close()

    @property
    def identity(self) -> str:
        """A digest of what a result depends on beside its input: the files of software and models, the settings."""
        bundles = (*self.models.classifiers, self.models.segmenter)
        models = [(bundle.name, bundle.sha256, sorted(bundle.files.items())) for bundle in bundles]
        settings = json.dumps(dataclasses.asdict(self.settings), sort_keys=True, default=sorted)  # sets have no order
        digest = hashlib.sha256(repr((__version__, models, settings)).encode())
        for package in ("monai_app", "operators"):
            for path in sorted((ROOT / package).rglob("*")):
                if path.suffix in (".py", ".html", ".json"):
                    digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    @property
    def description(self) -> RunDescription:
        """What every report says of these models and settings."""
        return pipeline.describe_run(self.models, self.rules, self.provenance)

    def analyse(
        self, source: Source | Iterable[Source], *, cancel: threading.Event | None = None
    ) -> Iterator[AnalysedStudy]:
        """Analyse studies and yield each as it is done.

        Parameters
        ----------
        source
            A folder, searched with its sub-folders, a file, a path, the bytes of a file, a file object, a pydicom data
            set, or several of them. Files are sorted into studies by their headers before the first is analysed.
        cancel
            Set it, from any thread, to end the analysis before its next image.

        Raises
        ------
        FileNotFoundError, TypeError
            If there is no such source.
        AnalysisCancelledError
            If ``cancel`` was set.
        RuntimeError
            If the analyser is closed.
        """
        self._check_open()
        return self._analyse(source_files(source), cancel or threading.Event())

    def _analyse(self, files: Iterable[SourceFile], cancel: threading.Event) -> Iterator[AnalysedStudy]:
        with self.index(_until(cancel, files)) as index:
            for study in index.studies(now):
                yield analysed(self._run(study, cancel))

    def index(self, files: Iterable[SourceFile]) -> StudyIndex:
        """Sort files into studies by reading their headers."""
        descriptions = self.settings.outputs.copy_descriptions
        return index_files(files, FileReader(self.decoder, self._alone, descriptions=descriptions))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            self._check_open()
            yield

    def _run(self, study: Study[SourceImage], cancel: threading.Event) -> ReportedStudy:
        with self._alone():
            reported: ReportedStudy = pipeline.run(study, self.stages, cancel.is_set)
            return reported

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the analyser is closed; open another one")


def open_analyser(
    models: str | Path | None = None, settings: Settings | str | Path | None = None, *, spool: Spool | None = None
) -> Analyser:
    """Read settings, verify and load the models that they name.

    Parameters
    ----------
    models
        Folder of the bundles; None: the embedded ones.
    settings
        Settings, or the path of a file like ``app.yaml``; None: ``app.yaml``, or what HOLOSCAN_CONFIG_PATH names.
    spool
        As the analyser takes it.

    Raises
    ------
    SettingsError, BundleError
        If a setting or a bundle cannot be used; the text is one line that says what to do.
    """
    chosen = settings if isinstance(settings, Settings) else read_settings(settings)
    folder = embedded_models() if models is None else Path(models)
    trusted = chosen.models.trusted
    classifiers = tuple(load_classifier(folder / name, trusted) for name in chosen.classification.bundles)
    segmenter = load_segmenter(folder / chosen.segmentation.bundle, chosen.segmentation.checkpoint, trusted)
    return Analyser(Models(classifiers, segmenter), chosen, spool)


def now() -> datetime:
    """Return the time, to the second, with the local zone: DICOM times without a zone are local ones."""
    return datetime.now(UTC).astimezone().replace(microsecond=0)


def _until(cancel: threading.Event, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
    for file in files:
        if cancel.is_set():
            raise AnalysisCancelledError
        yield file


def _provenance(models: Models, settings: Settings) -> Provenance:
    segmenter = models.segmenter
    return Provenance(
        version=__version__,
        classifiers=tuple(_classifier(bundle) for bundle in models.classifiers),
        segmenter=Model(segmenter.name, segmenter.version, segmenter.sha256),
        now=now(),
        settings=shaping(settings),
        finding=common_finding(*models.classifiers),
    )


def _classifier(bundle: Bundle) -> Model:
    points = study_points(bundle)
    parameters = (("rule_out", f"{points.rule_out:.6f}"), ("rule_in", f"{points.rule_in:.6f}"))
    return Model(bundle.name, bundle.version, bundle.sha256, parameters)
