"""Why a package cannot be made."""

from __future__ import annotations

from operators.records.errors import OsteoMapError


class PackagingError(OsteoMapError):
    """The build context or the image cannot be made; the message says what to do."""
