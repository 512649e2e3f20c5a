"""Entry point: ``python -m monai_app -i IN -o OUT``; parse, run, exit code."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as ``python monai_app``, the way MAPs and ``monai-deploy exec`` do
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from monai_app.runtime import PreparationError, prepare
from monai_app.stopping import StopRequests


def main(arguments: list[str] | None = None) -> int:
    """Run the application and return its exit code."""
    try:
        prepare()
    except PreparationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with StopRequests() as stop:
        from monai_app.run import run  # noqa: PLC0415 - holoscan can only be imported after prepare()

        return run([sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)], stop=stop)


if __name__ == "__main__":
    sys.exit(main())
