"""Independent judges of DICOM objects, one function each: what they find wrong, what they warn of."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
from pydicom import dcmread
from pydicom.dataset import Dataset

PIXELMED = Path("/usr/share/java/pixelmed.jar")
MEMORY = ["-Xms1g", "-Xmx2g", "-XX:+UseSerialGC"]  # with less, collecting garbage takes a quarter of the time
# The Java of today refuses the size of PixelMed's rules unless it is told that there is no limit.
NO_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprGrp", "ExprOp", "TotalOp")]


@dataclass(frozen=True, slots=True)
class Verdict:
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _run(*command: str | Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, errors="replace", timeout=300
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def _verdict(lines: Sequence[str], code: int = 0) -> Verdict:
    """Sort lines by their first word; a judge that ends with another code than 0 without naming an error has failed."""
    errors = tuple(line for line in lines if re.match("Error|Abort|E:|F:", line))
    warnings = tuple(line for line in lines if re.match("Warning|W:", line))
    return Verdict(errors or (() if code == 0 else (f"Error - exit code {code}: {' '.join(lines)[-300:]}",)), warnings)


def dciodvfy(path: Path) -> Verdict:
    """David Clunie's validator of IODs; it always ends with 0."""
    return _verdict(_run("dciodvfy", "-new", path)[1])


def dcentvfy(paths: Sequence[Path]) -> Verdict:
    """Whether the objects of one study agree on patient and study."""
    return _verdict(_run("dcentvfy", *paths)[1])


def dcmdump(paths: Sequence[Path]) -> Verdict:
    code, lines = _run("dcmdump", *paths)
    return _verdict([line for line in lines if re.match("[EFW]:", line)], code)


def gdcmdump(folder: Path) -> Verdict:
    """Read all files of a folder; a file that cannot be read ends the program."""
    code, lines = _run("gdcmdump", "--recursive", "--input", folder)
    return _verdict([line for line in lines if re.match("Error|Warning", line)], code)


def dsrdump(paths: Sequence[Path]) -> Verdict:
    """OFFIS DCMTK's reader of structured reports."""
    code, lines = _run("dsrdump", *paths)
    return _verdict([line for line in lines if re.match("[EFW]:", line)], code)


def dcm2pnm(path: Path) -> Verdict:
    """Render a picture."""
    with tempfile.TemporaryDirectory() as folder:
        code, lines = _run("dcm2pnm", path, Path(folder) / "a.pnm")
        return _verdict(lines, code)


def dcmp2pgm(path: Path, source: Path) -> Verdict:
    """Render an image through its presentation state.

    The program refuses a state without a patient's name, which may be empty, and compressed pixels: it gets copies.
    """
    with tempfile.TemporaryDirectory() as folder:
        state = dcmread(path)
        if not state.PatientName:
            state.PatientName = "NAME^NO"
            path = Path(folder) / path.name
            state.save_as(path)
        meta = dcmread(source, stop_before_pixels=True, force=True).file_meta
        if "TransferSyntaxUID" in meta and meta.TransferSyntaxUID.is_compressed:
            _run("gdcmconv", "--raw", source, Path(folder) / source.name)
            source = Path(folder) / source.name
        code, lines = _run("dcmp2pgm", "-p", path, source, Path(folder) / "a.pgm")
        return _verdict(lines, code)


def highdicom_reread(path: Path, kind: str) -> Verdict:
    """Read an object by the library's own class, where it has one, and compare with the file."""
    plain = dcmread(path)
    read: Dataset = plain
    if kind in ("seg", "heatmap", "labelmap"):
        read = hd.seg.segread(path)
        _ = read.pixel_array
    elif kind == "sr":
        read = hd.sr.srread(path)
    elif kind == "sc":
        read = hd.imread(path)
        read.get_frame(1)
    return Verdict() if read.to_json() == plain.to_json() else Verdict(("Error - read back as something else",))


def pixelmed(paths: Sequence[Path]) -> dict[Path, Verdict]:
    """Judge structured reports by David Clunie's rules of their templates, many in one process.

    Compiling the rules takes most of the time, and Debian's program takes one file.
    """
    judge = Path(__file__).with_name("JudgeReports.java")
    done = subprocess.run(
        ["java", *MEMORY, *NO_LIMITS, "-cp", str(PIXELMED), str(judge), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        timeout=900,
    )
    verdicts = {}
    for part in done.stdout.split("File: ")[1:]:
        name, *lines = part.splitlines()
        complete = "IOD validation complete" in lines and any(line.startswith("Found Root Template") for line in lines)
        verdicts[Path(name)] = _verdict(lines, 0 if complete else 1)
    silent = Verdict((f"Error - PixelMed said nothing: {done.stderr[-300:]}",))
    return {path: verdicts.get(path, silent) for path in paths}


def versions() -> Mapping[str, str]:
    """Return what is installed, by the Debian package that holds each judge."""
    packages = ("dicom3tools", "dcmtk", "libgdcm-tools", "pixelmed-apps", "orthanc", "orthanc-dicomweb", "chromium")
    if shutil.which("dpkg-query") is None:
        return {}
    _, lines = _run("dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *packages)
    return dict(line.split(" ") for line in lines if len(line.split(" ")) == 2)
