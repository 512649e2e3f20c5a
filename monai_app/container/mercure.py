"""A study in the folders of mercure, the DICOM orchestrator, -> DICOM objects, ``result.json`` and a notification.

mercure (https://mercure-imaging.org/docs) mounts a folder with the images of a series or a study, named
``<series UID>#<file UID>.dcm``, beside them ``.tags`` files and ``task.json``, and one for the results, and names both
in ``MERCURE_IN_DIR`` and ``MERCURE_OUT_DIR``. Every DICOM file in the latter is sent on, and its ``result.json`` is
kept with the task; the key ``__mercure_notification`` in it asks for a message.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

IN, OUT, SETTINGS = "MERCURE_IN_DIR", "MERCURE_OUT_DIR", "HOLOSCAN_CONFIG_PATH"
FILES_TO_KEEP = ("result.csv", "report.html")


class TaskError(ValueError):
    """What mercure gave cannot be used."""


def main() -> int:
    """Analyse the input folder of mercure and return the exit code of the application."""
    try:
        source, target = _folder(IN), _folder(OUT)
        settings = merged_settings(Path(os.environ[SETTINGS]), module_settings(source / "task.json"))
    except TaskError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="osteomap-mercure-") as work:
        configuration = Path(work) / "app.yaml"
        configuration.write_text(yaml.safe_dump(settings), "utf-8")
        results = target / ".osteomap"  # on the same volume, so that moving is renaming
        environment = os.environ | {SETTINGS: str(configuration)}
        command = [sys.executable, "-m", "monai_app", "-i", str(source), "-o", str(results)]
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - ourselves
        if (results / "result.json").is_file():
            deliver(results, target)
        shutil.rmtree(results, ignore_errors=True)
    return code


def module_settings(task_file: Path) -> Mapping[str, Any]:
    """Return the settings of this module in a ``task.json``: sections of ``app.yaml``; empty if there are none.

    Raises
    ------
    TaskError
        If the file or its settings are not what mercure writes.
    """
    try:
        task = json.loads(task_file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TaskError(f"task.json cannot be read ({type(error).__name__})") from error
    process = task.get("process") if isinstance(task, dict) else None
    steps = process if isinstance(process, list) else [process]
    given = [step["settings"] for step in steps if isinstance(step, dict) and step.get("settings")]
    if not given:
        return {}
    if len(given) > 1:
        raise TaskError("task.json has settings of several modules; give OsteoMAP a rule of its own")
    settings = given[0]
    if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
        raise TaskError('the settings of the module are not sections of app.yaml, as {"outputs": {"pdf": true}} is')
    return settings


def merged_settings(configuration: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with some keys changed; which keys there are is checked by the application."""
    content: dict[str, Any] = yaml.safe_load(configuration.read_text("utf-8"))
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return content


def deliver(results: Path, target: Path) -> None:
    """Move the objects of a run into one folder without sub-folders, and write ``result.json`` with a notification."""
    result = json.loads((results / "result.json").read_text("utf-8"))
    for study in result["studies"]:
        for output in study["outputs"]:
            name = str(output["file"]).replace("/", "_")
            (results / output["file"]).replace(target / name)
            output["file"] = name
        for image in study["images"]:
            image["outputs"] = [name.replace("/", "_") for name in image["outputs"]]
    result["__mercure_notification"] = notification(result["counts"])
    for name in FILES_TO_KEEP:
        if (results / name).is_file():
            (results / name).replace(target / name)
    written = results / "result.json"
    written.write_text(json.dumps(result), "utf-8")
    written.replace(target / "result.json")


def notification(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the message of a run; it is asked for if an image is abnormal or in doubt, or failed."""
    told = ("abnormal", "doubt", "normal", "declined", "failed")
    words = ", ".join(f"{counts[state]} {state}" for state in told if counts[state])
    requested = any(counts[state] for state in ("abnormal", "doubt", "failed"))
    return {"text": f"OsteoMAP, research use only: {words or 'no image'}", "requested": requested}


def _folder(variable: str) -> Path:
    path = Path(os.environ.get(variable, ""))
    if not path.is_absolute() or not path.is_dir():
        raise TaskError(f"{variable} names no folder; mercure sets it to the folder that it mounts")
    return path


if __name__ == "__main__":
    sys.exit(main())
