"""``inference.json`` of a bundle -> its network and its pre-processing, without evaluating anything.

The file is a MONAI configuration, and ``python -m monai.bundle run`` executes all of it. The application takes two of
its entries, and of MONAI's syntax two forms: ``_target_`` with a name of the closed table ``components.COMPONENTS``,
and ``@name``, a reference to another entry. Expressions (``$``), macros (``%``), imports and MONAI's other keys with
underscores are refused where what is taken holds them, and not looked at elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operators.networks.components import component
from operators.networks.verification import INFERENCE, parse_json
from operators.records.errors import BundleError

_TARGET = "_target_"


class InferenceConfig:
    """A configuration whose entries are built on demand, each once.

    The methods are named as those of MONAI's ``ConfigParser``, which the configurations of trainings call.
    """

    def __init__(self, bundle: str, content: Mapping[str, Any]) -> None:
        self.bundle = bundle
        self.content = content
        self._built: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry as it is written."""
        return self.content.get(name, default)

    def get_parsed_content(self, name: str) -> Any:
        """Return what an entry stands for, objects built.

        Raises
        ------
        BundleError
            If it is missing, names what a bundle may not name, or holds an expression.
        """
        return self._entry(name, ())

    def _entry(self, name: str, trail: tuple[str, ...]) -> Any:
        if name not in self.content or name in trail:
            fault = "refers to itself" if name in trail else "is missing"
            raise self._error(_short(name), f"{fault}; correct {INFERENCE}")
        if name not in self._built:
            self._built[name] = self._value(self.content[name], name, (*trail, name))
        return self._built[name]

    def _value(self, value: Any, where: str, trail: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return self._mapping(value, where, trail)
        if isinstance(value, list):
            return [self._value(item, f"{where}.{number}", trail) for number, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            return self._entry(value[1:], trail)
        if value.startswith(("$", "%")):
            remedy = f"write its value into {INFERENCE}, then run training.export on the bundle"
            raise self._error(where, f"{_short(value)} is an expression, which is not evaluated: {remedy}")
        return value

    def _mapping(self, value: dict[str, Any], where: str, trail: tuple[str, ...]) -> Any:
        refused = [key for key in value if key.startswith("_") and key != _TARGET]
        if refused:
            raise self._error(where, f"{_short(refused[0])} is not allowed in what the application loads; remove it")
        arguments = {key: self._value(item, f"{where}.{key}", trail) for key, item in value.items() if key != _TARGET}
        if _TARGET not in value:
            return arguments
        called = component(value[_TARGET]) if isinstance(value[_TARGET], str) else None
        if called is None:
            what = f"{_TARGET} {_short(value[_TARGET])} is not one that a bundle may name"
            raise self._error(where, f"{what}; see operators/networks/components.py for those that it may")
        return called(**arguments)

    def _error(self, where: str, what: str) -> BundleError:
        return BundleError(f"bundle {self.bundle}: {where[:100]}: {what}")


def read_config(bundle_root: str | Path, overlay: str | None = None) -> InferenceConfig:
    """Return the ``inference.json`` of a bundle, the one home of its pre-processing and its network.

    Parameters
    ----------
    overlay
        Name of a configuration whose entries replace those of ``inference.json``.

    Raises
    ------
    OSError, BundleError
        If a file cannot be read.
    """
    folder = Path(bundle_root)
    names = [INFERENCE] if overlay is None else [INFERENCE, f"configs/{overlay}.json"]
    return parse_config(folder.name, {name: (folder / name).read_bytes() for name in names})


def parse_config(bundle: str, files: Mapping[str, bytes]) -> InferenceConfig:
    """Return the configuration in files, of which a later one's entries replace an earlier one's.

    Raises
    ------
    BundleError
        If a file is no JSON object, or a later one changes an entry in part.
    """
    content: dict[str, Any] = {}
    for name, data in files.items():
        entries = parse_json(bundle, name, data)
        partial = [key for key in entries if key.startswith("+") or "#" in key or "::" in key]
        if partial:
            raise BundleError(f"bundle {bundle}: {name}: {_short(partial[0])} is a part of an entry; write it whole")
        content |= entries
    return InferenceConfig(bundle, content)


def _short(value: Any) -> str:
    """Return a value for a message of one line."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
