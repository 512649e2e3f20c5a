"""The console script ``monai-deploy``: adds ``exec``, hands everything else to the SDK's own."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from monai_app.runtime import NOT_INSTALLED


def main() -> int | None:
    """Run ``exec`` ourselves; package, run and the rest are holoscan-cli's."""
    if sys.argv[1:2] == ["exec"]:
        return execute(sys.argv[2:])
    if find_spec("holoscan_cli") is None:
        sys.stderr.write(f"{NOT_INSTALLED}\n")
        return 2
    from holoscan_cli.__main__ import main as upstream  # noqa: PLC0415 - a second to import, not needed for exec

    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        sys.stdout.write("exec: run an application here, without a container (monai-deploy exec -h)\n\n")
    sys.argv[0] = "monai-deploy"  # holoscan-cli tells the SDKs apart by this name
    return upstream()  # type: ignore[no-any-return]


def execute(arguments: list[str]) -> int:
    """Replace this process by an application; all flags but its path are the application's."""
    parser = argparse.ArgumentParser(
        prog="monai-deploy exec",
        description="Run an application in this Python, without a container. All further flags go to the application: "
        "-i INPUT -o OUTPUT -m MODELS -w WORKDIR -l LEVEL",
    )
    parser.add_argument("application", type=Path, help="application folder (with __main__.py) or .py file")
    options, flags = parser.parse_known_args(arguments)
    application = options.application.resolve()
    if not (application.is_file() or (application / "__main__.py").is_file()):
        parser.error(f"no application at {options.application}: give a .py file or a folder with __main__.py")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(application), *flags])  # noqa: S606 - the application that was asked for
