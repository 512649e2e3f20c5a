"""What the configurations of a bundle ask of the MONAI workflow that evaluates them.

MONAI hands an expression of a configuration neither the workflow nor the path of its file. Both are found on the call
stack: every expression is evaluated below a method of ``monai.bundle.ConfigWorkflow``, which knows the folder of its
configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from operators.records.errors import BundleError

_COMMAND = "monai.bundle.__main__"


def bundle_root() -> str:
    """Return the absolute folder of the bundle whose configuration is evaluated: that which holds its ``configs``.

    It is the value of ``bundle_root`` in the configurations of bundles. So a bundle works from any working directory,
    and a copy of it uses its own files.

    Raises
    ------
    BundleError
        If no workflow evaluates the configuration, but a bare ``ConfigParser``, which does not know its file.
    """
    from monai.bundle import ConfigWorkflow  # noqa: PLC0415 - the application needs none, and it takes a second

    for workflow in _callers(ConfigWorkflow):
        return str(Path(workflow.config_root_path).resolve().parent)
    raise BundleError(
        "bundle_root is unknown to a ConfigParser: set parser['bundle_root'] to the bundle's folder, "
        "or use monai.bundle.ConfigWorkflow"
    )


def is_library_call() -> bool:
    """Tell whether a configuration is evaluated, but not by the command ``python -m monai.bundle``.

    An error must not end such a process, which may be a notebook.
    """
    if "monai.bundle" not in sys.modules:
        return False
    from monai.bundle import ConfigParser  # noqa: PLC0415 - as above

    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return getattr(spec, "name", None) != _COMMAND and any(True for _ in _callers(ConfigParser))


def _callers(kind: type) -> Iterator[Any]:
    """Yield the objects of a class whose methods are being called, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind):
            yield caller
        frame = frame.f_back
