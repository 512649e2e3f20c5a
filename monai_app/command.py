"""The console script ``osteomap``: the application under its own name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monai_app import __version__

DESCRIPTION = """\
Classify radiographs of bones and joints, mark and outline findings, and write DICOM SEG, a structured report and a page
to read. Research use only: not a medical device, not for clinical use."""
EXAMPLES = """\
examples:
  osteomap studies/ results/                 analyse a folder of DICOM files, with its sub-folders
  osteomap image.dcm results/ -l DEBUG       one file, with a detailed log
  osteomap -i studies/ -o results/ -m models/   bundles of your own
  HOLOSCAN_CONFIG_PATH=my.yaml osteomap studies/ results/   settings of your own; start from app.yaml

Open results/report.html first; results/result.json holds the same for programs.
exit codes: 0 done, 1 ended early, 2 usage or configuration, 3 an image failed, 4 no DICOM image was found"""
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, then run the application; nothing heavy is imported before that."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.folders and (options.input or options.output):
        parser.error("give IN and OUT, or -i and -o")
    if options.folders and len(options.folders) != 2:
        parser.error("give an input and an output folder: osteomap IN OUT")
    source, output = options.folders or (options.input, options.output)
    flags = {"-i": source, "-o": output, "-m": options.model, "-w": options.workdir, "-l": options.log_level}
    argv = [text for flag, value in flags.items() if value is not None for text in (flag, str(value))]
    from monai_app.runtime import NoTemporaryFolderError, prepare  # noqa: PLC0415 - answers to --help come first

    try:
        prepare()
    except NoTemporaryFolderError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    from monai_app.run import run  # noqa: PLC0415 - holoscan can only be imported after prepare()

    return run([sys.argv[0], *argv])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osteomap",
        usage="osteomap IN OUT [-m MODELS] [-l LEVEL]",
        description=DESCRIPTION,
        epilog=EXAMPLES,
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
    parser.add_argument("--version", action="version", version=f"osteomap {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
