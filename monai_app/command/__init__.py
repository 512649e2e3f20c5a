"""The console script ``osteomap``: the application under its own name, and its sub-commands.

Nothing heavy is imported before the arguments are understood, so that answers come at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from monai_app import __version__

if TYPE_CHECKING:
    from operators.reporting.summaries import StudySummary

DESCRIPTION = """\
Classify radiographs of bones and joints, mark and outline findings, and write DICOM SEG, a structured report and a page
to read. Research use only: not a medical device, not for clinical use."""
EXAMPLES = """\
examples:
  osteomap studies/ results/                 analyse a folder of DICOM files, with its sub-folders
  osteomap image.dcm results/ -l DEBUG       one file, with a detailed log
  osteomap -i studies/ -o results/ -m models/   bundles of your own
  HOLOSCAN_CONFIG_PATH=my.yaml osteomap studies/ results/   settings of your own; start from app.yaml
  osteomap check                             does this installation work?

Open results/report.html first; results/result.csv is a list of images for a spreadsheet, results/result.json holds
everything for programs.
"""
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")
EXIT_CODES = (
    "exit codes: 0 done, 1 ended early, 2 usage, configuration or model, 3 an image failed, 4 no DICOM image was found"
)


class Command(NamedTuple):
    """A sub-command: the module whose ``main(arguments)`` runs it and returns its exit code, and what it does."""

    module: str
    purpose: str


# A folder of such a name is given as ./models.
COMMANDS: Mapping[str, Command] = {
    "models": Command("monai_app.command.models", "list the models: versions, checksums, findings, operating points"),
    "check": Command(
        "monai_app.command.check", "check this installation: libraries, models, decoders, memory, a phantom"
    ),
    "map": Command("monai_app.packaging.__main__", "make the container image, a MONAI Application Package"),
}


def main(arguments: list[str] | None = None) -> int:
    """Understand the command line, then run the application or a sub-command; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        found: int = import_module(COMMANDS[arguments[0]].module).main(arguments[1:])
        return found
    parser = _parser()
    options = parser.parse_args(arguments)
    flags = _flags(parser, options)
    from monai_app.runtime import PreparationError, prepare  # noqa: PLC0415 - answers to --help come first
    from monai_app.settings import SettingsError, read_settings  # noqa: PLC0415
    from monai_app.stopping import StopRequests  # noqa: PLC0415

    try:
        prepare()
        read_settings()  # a mistake is told before what is heavy is imported
    except (PreparationError, SettingsError) as error:
        sys.stderr.write(f"osteomap: {error}\n")
        return 2
    with StopRequests() as stop:
        from monai_app.run import run  # noqa: PLC0415 - holoscan can only be imported after prepare()

        tell = None if options.quiet else _print_table
        return run([sys.argv[0], *flags], stop=stop, tell=tell, resume=options.resume)


def _print_table(studies: Sequence[StudySummary]) -> None:
    from operators.reporting.result_list import as_table  # noqa: PLC0415 - as above

    sys.stderr.flush()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        for line in as_table(studies):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough; nothing is left for the interpreter to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flags(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    """Return the arguments of the MONAI Deploy App SDK, or end with a line that says what is missing."""
    if options.folders and (options.input or options.output):
        parser.error("give IN and OUT, or -i and -o")
    if options.folders and len(options.folders) != 2:
        known = ", ".join(COMMANDS)
        parser.error(f"give an input and an output folder: osteomap IN OUT; or a sub-command: {known}")
    source, output = options.folders or (options.input, options.output)
    if source is None and "HOLOSCAN_INPUT_PATH" not in os.environ:
        parser.error("give an input and an output folder: osteomap IN OUT")
    if output is None and "HOLOSCAN_OUTPUT_PATH" not in os.environ:
        parser.error("give an output folder, too: osteomap IN OUT, or -o OUT")
    if source is not None and not source.exists():
        parser.error(f"no input at {source}; check IN / -i")
    given = {"-i": source, "-o": output, "-m": options.model, "-w": options.workdir, "-l": options.log_level}
    return [text for flag, value in given.items() if value is not None for text in (flag, str(value))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osteomap",
        usage="osteomap IN OUT [-m MODELS] [-l LEVEL] [--resume] [--quiet]\n       osteomap COMMAND [-h]",
        description=DESCRIPTION,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="IN OUT", help="a folder or one file; a folder")
    parser.add_argument("-i", "--input", type=Path, help="the same as IN")
    parser.add_argument("-o", "--output", type=Path, help="the same as OUT")
    parser.add_argument(
        "-m", "--model", type=Path, metavar="MODELS", help="folder of bundles; default: the embedded ones"
    )
    parser.add_argument("-w", "--workdir", type=Path, help="working folder of the MONAI Deploy App SDK")
    parser.add_argument("-l", "--log-level", choices=LEVELS, help="default: INFO")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run: keep the studies that are finished",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print no table of the images at the end")
    parser.add_argument("--version", action="version", version=f"osteomap {__version__}")
    return parser


def _epilog() -> str:
    commands = "".join(f"  {name:<9} {command.purpose}\n" for name, command in COMMANDS.items())
    settings = os.environ.get("HOLOSCAN_CONFIG_PATH") or Path(__file__).resolve().parents[2] / "app.yaml"
    return (
        f"commands (osteomap COMMAND --help says more; a folder of such a name is given as ./NAME):\n{commands}\n"
        f"{EXAMPLES}\nsettings: {settings}; HOLOSCAN_CONFIG_PATH names another file\n{EXIT_CODES}"
    )
