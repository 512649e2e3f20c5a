"""The sections of ``app.yaml`` that the packager reads: the manifest of the MONAI Application Package."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from reprlib import repr as short  # a value in a message of one line
from typing import Any

from monai_app.settings.limits import ValueFault

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(|[KMGT]i?)B?")
_UNITS = {"": 1, **{unit: 1000**power for power, unit in enumerate("KMGT", 1)}}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGT", 1)}


def quantity(value: object) -> int:
    """Return a quantity of memory in bytes, written as for a MONAI Application Package: ``6Gi``, ``512Mi``, ``2GB``.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if found is None or float(found[1]) == 0:
        raise ValueError(f"{short(value)} is no quantity of memory; write one like 6Gi or 512Mi")
    return int(float(found[1]) * _UNITS[found[2]])


def _words(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{short(value)} is no text")


def _list_of_words(value: object) -> None:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{short(value)} is no list of words")
    for item in value:
        _words(item)


def _count(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1_000_000:
        raise ValueError(f"{short(value)} is no whole number from 0 to 1000000")


MANIFEST: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "application": {
        "title": _words,
        "version": _words,
        "pip-packages": _list_of_words,
        "input-formats": _list_of_words,
        "output-formats": _list_of_words,
    },
    "resources": {
        "cpu": _count,
        "gpu": _count,
        "memory": quantity,
        "gpuMemory": quantity,
        "sharedMemory": quantity,
    },
}


def check_manifest(content: Mapping[str, Any]) -> None:
    """Raise ValueFault for what a package could not be run with; a run itself needs neither section."""
    for section, keys in MANIFEST.items():
        values = content.get(section, {})
        if not isinstance(values, dict):
            raise ValueFault((section,), "not a mapping of keys")
        for key, value in values.items():
            if key not in keys:
                known = ", ".join(keys)
                raise ValueFault((section, key), f"unknown key {short(key)}; known are {known}", (section,))
            try:
                keys[key](value)
            except ValueError as error:
                raise ValueFault((section, key), str(error)) from error
