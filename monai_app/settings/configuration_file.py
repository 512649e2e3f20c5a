"""``app.yaml``, or the file that the environment names, -> settings: every key is known, present and of its kind."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as short  # a value in a message of one line
from typing import Any

import yaml

from monai_app.settings.limits import SettingsError, ValueFault, check
from monai_app.settings.manifest import MANIFEST, check_manifest, quantity
from monai_app.settings.sections import LocalizationSettings, OutputSettings, Settings
from operators.encoding.object_kinds import OPTIONAL_KINDS

CONFIG_VARIABLE = "HOLOSCAN_CONFIG_PATH"
ROOT = Path(__file__).resolve().parent.parent.parent
# Keys that an earlier version knew by another name.
_RENAMED = {LocalizationSettings: {"most": "maximum_boxes", "least_score": "minimum_score"}}


class _UniqueKeys(yaml.SafeLoader):
    """A loader that refuses a key that stands twice, of which YAML's would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key {short(twice)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def embedded_models() -> Path:
    """Return the folder of the embedded bundles."""
    return ROOT / "bundles"


def read_settings(path: str | Path | None = None) -> Settings:
    """Read a configuration.

    Parameters
    ----------
    path
        None: what HOLOSCAN_CONFIG_PATH names, or ``app.yaml``.

    Raises
    ------
    SettingsError
        If the file is missing or a key is unknown, missing or of the wrong kind.
    """
    path = _path(path)
    content, node = _read(path)
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: not a mapping of sections")
    try:
        check_manifest(content)
        sections = {name: value for name, value in content.items() if name not in MANIFEST}
        settings: Settings = _fill(Settings, sections, ())
        check(settings)
    except ValueFault as fault:
        raise SettingsError(f"{path}{_position(node, fault.keys)}: {fault}") from fault
    return settings


def declared_memory() -> int | None:
    """Return the memory that ``resources: memory`` declares, bytes; None: it declares none. The file is a valid one."""
    declared = _read(_path())[0].get("resources", {}).get("memory")
    return None if declared is None else quantity(declared)


def _path(path: str | Path | None = None) -> Path:
    return Path(path or os.environ.get(CONFIG_VARIABLE) or ROOT / "app.yaml")


def _read(path: Path) -> tuple[Any, yaml.Node | None]:
    """Return what a file holds, and the nodes that know where in it each value stands."""
    try:
        text = path.read_text("utf-8")
        loader = _UniqueKeys(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node), node
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        cause = type(error).__name__
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            mark = error.problem_mark
            cause = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
        elif isinstance(error, yaml.reader.ReaderError):
            before = text[: error.position]
            column = error.position - before.rfind("\n")
            cause = f"line {before.count(chr(10)) + 1}, column {column}: {error.reason}"
        raise SettingsError(f"{path}: cannot be read ({cause}); check {CONFIG_VARIABLE}") from error


def _position(node: yaml.Node | None, keys: Sequence[object]) -> str:
    """Return line and column of a value that is named by its keys; of a key that is missing, those of its section."""
    found = None
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        name, value = next((pair for pair in pairs if pair[0].value == str(key)), (None, None))
        if name is None:
            break
        found, node = name.start_mark, value
    return "" if found is None else f", line {found.line + 1}, column {found.column + 1}"


def _fill(kind: type[Any], values: object, where: tuple[object, ...]) -> Any:
    """Build a settings class from a mapping; every key must be known, present and of its kind."""
    if not isinstance(values, dict):
        raise ValueFault(where, "not a mapping of keys")
    if kind is OutputSettings:
        return _outputs(values, where)
    for key, name in _RENAMED.get(kind, {}).items():
        if key in values:
            raise ValueFault((*where, key), f"key {key!r} is now called {name!r}", where)
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    for key in values:
        if key not in names:
            raise ValueFault((*where, key), f"unknown key {short(key)}; known are {', '.join(names)}", where)
    for field in fields:
        if field.name not in values and field.default is dataclasses.MISSING:
            raise ValueFault(where, f"key {field.name!r} is missing")
    return kind(**{name: _value(hints[name], value, (*where, name)) for name, value in values.items()})


def _outputs(values: dict[Any, Any], where: tuple[object, ...]) -> OutputSettings:
    """Build the section, most keys of which are switches named as in the table of objects."""
    hints = typing.get_type_hints(OutputSettings)
    names = (*OPTIONAL_KINDS, *(name for name in hints if name != "kinds"))
    if "viewer_geometry" in values:
        fault = "key 'viewer_geometry' is gone: every segmentation has a plane geometry; remove the line"
        raise ValueFault((*where, "viewer_geometry"), fault, where)
    for key in values:
        if key not in names:
            raise ValueFault((*where, key), f"unknown key {short(key)}; known are {', '.join(names)}", where)
    given = {name: _value(hints.get(name, bool), value, (*where, name)) for name, value in values.items()}
    kinds = frozenset(name for name in OPTIONAL_KINDS if given.pop(name, False))
    return OutputSettings(kinds, **given)


def _value(hint: Any, value: Any, where: tuple[object, ...]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _fill(typing.cast("type[Any]", hint), value, where)
    if isinstance(hint, types.UnionType):
        kinds = typing.get_args(hint)
        if value is None and types.NoneType in kinds:
            return None
        hint = next((kind for kind in kinds if isinstance(value, list) and typing.get_origin(kind) is tuple), kinds[0])
    if typing.get_origin(hint) is dict:
        if isinstance(value, dict) and all(isinstance(word, str) for pair in value.items() for word in pair):
            return value
        raise ValueFault(where, f"{short(value)} is not a mapping of words")
    if typing.get_origin(hint) is tuple:
        kind, words = (str, "words") if typing.get_args(hint)[0] is str else (float | int, "numbers")
        if isinstance(value, list) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value):
            return tuple(value)
        raise ValueFault(where, f"{short(value)} is not a list of {words}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueFault(where, f"{short(value)} is not {hint.__name__}")
    return value
