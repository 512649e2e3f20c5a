"""The child process that reads untrusted files: ``python -m operators.reading.decoder_process MEMORY_MIB TIMEOUT_S``.

It answers each request with one JSON line and, for pixels, the raw float32 picture; nothing is pickled.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from operators.reading.bounded_file import HeaderLimitError
from operators.reading.dicom_file import NotDicomError, PictureError, read_header, read_stored_values
from operators.reading.grey_scale import padding_range, render
from operators.reading.normalised_header import header_digest, normalise, picture_description
from operators.reading.pictures.picture_file import is_picture, read_picture, read_picture_header
from operators.reading.scope import is_image
from operators.records.errors import ImageError, InvalidDicomError
from operators.records.provenance import is_own_object
from operators.records.reasons import FailedReason
from operators.records.sources import Ignored

# Of processor time; a sound header takes a hundredth. Beyond it there are more elements, nested, than can be counted.
HEADER_SECONDS = 1.5
_ROWS_AT_ONCE = 256


def _describe(error: ImageError) -> dict[str, str]:
    return {"state": error.state, "reason": str(error.reason), "detail": error.detail}


def _ignored(header: Dataset, copy: Dataset, has_pixel_data: bool) -> Ignored | None:
    """Return why an object is passed over; the copy has a SOP Class UID only if it is valid."""
    if is_own_object(header):
        return Ignored.OWN_OBJECT
    return None if is_image(copy, has_pixel_data=has_pixel_data) else Ignored.NO_IMAGE


def _digest(stored: NDArray[np.integer]) -> str:
    """Return the SHA-256 of stored values: the same for every lossless transfer syntax and every size of a pixel."""
    digest = hashlib.sha256(f"{stored.shape}".encode())
    for start in range(0, stored.shape[0], _ROWS_AT_ONCE):
        digest.update(stored[start : start + _ROWS_AT_ONCE].astype("<i4").tobytes())
    return digest.hexdigest()


def _read_header(data: Path | bytes) -> tuple[dict[str, Any], bytes]:
    with _processor_time(HEADER_SECONDS):
        if is_picture(data):
            raise PictureError
        header, has_pixels = read_header(data)
        copy, changes = normalise(header)
        reply = {"header": copy.to_json_dict(), "changes": changes, "pixel_data": has_pixels}
        return reply | {"sha256": header_digest(copy), "ignored": _ignored(header, copy, has_pixels)}, b""


def _read_picture_header(data: Path | bytes) -> tuple[dict[str, Any], bytes]:
    with _processor_time(HEADER_SECONDS):
        if not is_picture(data):
            raise NotDicomError
        copy, changes = normalise(read_picture_header(data))
        reply = {"header": copy.to_json_dict(), "changes": changes, "pixel_data": True}
        return reply | {"sha256": header_digest(copy), "ignored": None}, b""


def _read_pixels(data: Path | bytes) -> tuple[dict[str, Any], bytes]:
    read = read_picture(data) if is_picture(data) else read_stored_values(data)
    header, stored = read.header, read.values
    picture, (copy, _) = render(stored, header), normalise(header)
    of_picture = f"{_digest(stored)} {padding_range(header)} {picture_description(copy)}"
    reply = {"rows": picture.shape[0], "columns": picture.shape[1], "bytes": picture.nbytes}
    reply |= {"sha256": hashlib.sha256(of_picture.encode()).hexdigest(), "header_sha256": header_digest(copy)}
    return reply | {"doubtful": read.doubtful}, picture.tobytes()


def _read_digest(data: Path | bytes) -> tuple[dict[str, Any], bytes]:
    read = read_picture(data) if is_picture(data) else read_stored_values(data)
    return {"sha256": _digest(read.values)}, b""


_JOBS: Mapping[str, Callable[[Path | bytes], tuple[dict[str, Any], bytes]]] = {
    "header": _read_header,
    "picture_header": _read_picture_header,
    "pixels": _read_pixels,
    "digest": _read_digest,
}


def _answer(job: str, data: Path | bytes) -> tuple[dict[str, Any], bytes]:
    """Do one job in the child and return (reply, body)."""
    try:
        return _JOBS[job](data)
    except NotDicomError as error:
        return {"not_dicom": True, "picture": isinstance(error, PictureError)}, b""
    except ImageError as error:
        return {"error": _describe(error)}, b""
    except OSError as error:
        detail = f"the file cannot be read ({type(error).__name__}); check access rights or export the image again"
        return {"error": _describe(InvalidDicomError(FailedReason.UNREADABLE_FILE, detail))}, b""
    except BaseException as error:  # noqa: BLE001 - around decoders, in a child process
        reason = FailedReason.UNREADABLE_FILE if job.endswith("header") else FailedReason.PIXEL_DATA_CORRUPT
        detail = f"the file cannot be read ({type(error).__name__}); check access rights or export the image again"
        return {"error": _describe(InvalidDicomError(reason, detail))}, b""


@contextmanager
def _processor_time(seconds: float) -> Iterator[None]:
    """Raise HeaderLimitError, again and again, in what takes longer: a parser may swallow the first."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _out_of_time(_number: int, _frame: object) -> None:
    raise HeaderLimitError("it takes too long to parse")


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
    signal.signal(signal.SIGVTALRM, _out_of_time)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # codecs print; the answers' pipe stays clean
    for line in sys.stdin.buffer:
        request = json.loads(line)
        data = Path(request["path"]) if "path" in request else sys.stdin.buffer.read(request["bytes"])
        signal.setitimer(
            signal.ITIMER_REAL, options.timeout_s + 1
        )  # the client may be gone; the signal ends this child
        reply, body = _answer(request["job"], data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        text = json.dumps(reply).encode()
        answers.write(len(text).to_bytes(8, "big") + text + body)
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
