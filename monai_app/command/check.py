"""``osteomap check``: does this installation work? Libraries, settings, models, decoders, memory, and one phantom."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from monai_app import __version__
from monai_app.runtime import PreparationError, prepare
from operators.records.errors import OsteoMapError

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_EXTRAS = ("", "app")  # what the application needs; other extras are for training and tests


class _CheckFailedError(OsteoMapError):
    """Something does not work; the text says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Check the installation, a line per check; return 0 if all is well and 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="osteomap check",
        description="Check this installation: libraries, settings, models and their checksums, a decoder for every "
        "transfer syntax, memory, and one phantom from file to report. Exit code 0: it works, 1: it does not.",
    )
    parser.add_argument(
        "-m", "--model", type=Path, metavar="MODELS", help="folder of bundles; default: the embedded ones"
    )
    options = parser.parse_args(arguments)
    problem: PreparationError | None = None
    try:
        prepare()  # it may start the interpreter anew, so before the first line
    except PreparationError as error:
        problem = error
    checks: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("libraries", _libraries),
        ("settings", _settings),
        ("memory", _memory),
        ("start", lambda: _start(problem)),
        ("models", lambda: _models(options.model)),
        ("decoders", _decoders),
        ("phantom", lambda: _phantom(options.model)),
    ]
    failed = [name for name, check in checks if not _passes(name, check)]
    sys.stdout.write(f"osteomap {__version__}: {'does not work: ' + ', '.join(failed) if failed else 'works'}\n")
    return 1 if failed else 0


def _passes(name: str, check: Callable[[], Iterator[str]]) -> bool:
    """Run a check, print what it finds line by line, and return whether all was well."""
    try:
        for line in check():
            sys.stdout.write(f"ok      {name:<10} {line}\n")
            sys.stdout.flush()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever is broken, the next check is run
        what = str(error) if isinstance(error, OsteoMapError) else f"{type(error).__name__}: {error}"
        sys.stdout.write(f"FAILED  {name:<10} {' '.join(what.split())[:500]}\n")
        return False
    return True


def _libraries() -> Iterator[str]:
    try:
        listed = [Requirement(text) for text in requires("osteomap") or ()]
    except PackageNotFoundError:
        yield "not installed by pip, so that no versions are asked for"
        return
    needed = [
        each for each in listed if each.marker is None or any(each.marker.evaluate({"extra": name}) for name in _EXTRAS)
    ]
    wrong = []
    for requirement in needed:
        try:
            found = version(requirement.name)
            if not requirement.specifier.contains(found, prereleases=True):
                wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
    if wrong:
        raise _CheckFailedError(f"{', '.join(wrong)}; run pip install '.[app]' in the repository of OsteoMAP")
    yield f"Python {sys.version.split()[0]}, {len(needed)} packages as required"


def _settings() -> Iterator[str]:
    from monai_app.settings import read_settings  # noqa: PLC0415 - --help comes first

    settings = read_settings()
    yield f"classifier {', '.join(settings.classification.bundles)}, segmenter {settings.segmentation.bundle}"


def _memory() -> Iterator[str]:
    from monai_app.settings import declared_memory  # noqa: PLC0415

    limit, declared = _memory_limit(), declared_memory() or 0
    told = f"{limit / 2**30:.1f} GiB, app.yaml declares {declared / 2**30:.1f} GiB"
    if limit < declared:
        raise _CheckFailedError(f"{told}: give more, or lower resources: memory and radiographs: largest_megapixels")
    yield told


def _memory_limit() -> int:
    """Return how much memory this process can get at the most: the machine's, or what its control group allows."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            limits.append(int(file.read_text()))
    return min(limits)


def _start(problem: PreparationError | None) -> Iterator[str]:
    if problem is not None:
        raise problem
    import monai_app.run  # noqa: PLC0415, F401 - all that a run imports

    yield "torch, MONAI, Holoscan and the MONAI Deploy App SDK can be imported"


def _models(folder: Path | None) -> Iterator[str]:
    from monai_app.analyser import open_analyser  # noqa: PLC0415

    with open_analyser(folder) as analyser:
        for model in analyser.provenance.models:
            yield f"{model.name} {model.version}, verified and loaded, sha256 {model.sha256[:16]}..."


def _decoders() -> Iterator[str]:
    import numpy as np  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415

    from monai_app.command.sample_images import LOSSY, SYNTAXES, sample  # noqa: PLC0415
    from monai_app.settings import read_settings  # noqa: PLC0415
    from operators.reading.decoder import Decoder  # noqa: PLC0415

    limits = read_settings().radiographs
    with Decoder(limits.decoder_timeout_s, limits.decoder_memory_mib) as decoder:
        expected = decoder.pixels(sample(ExplicitVRLittleEndian))
        for syntax in SYNTAXES:
            try:
                reply = decoder.pixels(sample(syntax))
            except OsteoMapError as error:
                raise _CheckFailedError(f"{syntax.name}: {error.detail}") from error
            same = float(np.abs(reply.picture - expected.picture).max())
            if (syntax in LOSSY and same > 0.1) or (syntax not in LOSSY and reply.sha256 != expected.sha256):
                raise _CheckFailedError(f"{syntax.name}: the picture is not the one that was encoded")
            yield syntax.name


def _phantom(folder: Path | None) -> Iterator[str]:
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415

    from monai_app.command.sample_images import sample  # noqa: PLC0415
    from monai_app.run import run  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="osteomap-check-") as place:
        source, output = Path(place, "phantom.dcm"), Path(place, "out")
        source.write_bytes(sample(ExplicitVRLittleEndian, 640, 512))
        flags = ["-i", str(source), "-o", str(output), "-l", "ERROR", *(() if folder is None else ("-m", str(folder)))]
        with redirect_stderr(io.StringIO()):
            code = run(["osteomap", *flags])
        if code != 0:
            raise _CheckFailedError(f"exit code {code}; run osteomap on a file of yours with -l DEBUG")
        result = json.loads((output / "result.json").read_text("utf-8"))
        objects = [written["file"] for study in result["studies"] for written in study["outputs"]]
        for name in objects:
            dcmread(output / name)
        (image,) = result["studies"][0]["images"]
        seconds = result["seconds"]["total"]
        yield f"{image['state']}, probability {image['probability']:.3f}, {len(objects)} objects, {seconds:.1f} s"
