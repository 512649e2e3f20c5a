"""Files -> studies: every header is read once, and one study at a time is in memory."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from pydicom.dataset import Dataset

from operators.reading.decoder import FileReader
from operators.reading.scope import body_part, imager_pixel_spacing_mm, laterality
from operators.records.errors import ImageError, UnsupportedImageError, contradictory
from operators.records.reasons import DeclinedReason, FailedReason, Reason
from operators.records.sources import ExcludedImage, HeaderReply, Ignored, SourceFile, SourceImage, contradictions
from operators.records.states import State
from operators.records.study import Study, internal_error, of_one_patient

logger = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], datetime]

_SCHEMA = """
CREATE TABLE study (number INTEGER PRIMARY KEY, uid TEXT UNIQUE);
CREATE TABLE file (
    study INTEGER, series_number INTEGER, instance_number INTEGER, name BLOB, path BLOB, in_memory INTEGER,
    header TEXT, has_pixel_data INTEGER, changes TEXT, sha256 TEXT, state TEXT, reason TEXT, detail TEXT
);
CREATE TABLE picture (name BLOB, path BLOB, in_memory INTEGER);
CREATE INDEX by_study ON file (study, series_number, instance_number, name);
CREATE TABLE instance (uid TEXT PRIMARY KEY, file INTEGER) WITHOUT ROWID;
"""
_NO_STUDY = ""  # the files that name no study are collected under it


class StudyIndex:
    """The headers of a run by study, in a private temporary database: on disk where there are many, gone when closed.

    Use it as a context manager. It may be filled in one thread and read in another, not in both at once.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)  # SQLite removes a database without a name
        self._database.executescript(_SCHEMA)
        self._lock = threading.Lock()
        self._in_memory: list[bytes] = []
        self._has_dicom = False
        self._of_pictures = False  # whether what is indexed are pictures, as there is no DICOM file
        self.ignored: Counter[Ignored | None] = Counter()  # None: files that are not DICOM
        self.files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def add(self, file: SourceFile, reader: FileReader) -> None:
        """Read the header of a file and keep it.

        A file that cannot be read, or does not say who it is, is kept with its problem; the second file of a SOP
        Instance UID is a duplicate, or contradicts the first. A file that is not DICOM is only counted, as is an object
        that is no image, and one that this application made. A picture waits for ``add_pictures``.
        """
        reply: HeaderReply | None = None
        problem: ImageError | None = None
        try:
            reply = reader.header(file)
            if reply is not None and reply.ignored == Ignored.PICTURE:
                self._database.execute("INSERT INTO picture VALUES (?, ?, ?)", self._stored(file))
                return
            self._has_dicom |= reply is not None and reply.ignored != Ignored.OWN_OBJECT
            if reply is None or reply.ignored is not None:
                ignored = None if reply is None else reply.ignored
                logger.debug("%s: passed over, %s", file, "not DICOM" if ignored is None else ignored.replace("_", " "))
                self.ignored[ignored] += 1
                return
            problem = reply.problem
        except ImageError as error:
            problem = error
            self._has_dicom |= file.problem is None and (file.content is not None or os.access(file.path, os.R_OK))
        self.files += 1
        header = Dataset() if reply is None else reply.header
        if reply is not None and reply.changes:  # by tag, never by value
            logger.warning("%s: changed in the header: %s", file, ", ".join(reply.changes))
        if problem is None:
            problem = self._repetition(file, header, reader)
        if problem is not None:
            self._log(file, problem)
        row = self._insert(file, header, reply, problem)
        if problem is None:
            instance = (str(header.SOPInstanceUID), row)
            self._database.execute("INSERT OR REPLACE INTO instance VALUES (?, ?)", instance)

    def add_pictures(self, reader: FileReader) -> None:
        """Add the PNG and JPEG pictures that were met if the input has no DICOM file; beside one they are ignored.

        In folders of DICOM files they are previews, which must not become studies of their own. Results of an earlier
        run are no such files.
        """
        count = int(self._database.execute("SELECT COUNT(*) FROM picture").fetchone()[0])
        if count and self._has_dicom:
            self.ignored[Ignored.PICTURE] += count
            logger.info(
                "pictures (PNG, JPEG) beside DICOM files are ignored: %d; analyse them without the others", count
            )
        elif count:
            logger.info("no DICOM file, so the pictures (PNG, JPEG) are analysed: %d; see image_<n>.dcm", count)
            self._of_pictures = True
            for row in self._database.execute("SELECT name, path, in_memory FROM picture ORDER BY rowid"):
                self.add(self._source_file(*row), reader)

    @property
    def ignored_files(self) -> int:
        """How many files are passed over."""
        return self.ignored.total()

    def _repetition(self, file: SourceFile, header: Dataset, reader: FileReader) -> ImageError | None:
        """Return what is wrong with a file if its SOP Instance UID was met before.

        A copy is a duplicate. Of two files that contradict each other neither can be trusted, and the one that was met
        before is excluded too. If only one of the two can be decoded, that one is analysed.
        """
        met = self._database.execute(
            "SELECT instance.file, name, path, in_memory, header "
            "FROM instance JOIN file ON file.rowid = instance.file WHERE uid = ?",
            (str(header.SOPInstanceUID),),
        ).fetchone()
        if met is None:
            return None
        row, *of_file, known = met
        if known is None:  # it was excluded as contradictory
            return contradictory("identifiers or pixels")
        first = self._source_file(*of_file)
        differing = contradictions(Dataset.from_json(json.loads(known)), header)
        if not differing and not first.equals(file):
            before, now = (_pixel_digest(reader, one) for one in (first, file))
            if isinstance(now, str) and isinstance(before, ImageError):
                self._exclude(row, first, before)
                return None
            if isinstance(before, str) and isinstance(now, ImageError):
                return now
            differing = ["pixels"] if isinstance(before, str) and before != now else []
        if not differing:
            detail = "another file of this run has the same SOP Instance UID and the same pixels"
            return UnsupportedImageError(DeclinedReason.DUPLICATE_INSTANCE, detail)
        problem = contradictory(", ".join(differing))
        self._exclude(row, first, problem)
        return problem

    def _exclude(self, row: int, file: SourceFile, problem: ImageError) -> None:
        """Exclude a file that was added before; nothing can refer to it, as another has its SOP Instance UID."""
        self._log(file, problem)
        self._database.execute(
            "UPDATE file SET header = NULL, state = ?, reason = ?, detail = ? WHERE rowid = ?",
            (*map(str, problem.outcome), row),
        )

    @staticmethod
    def _log(file: SourceFile, problem: ImageError) -> None:
        level = logging.INFO if problem.state == State.DECLINED else logging.WARNING
        logger.log(level, "%s: %s, %s: %s", file, *problem.outcome)

    def _insert(
        self, file: SourceFile, header: Dataset, reply: HeaderReply | None, problem: ImageError | None
    ) -> int | None:
        uid = str(header.get("StudyInstanceUID") or "") or _NO_STUDY
        self._database.execute("INSERT OR IGNORE INTO study (uid) VALUES (?)", (uid,))
        numbers = (int(header.get(keyword) or 0) for keyword in ("SeriesNumber", "InstanceNumber"))
        known = reply is not None and (problem is None or problem.reason == DeclinedReason.DUPLICATE_INSTANCE)
        inserted = self._database.execute(
            "INSERT INTO file SELECT number, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM study WHERE uid = ?",
            (
                *numbers,
                *self._stored(file),
                header.to_json() if known else None,
                reply is not None and reply.has_pixel_data,
                None if reply is None else json.dumps(reply.changes),
                None if reply is None else reply.sha256,
                *((None, None, None) if problem is None else map(str, problem.outcome)),
                uid,
            ),
        )
        return inserted.lastrowid

    @property
    def study_uids(self) -> list[str | None]:
        """The Study Instance UIDs in the order of their first files; None for the files that name no study."""
        found = self._database.execute("SELECT uid FROM study ORDER BY number").fetchall()
        return [uid or None for (uid,) in found]

    def file_names(self, study_uid: str | None) -> list[str]:
        """Return the names of a study's files in the order of ``result.json``."""
        return [os.fsdecode(row[0]) for row in self._rows("name", study_uid)]

    def studies(self, clock: Clock) -> Iterator[Study[SourceImage]]:
        """Yield the studies in the order of their first file; ``clock`` says when the analysis of each begins."""
        for uid in self.study_uids:
            yield self.study(uid, clock)

    def study(self, uid: str | None, clock: Clock) -> Study[SourceImage]:
        """Return one study; ``clock`` as above."""
        images: tuple[SourceImage | ExcludedImage, ...]
        try:
            images = tuple(self._image(row) for row in self._rows("*", uid))
            images = images if uid is None else of_one_patient(uid, images)
        except Exception as error:  # noqa: BLE001 - a mistake of ours costs one study, not those behind it
            outcome = internal_error(error, f"study {uid}").outcome
            names = self.file_names(uid)
            images = tuple(ExcludedImage(SourceFile(Path(name), name), *outcome) for name in names)
        return Study(uid, images, clock())

    def _image(self, row: Any) -> SourceImage | ExcludedImage:
        _, _, _, name, path, in_memory, header, has_pixel_data, changes, sha256, state, reason, detail = row
        file = self._source_file(name, path, in_memory)
        source: SourceFile | SourceImage = file
        if header is not None:
            known = Dataset.from_json(json.loads(header))
            reply = HeaderReply(known, bool(has_pixel_data), None, tuple(json.loads(changes)), sha256)
            source = source_image(file, reply)
        if isinstance(source, SourceImage) and state is None:
            return source
        return ExcludedImage(source, State(state), _reason(state, reason), detail)

    def _source_file(self, name: bytes, path: bytes, in_memory: int | None) -> SourceFile:
        content = None if in_memory is None else self._in_memory[in_memory]
        return SourceFile(Path(os.fsdecode(path)), os.fsdecode(name), content, picture=self._of_pictures)

    def _stored(self, file: SourceFile) -> tuple[bytes, bytes, int | None]:
        """Return name, path and place of the content of a file, as ``_source_file`` takes them."""
        if file.content is not None:
            self._in_memory.append(file.content)
        place = None if file.content is None else len(self._in_memory) - 1
        return os.fsencode(file.name), os.fsencode(file.path), place

    def _rows(self, columns: str, study_uid: str | None) -> list[Any]:
        with self._lock:
            return self._database.execute(
                f"SELECT {columns} FROM file WHERE study = (SELECT number FROM study WHERE uid = ?) "  # noqa: S608 - ours
                "ORDER BY series_number, instance_number, name",
                (study_uid or _NO_STUDY,),
            ).fetchall()


def index_files(files: Iterable[SourceFile], reader: FileReader) -> StudyIndex:
    """Sort files into studies by reading their headers once."""
    index = StudyIndex()
    try:
        for file in files:
            index.add(file, reader)
        index.add_pictures(reader)
    except BaseException:
        index.close()
        raise
    return index


def source_image(file: SourceFile, reply: HeaderReply) -> SourceImage:
    """Return the record of an image whose normalised header is read."""
    header = reply.header
    return SourceImage(
        file=file,
        header=header,
        sop_instance_uid=str(header.SOPInstanceUID),
        body_part=body_part(header),
        view_position=str(header.get("ViewPosition") or "") or None,
        laterality=laterality(header),
        imager_pixel_spacing_mm=imager_pixel_spacing_mm(header),
        has_pixel_data=reply.has_pixel_data,
        changes=reply.changes,
        header_sha256=reply.sha256,
    )


def _pixel_digest(reader: FileReader, file: SourceFile) -> str | ImageError:
    try:
        return reader.pixel_digest(file)
    except ImageError as error:
        return error


def _reason(state: str, reason: str) -> Reason:
    return DeclinedReason(reason) if state == State.DECLINED else FailedReason(reason)
