"""The error taxonomy: what went wrong, where, and which state the image ends in."""

from __future__ import annotations

from operators.records.reasons import DeclinedReason, FailedReason, Reason
from operators.records.states import State


class OsteoMapError(Exception):
    """Base of all errors of this application.

    Parameters
    ----------
    detail
        What happened and what to do, in one line; never a value of a DICOM header.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ImageError(OsteoMapError):
    """One image cannot be analysed; the run goes on.

    Attributes
    ----------
    state
        The state that the image ends in: ``declined`` or ``failed``.
    reason
        The coded reason.
    """

    state: State

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    @property
    def outcome(self) -> tuple[State, Reason, str]:
        """State, reason and detail of the image, as ``ExcludedImage`` takes them."""
        return self.state, self.reason, self.detail


class UnsupportedImageError(ImageError):
    """Not a radiograph that OsteoMAP reads."""

    state = State.DECLINED

    def __init__(self, reason: DeclinedReason, detail: str) -> None:
        super().__init__(reason, detail)


class InvalidDicomError(ImageError):
    """An attribute or the pixel data that we need is impossible."""

    state = State.FAILED

    def __init__(self, reason: FailedReason, detail: str) -> None:
        super().__init__(reason, detail)


class EncodingError(ImageError):
    """A result could not be written as a valid DICOM object."""

    state = State.FAILED

    def __init__(self, detail: str) -> None:
        super().__init__(FailedReason.ENCODING_ERROR, detail)


class InternalError(ImageError):
    """A mistake of ours was met; what was raised is told by its kind only, as its text may quote a header."""

    state = State.FAILED

    def __init__(self, error: Exception) -> None:
        system, detail = system_error(error), f"an internal error ({type(error).__name__}); please report it"
        if system is not None:
            detail = (
                f"the system refused to read or write ({system.strerror}); free space or check access, and run again"
            )
        super().__init__(FailedReason.INTERNAL_ERROR, detail)


class BundleError(OsteoMapError):
    """A bundle is incomplete, altered or not usable; raised before any data is read."""


class AnalysisCancelledError(OsteoMapError):
    """The caller has asked for an analysis to end; nothing is wrong with the input."""

    def __init__(self) -> None:
        super().__init__("the analysis was cancelled")


def system_error(error: BaseException | None) -> OSError | None:
    """Return the error of the operating system behind an exception, with its number and words; None if there is none.

    Libraries raise another error in its place that has neither, as pydicom does where it cannot write.
    """
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error
        error = error.__cause__ or error.__context__
    return None


def contradictory(differing: str) -> InvalidDicomError:
    """Return what is wrong with a file if another one has its SOP Instance UID and other values, which are named."""
    detail = f"another file of this run has the same SOP Instance UID and other {differing}; correct them at the source"
    return InvalidDicomError(FailedReason.HEADER_INVALID, detail)
