"""What a lenient reader makes of a damaged file: any decoder, no check; in a process of its own, which may crash."""

from __future__ import annotations

import logging
import multiprocessing
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread


def decode(file: bytes) -> NDArray[np.int64] | None:
    """The stored values, or None."""
    try:
        return dcmread(BytesIO(file), force=True).pixel_array.astype(np.int64)
    except BaseException:  # noqa: BLE001 - whatever a decoder raises
        return None


def be_silent() -> None:
    """Drop what codecs print in a child process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class LenientReader:
    """Decodes files in a child process, which is started again when it crashes."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def changed(self, sound: bytes, mutant: bytes) -> float:
        """The share of the pixels that differ; 1 where the mutant cannot be decoded or has another size."""
        before, after = self._decode(sound), self._decode(mutant)
        if before is None or after is None or before.shape != after.shape:
            return 1.0
        return float((before != after).mean())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _decode(self, file: bytes) -> NDArray[np.int64] | None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), be_silent)
        try:
            return self._pool.submit(decode, file).result(timeout=60)
        except (BrokenProcessPool, TimeoutError):
            self._pool = None
            return None
