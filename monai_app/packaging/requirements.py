"""The pinned packages that the application needs at run time: a part of ``constraints.txt``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from monai_app.packaging.errors import PackagingError

EXTRAS = frozenset({"app"})  # Holoscan and the SDK
# Packages that are declared by others and that the application never imports, with the reason that they can go.
UNUSED: Mapping[str, Mapping[NormalizedName, str]] = {
    "cpu": {
        canonicalize_name("triton"): "compiles kernels for GPUs; torch works without it (0.9 GB)",
    },
    "cuda": {},
}
VARIANTS = tuple(UNUSED)


def runtime_requirements(constraints: Path, variant: str) -> list[str]:
    """Return ``name==version`` of everything that the application needs, itself excepted, sorted by name.

    Parameters
    ----------
    constraints
        The file with the exact pins.
    variant
        ``cpu`` or ``cuda``.

    Raises
    ------
    PackagingError
        If a package is needed that has no pin.
    """
    pins = read_pins(constraints.read_text("utf-8"))
    needed = _closure("osteomap", EXTRAS) - {canonicalize_name("osteomap")} - UNUSED[variant].keys()
    missing = sorted(needed - pins.keys())
    if missing:
        raise PackagingError(f"{', '.join(missing)}: no pin in {constraints.name}; add one")
    return [pins[name] for name in sorted(needed)]


def read_pins(text: str) -> dict[NormalizedName, str]:
    """Return the pins of a constraints file by the name of their package."""
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s#;]+)", text, re.MULTILINE)
    return {canonicalize_name(name): f"{name}=={version}" for name, version in found}


def _closure(name: str, extras: Iterable[str]) -> set[NormalizedName]:
    """Return a distribution and everything that it needs in this environment, by the metadata that is installed."""
    found: dict[NormalizedName, frozenset[str]] = {}
    todo = [(name, frozenset(extras))]
    while todo:
        name, wanted = todo.pop()
        key = canonicalize_name(name)
        if key in found and wanted <= found[key]:
            continue
        found[key] = found.get(key, frozenset()) | wanted
        for requirement in _requirements(name):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in found[key] | {""}):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return set(found)


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in distribution(name).requires or ()]
    except PackageNotFoundError as error:
        raise PackagingError(f"{name} is not installed here; run make setup") from error
