#!/opt/holoscan/venv/bin/python
"""The entry point of the MONAI Application Package, ``/var/holoscan/tools`` in the image.

Without a command it runs the application and ends with its exit code. It stays the parent of the application: the
first process of a container ignores signals that it does not handle, and its orphans are its own to reap.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

APPLICATION = Path(os.environ.get("HOLOSCAN_APPLICATION", "/opt/holoscan/app"))
MODELS = Path(os.environ.get("HOLOSCAN_MODEL_PATH", "/opt/holoscan/models"))
DOCUMENTS = Path(os.environ.get("HOLOSCAN_DOCS_PATH", "/opt/holoscan/docs"))
MANIFESTS = {
    "app": Path(os.environ.get("HOLOSCAN_APP_MANIFEST_PATH", "/etc/holoscan/app.json")),
    "pkg": Path(os.environ.get("HOLOSCAN_PKG_MANIFEST_PATH", "/etc/holoscan/pkg.json")),
}
SETTINGS = Path(os.environ.get("HOLOSCAN_CONFIG_PATH", "/var/holoscan/app.yaml"))
OUTPUT = Path(os.environ.get("HOLOSCAN_OUTPUT_PATH", "/var/holoscan/output"))
EXPORT = Path(os.environ.get("HOLOSCAN_EXPORT_PATH", "/var/run/holoscan/export"))
USAGE = """\
usage: [command]
  (none)            analyse /var/holoscan/input, write to /var/holoscan/output; further flags go to the application
  show [app|pkg]    print the manifests
  extract           copy application, configuration, models and documents to the folders mounted below
                    /var/run/holoscan/export (app, config, models, docs), or all of them if it is empty
  license           print the licence, and those of all packages in the image
  health            exit 0 if results can be written
  mercure           run as a module of mercure: MERCURE_IN_DIR, MERCURE_OUT_DIR (implied where they are set)
"""


def main(arguments: list[str]) -> int:
    """Carry out one command and return the exit code of the container."""
    commands = {"help": usage, "show": show, "extract": extract, "license": license_texts, "health": health}
    name, *rest = arguments or ["mercure" if "MERCURE_IN_DIR" in os.environ else ""]
    if name in commands:
        return commands[name](rest)
    if name == "mercure":
        return run([sys.executable, "-m", "monai_app.container.mercure"])
    return run([sys.executable, str(APPLICATION), *arguments])


def usage(arguments: list[str]) -> int:
    """Print what the entry point can do."""
    sys.stdout.write(USAGE)
    return 0


def license_texts(arguments: list[str]) -> int:
    """Print the licence of OsteoMAP and those of the packages in the image."""
    for name in ("LICENSE", "THIRD_PARTY_LICENSES.txt"):
        sys.stdout.write((DOCUMENTS / name).read_text("utf-8"))
    return 0


def health(arguments: list[str]) -> int:
    """Return 0 if results and temporary files can be written."""
    folders = (OUTPUT, Path(tempfile.gettempdir()))
    return 0 if all(os.access(folder, os.W_OK | os.X_OK) for folder in folders) else 1


def show(names: list[str]) -> int:
    """Print the manifests that are named, or both, as JSON."""
    unknown = [name for name in names if name not in MANIFESTS]
    if unknown:
        sys.stderr.write(f"show: {unknown[0]!r} is neither app nor pkg\n")
        return 2
    for name in names or MANIFESTS:
        content = json.loads(MANIFESTS[name].read_text("utf-8"))
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    return 0


def extract(arguments: list[str]) -> int:
    """Copy the parts of the package to the folders that are mounted for them."""
    parts = {
        "app": [APPLICATION],
        "config": [*MANIFESTS.values(), SETTINGS],
        "models": [MODELS],
        "docs": [DOCUMENTS],
    }
    if not EXPORT.is_dir():
        sys.stderr.write(f"extract: nothing is mounted at {EXPORT}; mount a folder there\n")
        return 2
    wanted = [name for name in parts if (EXPORT / name).is_dir()] or list(parts)
    for name in wanted:
        try:
            for source in parts[name]:
                if source.is_dir():
                    shutil.copytree(source, EXPORT / name, dirs_exist_ok=True, copy_function=shutil.copyfile)
                else:
                    (EXPORT / name).mkdir(exist_ok=True)
                    shutil.copyfile(source, EXPORT / name / source.name)
        except OSError as error:
            sys.stderr.write(f"extract: {name} cannot be copied ({error}); check the rights of {EXPORT}\n")
            return 1
        sys.stdout.write(f"extracted {name}\n")
    return 0


def run(command: list[str]) -> int:
    """Run a child, pass SIGTERM and SIGINT on to it, reap orphans, and return its exit code."""
    environment = os.environ | {"PYTHONPATH": str(APPLICATION), "HOLOSCAN_MODEL_PATH": str(MODELS)}
    environment["HOLOSCAN_CONFIG_PATH"] = str(SETTINGS)
    child = subprocess.Popen(command, env=environment)  # noqa: S603 - the application of this image

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    while True:
        identifier, status = os.wait()
        if identifier == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
