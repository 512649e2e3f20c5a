"""OsteoMAP: what runs.

``open_analyser`` is the way in for Python programs; it is imported when it is first asked for, so that the command line
answers before torch is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_app.analyser import Analyser, open_analyser

__version__ = "0.2.0"
__all__ = ["Analyser", "open_analyser"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from monai_app.runtime import prepare  # noqa: PLC0415 - see above

        prepare(restart=False)  # MONAI imports all that is installed below it, so monai.deploy and Holoscan too
        from monai_app import analyser  # noqa: PLC0415

        return getattr(analyser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
