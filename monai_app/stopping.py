"""A run that is told to stop, by SIGTERM or Ctrl-C, ends in order: it accounts for every study that is not finished.

Holoscan and Python have handlers of their own for these signals, of which one ends the graph with an error and the
other only acts between two steps of Python. So both signals are blocked and one thread waits for them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.2

logger = logging.getLogger("osteomap")


class StopRequests:
    """What was asked of this process; use it as a context manager, before anything is imported that starts threads.

    Before ``begin`` a signal ends the process at once, as nothing is lost; so does a second signal at any time.
    """

    def __init__(self) -> None:
        self._begun = self._requested = self._closed = False
        self._blocked_before: set[signal.Signals | int] = set()
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)

    def __enter__(self) -> Self:
        self._blocked_before = set(signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked_before)

    def begin(self) -> None:
        """Say that from now on there is something to account for."""
        self._begun = True

    def requested(self) -> bool:
        """Say whether the run is to stop."""
        return self._requested

    def _listen(self) -> None:
        while not self._closed:
            received = signal.sigtimedwait(SIGNALS, _POLL_S)
            if received is None:
                continue
            name = signal.Signals(received.si_signo).name
            if not self._begun or self._requested:
                when = "before any data were read" if not self._begun else "at once"
                sys.stderr.write(f"osteomap: stopped {when} ({name})\n")
                sys.stderr.flush()
                os._exit(1)
            self._requested = True
            logger.warning("told to stop (%s): the images in work are finished; a second signal ends at once", name)
