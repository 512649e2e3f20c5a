"""OsteoMAP: what runs.

``open_analyser`` is the way in for Python programs; it is imported when it is first asked for, so that the command line
answers before torch is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_app.analyser import Analyser, open_analyser

__version__ = "0.1.0"
__all__ = ["Analyser", "open_analyser"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from monai_app import analyser  # noqa: PLC0415 - see above

        return getattr(analyser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
