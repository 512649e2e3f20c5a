"""What a run that is interrupted leaves for the next one: which studies are finished, and what proves that.

A study is kept only if it was finished by the same software, models and settings, of the same files, byte by byte, and
if every object that was written of it is still there as it was written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from operators.records.sources import ExcludedImage, SourceImage
from operators.records.states import State
from operators.records.study import Study
from operators.reporting.output_folder import study_folder, write_atomically
from operators.reporting.summaries import StudySummary

FOLDER = ".resume"  # in the output folder as long as a run is not complete

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedStudy:
    """A study that needs not be analysed again.

    Parameters
    ----------
    summary
        What ``result.json`` says of it.
    section
        Its part of ``report.html``.
    pictures
        How many of its images are shown there with pictures, at the most.
    """

    summary: StudySummary
    section: bytes
    pictures: int


class FinishedStudies:
    """The studies of an output folder that are finished, a file each; it goes with a run that comes to its end.

    Parameters
    ----------
    output
        The output folder.
    made_by
        A digest of the software, its models and settings.
    """

    def __init__(self, output: Path, made_by: str) -> None:
        self._output = output
        self._folder = output / FOLDER
        self._made_by = made_by

    def __contains__(self, study_uid: str | None) -> bool:
        """Say whether something is kept of a study; whether it can be used is another question."""
        return study_uid is not None and self._path(study_uid).is_file()

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep(self, finished: FinishedStudy, source: str | None) -> None:
        """Keep a study of which all objects are written.

        Parameters
        ----------
        finished
            The study; one with an image that failed is not kept, as another try may succeed.
        source
            Digest of its files before they were analysed (``digest_of``); None: they could not be read.
        """
        uid = finished.summary.study_instance_uid
        if uid is None or source is None or any(image.state == State.FAILED for image in finished.summary.images):
            return
        files = [written.file for written in finished.summary.outputs]
        if not all((self._output / name).is_file() for name in files):
            return  # the run tells that it is missing
        content = {
            "made_by": self._made_by,
            "source": source,
            "objects": {name: _sha256(self._output / name) for name in files},
            "pictures": finished.pictures,
            "summary": dataclasses.asdict(finished.summary),
            "section": finished.section.decode(),
        }
        text = json.dumps(content).encode()
        write_atomically(self._path(uid), lambda file: file.write(text))

    def find(self, study_uid: str, source: str | None) -> FinishedStudy | None:
        """Return a study that is finished and current; None, with a line in the log, if it is not wholly so."""
        why = "its record is damaged"
        try:
            content = json.loads(self._path(study_uid).read_bytes())
            if content["made_by"] != self._made_by:
                why = "software, models or settings are others"
            elif source is None or content["source"] != source:
                why = "its files are others"
            elif any(_sha256(self._output / name) != digest for name, digest in content["objects"].items()):
                why = "an object that was written of it is missing or changed"
            else:
                summary: StudySummary = _read(StudySummary, content["summary"])
                if summary.study_instance_uid == study_uid:
                    return FinishedStudy(summary, content["section"].encode(), int(content["pictures"]))
        except OSError:
            why = "an object that was written of it is missing"
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            logger.debug("study %s: %s (%s)", study_uid, why, type(error).__name__)
        logger.info("study %s: analysed again, as %s", study_uid, why)
        return None

    def _path(self, study_uid: str) -> Path:
        return self._folder / f"{study_folder(study_uid)}.json"


def digest_of(study: Study[SourceImage]) -> str | None:
    """Return a digest of the files of a study: their names, their bytes, and why any is not analysed.

    It is taken before the study is analysed: a file that changes later has another digest in the next run.
    None if a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for image in study.images:
            source = image.source
            file = source.file if isinstance(source, SourceImage) else source
            outcome = (image.state, image.reason, image.detail) if isinstance(image, ExcludedImage) else None
            digest.update(repr((file.name, _sha256(file.path), outcome)).encode())
    except OSError:
        return None
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(hint: Any, value: Any) -> Any:
    """Return a value of JSON as the type that a record's field has; raise ValueError or TypeError if it is none."""
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return typing.cast("type[Any]", hint)(**{name: _read(hints[name], item) for name, item in value.items()})
    if origin is tuple:
        each = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_read(kind, item) for kind, item in zip(each, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _first(kinds, value)
    if hint is float or issubclass(hint, StrEnum):
        return hint(value)
    if not isinstance(value, hint):
        raise TypeError(f"not {hint.__name__}")
    return value


def _first(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        if kind is not types.NoneType:
            try:
                return _read(kind, value)
            except (ValueError, TypeError):
                continue
    raise ValueError("of none of the kinds")
