"""The client of a child process that reads untrusted files under a memory limit and a time-out.

Whatever a file does - a codec that crashes, a header that eats memory, a loop without end - costs that file, never
the run.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.dicom_file import NotDicomError, PictureError
from operators.reading.normalised_header import check_identity, without_descriptions
from operators.records.errors import ImageError, InvalidDicomError, UnsupportedImageError
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.sources import HeaderReply, Ignored, SourceFile
from operators.records.states import State

FileData: TypeAlias = Path | bytes | BinaryIO


@dataclass(frozen=True, slots=True, eq=False)
class PixelReply:
    """What reading pixels gives.

    ``picture`` (rows, columns) float32 [0, 1], MONOCHROME2 sense; ``sha256`` of the stored values and of what the
    header says of them, ``header_sha256`` of the normalised header that they were read with. ``doubtful``: the
    pixels may be damaged (``dicom_file.StoredValues``).
    """

    picture: NDArray[np.float32]
    sha256: str
    header_sha256: str
    doubtful: bool


class Decoder:
    """The client. Use it as a context manager; it starts the child when first asked and again after a crash.

    Parameters
    ----------
    timeout_s
        Seconds that one file may take.
    memory_mib
        Address space of the child, MiB.
    """

    def __init__(self, timeout_s: float, memory_mib: int) -> None:
        self._timeout_s = timeout_s
        self._memory_mib = memory_mib
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def header(self, data: FileData, *, picture: bool = False) -> HeaderReply:
        """Read a header.

        Parameters
        ----------
        data
            Path of the file, its bytes, or a file object that is read to its end.
        picture
            Whether it is a PNG or JPEG picture, of which the header of its Secondary Capture is wanted.

        Raises
        ------
        NotDicomError
            If the file is not DICOM, or is no picture although it should be; PictureError if it is one unexpectedly.
        UnsupportedImageError, InvalidDicomError
            If it is what it should be, and cannot be read.
        """
        reply, _ = self._ask("picture_header" if picture else "header", data)
        header, problem = Dataset.from_json(reply["header"]), None
        try:
            check_identity(header)
        except InvalidDicomError as error:
            problem = error
        ignored = None if reply["ignored"] is None else Ignored(reply["ignored"])
        changes = tuple(reply["changes"])
        return HeaderReply(header, bool(reply["pixel_data"]), problem, changes, reply["sha256"], ignored)

    def pixels(self, data: FileData) -> PixelReply:
        """Read the picture of an image.

        Parameters
        ----------
        data
            As ``header`` takes it.

        Raises
        ------
        UnsupportedImageError, InvalidDicomError
            If there is no picture to analyse.
        """
        reply, body = self._ask("pixels", data)
        picture = np.frombuffer(body, np.float32).reshape(reply["rows"], reply["columns"])
        return PixelReply(picture, reply["sha256"], reply["header_sha256"], reply["doubtful"])

    def pixel_digest(self, data: FileData) -> str:
        """Return the SHA-256 of an image's stored values, as hexadecimal; data and errors as ``pixels``."""
        return str(self._ask("digest", data)[0]["sha256"])

    def _ask(self, job: str, data: FileData) -> tuple[dict[str, Any], bytearray]:
        content = b""
        request: dict[str, Any] = {"job": job}
        if isinstance(data, Path):
            request["path"] = str(data)
        else:
            content = data if isinstance(data, bytes) else data.read()
            request["bytes"] = len(content)
        child = self._start()
        deadline = time.monotonic() + self._timeout_s
        damaged = FailedReason.UNREADABLE_FILE if job.endswith("header") else FailedReason.PIXEL_DATA_CORRUPT
        try:
            stdin = cast(BinaryIO, child.stdin)
            stdin.write(json.dumps(request).encode() + b"\n" + content)
            stdin.flush()
            reply = json.loads(self._receive(child, int.from_bytes(self._receive(child, 8, deadline), "big"), deadline))
            body = self._receive(child, reply.get("bytes", 0), deadline)
        except TimeoutError as error:
            self.close()
            raise InvalidDicomError(
                FailedReason.DECODER_TIMEOUT,
                f"reading took longer than {self._timeout_s:g} s; see radiographs: decoder_timeout_s",
            ) from error
        except (EOFError, OSError) as error:
            self.close()
            raise InvalidDicomError(damaged, "the decoder crashed on this file; export the image again") from error
        if "not_dicom" in reply:
            raise PictureError if reply["picture"] else NotDicomError
        if "error" in reply:
            raise _error_of(reply["error"])
        return reply, body

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
            )
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "operators.reading.decoder_process",
                    str(self._memory_mib),
                    str(self._timeout_s),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        return self._child

    @staticmethod
    def _receive(child: subprocess.Popen[bytes], count: int, deadline: float) -> bytearray:
        """Return exactly ``count`` bytes of the child's answer; raise TimeoutError or EOFError."""
        pipe, buffer, have = cast(BinaryIO, child.stdout).fileno(), bytearray(count), 0
        view = memoryview(buffer)
        while have < count:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            got = os.readv(pipe, [view[have:]])
            if got == 0:
                raise EOFError
            have += got
        return buffer


class FileReader:
    """What an index of files asks: the header of a file, and a digest of its pixels.

    Parameters
    ----------
    decoder
        The client.
    alone
        Entered for each question: a lock, where the decoder has other callers.
    descriptions
        Whether headers keep what people describe in their own words (``normalised_header.without_descriptions``).
    """

    def __init__(
        self,
        decoder: Decoder,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        descriptions: bool = False,
    ) -> None:
        self._decoder = decoder
        self._alone = alone
        self._descriptions = descriptions

    def header(self, file: SourceFile) -> HeaderReply | None:
        """Read a header; None for a file that is not DICOM; raises ImageError if it cannot be read.

        A picture that is not to be wrapped is ignored.
        """
        if file.problem is not None:
            raise InvalidDicomError(FailedReason.UNREADABLE_FILE, file.problem)
        try:
            with self._alone():
                reply = self._decoder.header(file.data, picture=file.picture)
        except PictureError:
            return HeaderReply(Dataset(), False, None, (), "", Ignored.PICTURE)
        except NotDicomError:
            return None
        return reply if self._descriptions else replace(reply, header=without_descriptions(reply.header))

    def pixel_digest(self, file: SourceFile) -> str:
        """Return the SHA-256 of the stored values of an image; raises ImageError if they cannot be decoded."""
        try:
            with self._alone():
                return self._decoder.pixel_digest(file.data)
        except NotDicomError as error:
            raise InvalidDicomError(FailedReason.UNREADABLE_FILE, "no DICOM file any more; analyse it again") from error


def _error_of(description: dict[str, str]) -> ImageError:
    """Return the exception that the child described."""
    reason, detail = description["reason"], description["detail"]
    if description["state"] == State.DECLINED:
        return UnsupportedImageError(DeclinedReason(reason), detail)
    return InvalidDicomError(FailedReason(reason), detail)
