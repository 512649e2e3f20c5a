"""A child process that reads untrusted files under a memory limit and a time-out, and the client that guards it.

Whatever a file does - a codec that crashes, a header that eats memory, a loop without end - costs that file, never
the run. The child answers each request with one JSON line and, for pixels, the raw float32 picture; nothing is
pickled.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.dicom_file import NotDicomError, read_header, read_stored_values
from operators.dicom_source import check_identity, normalise
from operators.grey_scale import render
from operators.records.errors import ImageError, InvalidDicomError, UnsupportedImageError
from operators.records.reasons import DeclinedReason, FailedReason
from operators.records.sources import HeaderReply

logger = logging.getLogger(__name__)


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

    def header(self, path: Path) -> HeaderReply:
        """Read a header.

        Raises
        ------
        NotDicomError
            If the file is not DICOM.
        InvalidDicomError
            If it is DICOM and cannot be read.
        """
        reply, _ = self._ask("header", path)
        header, problem = Dataset.from_json(reply["header"]), None
        try:
            check_identity(header)
        except InvalidDicomError as error:
            problem = error
        return HeaderReply(header, bool(reply["pixel_data"]), problem, tuple(reply["changes"]))

    def pixels(self, path: Path) -> NDArray[np.float32]:
        """Read the picture of an image: (rows, columns) float32 [0, 1], MONOCHROME2 sense.

        Raises
        ------
        UnsupportedImageError, InvalidDicomError
            If there is no picture to analyse.
        """
        reply, body = self._ask("pixels", path)
        return np.frombuffer(body, np.float32).reshape(reply["rows"], reply["columns"])

    def _ask(self, job: str, path: Path) -> tuple[dict[str, Any], bytearray]:
        child = self._start()
        deadline = time.monotonic() + self._timeout_s
        damaged = FailedReason.UNREADABLE_FILE if job == "header" else FailedReason.PIXEL_DATA_CORRUPT
        try:
            stdin = cast(BinaryIO, child.stdin)
            stdin.write(json.dumps({"job": job, "path": str(path)}).encode() + b"\n")
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
            raise NotDicomError
        if "error" in reply:
            raise _error_of(reply["error"])
        return reply, body

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
            )
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "operators.decoding",
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


def _error_of(told: dict[str, str]) -> ImageError:
    """Return the exception that the child described."""
    if told["state"] == "declined":
        return UnsupportedImageError(DeclinedReason(told["reason"]), told["detail"])
    return InvalidDicomError(FailedReason(told["reason"]), told["detail"])


def _tell(error: ImageError) -> dict[str, str]:
    return {"state": error.state, "reason": str(error.reason), "detail": error.detail}


def _answer(job: str, path: Path) -> tuple[dict[str, Any], bytes]:
    """Do one job in the child and return (reply, body)."""
    try:
        if job == "header":
            header, has_pixels = read_header(path)
            copy, changes = normalise(header)
            return {"header": copy.to_json_dict(), "changes": changes, "pixel_data": has_pixels}, b""
        header, stored = read_stored_values(path)
        picture = render(stored, header)
        return {"rows": picture.shape[0], "columns": picture.shape[1], "bytes": picture.nbytes}, picture.tobytes()
    except NotDicomError:
        return {"not_dicom": True}, b""
    except ImageError as error:
        return {"error": _tell(error)}, b""
    except BaseException as error:  # noqa: BLE001 - around decoders, in a child process
        reason = FailedReason.UNREADABLE_FILE if job == "header" else FailedReason.PIXEL_DATA_CORRUPT
        detail = f"the file cannot be read ({type(error).__name__}); check access rights or export the image again"
        return {"error": _tell(InvalidDicomError(reason, detail))}, b""


def main(arguments: list[str] | None = None) -> int:
    """Answer requests on standard input until it closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("memory_mib", type=int)
    parser.add_argument("timeout_s", type=float)
    options = parser.parse_args(arguments)
    limit = options.memory_mib * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patient data
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # pydicom's messages quote values
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # codecs print; the answers' pipe stays clean
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.setitimer(
            signal.ITIMER_REAL, options.timeout_s + 1
        )  # the client may be gone; the signal ends this child
        reply, body = _answer(request["job"], Path(request["path"]))
        signal.setitimer(signal.ITIMER_REAL, 0)
        text = json.dumps(reply).encode()
        answers.write(len(text).to_bytes(8, "big") + text + body)
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
