"""Which judge judges which objects, what it may warn of, and the record of what was judged."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration import validators
from tests.integration.validators import Verdict

ROOT = Path(__file__).resolve().parent.parent.parent
RECORD = ROOT / "build" / "judges.json"
MATRIX = os.environ.get("OSTEOMAP_MATRIX", "pairs")  # or full: how much the judges see (tests.integration.matrix)
KINDS = ("sr", "pdf", "seg", "heatmap", "labelmap", "sc", "gsps")
KNOWN_IN_2022 = tuple(kind for kind in KINDS if kind != "labelmap")
# What dciodvfy of 2022 says of any LABELMAP segmentation, an object of the Standard of 2024; nothing else is allowed.
LABELMAP_UNKNOWN = (
    re.compile(r"Information Object( Definition)? (not found|unrecognized)", re.IGNORECASE),
    re.compile(r"SegmentNumber.*not.*monotonically increasing", re.IGNORECASE),
)
# Warnings that remain, and why each is harmless; a warning that is not here fails the tests.
HARMLESS: Mapping[str, str] = {
    r"needed to build DICOMDIR": "the source header lacks the value; nothing is invented",
    r"Retired Person Name form": "the patient's name is copied from the source as it is",
    r"Laterality.* only permitted to be empty when actually unknown": "the side is unknown, or the series holds both",
    r"Unrecognized defined term = <99OSTEOMAP>": "a private coding scheme, declared in the object (PS3.16 8.2)",
    r"(ProcedureCode|ProtocolCode).*Unrecognized defined term": "the scheme of a code that is copied from the source",
    r"Value dubious for this VR": "the value is copied from the source as it is",
    r"VR checker does not support this Specific Character Set": "Debian's DCMTK is built without that check for UTF-8",
    r"contains one or more space characters": "the source pads its UID with a space; the objects do not",
    r"Different information entities for attribute": "dcentvfy looks for Accession Number in another module of SR",
    r"empty \(zero length\) in one instance": "type 2 attributes that the source lacks are empty in the objects",
    r"present in one instance but not the other": "the objects carry less of patient and study than the source",
    r"Content Item not in template": "PixelMed's templates are those of 2022; the items are of later editions",
    r"has different code meaning": "the same code; its wording has changed between editions",
}


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one study in a folder, and the images that they were made of."""

    paths: tuple[Path, ...]
    sources: tuple[Path, ...]
    tolerated: tuple[str, ...] = ()  # attributes whose value is copied although it is invalid

    def of(self, *kinds: str) -> list[Path]:
        return [path for path in self.paths if kind_of(path) in kinds]

    def source_of(self, path: Path) -> Path:
        return self.sources[int(path.stem.split("_")[1]) - 1]


def kind_of(path: Path) -> str:
    return path.stem.split("_")[0]


@dataclass(frozen=True, slots=True)
class Judge:
    """``kinds`` it judges; ``judge`` returns the verdict of each file of a study."""

    package: str
    what: str
    kinds: tuple[str, ...]
    judge: Callable[[Objects], Mapping[Path, Verdict]]


def _each(kinds: Sequence[str], judge: Callable[[Objects, Path], Verdict]) -> Callable[[Objects], dict[Path, Verdict]]:
    return lambda objects: {path: judge(objects, path) for path in objects.of(*kinds)}


def _together(kinds: Sequence[str], judge: Callable[[list[Path]], Verdict]) -> Callable[[Objects], dict[Path, Verdict]]:
    """Judge the files of a study in one call; what is said counts for all of them."""

    def judged(objects: Objects) -> dict[Path, Verdict]:
        paths = objects.of(*kinds)
        verdict = judge(paths) if paths else Verdict()
        return dict.fromkeys(paths, verdict)

    return judged


def _dciodvfy(objects: Objects, path: Path) -> Verdict:
    verdict = validators.dciodvfy(path)
    errors = [line for line in verdict.errors if not any(f"{name}(" in line for name in objects.tolerated)]
    if kind_of(path) == "labelmap":
        errors = [line for line in errors if not any(pattern.search(line) for pattern in LABELMAP_UNKNOWN)]
    return Verdict(tuple(errors), verdict.warnings)


JUDGES: Mapping[str, Judge] = {
    "dciodvfy": Judge("dicom3tools", "every attribute of the IOD", KINDS, _each(KINDS, _dciodvfy)),
    "dcentvfy": Judge(
        "dicom3tools",
        "the objects of a study agree on patient and study",
        KNOWN_IN_2022,
        _together(KNOWN_IN_2022, validators.dcentvfy),
    ),
    "dcmdump": Judge("dcmtk", "the encoding", KINDS, _together(KINDS, validators.dcmdump)),
    "gdcmdump": Judge(
        "libgdcm-tools", "the encoding", KINDS, _together(KINDS, lambda paths: validators.gdcmdump(paths[0].parent))
    ),
    "dsrdump": Judge("dcmtk", "the content tree of the report", ("sr",), _together(("sr",), validators.dsrdump)),
    "dcm2pnm": Judge("dcmtk", "renders it", ("sc",), _each(("sc",), lambda _, path: validators.dcm2pnm(path))),
    "dcmp2pgm": Judge(
        "dcmtk",
        "renders the image through it",
        ("gsps",),
        _each(("gsps",), lambda objects, path: validators.dcmp2pgm(path, objects.source_of(path))),
    ),
    "highdicom": Judge(
        "highdicom",
        "reads back what was written",
        KINDS,
        _each(KINDS, lambda _, path: validators.highdicom_reread(path, kind_of(path))),
    ),
}
# Judges with a test of their own; they take part in the record and the table.
PIXELMED, STORE, STOW, VIEWER = "PixelMed", "Orthanc C-STORE", "Orthanc STOW-RS", "OHIF"
OTHERS: Mapping[str, tuple[str, ...]] = {
    PIXELMED: ("sr",),
    STORE: KNOWN_IN_2022,
    STOW: KINDS,
    VIEWER: ("sr", "seg", "sc"),
}


def explain(warning: str) -> str | None:
    """Return why a warning is harmless, None if nobody has said so."""
    return next((why for pattern, why in HARMLESS.items() if re.search(pattern, warning)), None)


@dataclass
class Tally:
    """How many objects of each kind a judge has judged or read, the errors and the explained warnings."""

    objects: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: Counter[tuple[str, str]] = field(default_factory=Counter)
    read: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, judge: str, verdicts: Mapping[Path, Verdict]) -> Iterator[str]:
        """Count the verdicts; yield errors and unexplained warnings, with the file."""
        for path, verdict in verdicts.items():
            self.count(judge, kind_of(path), len(verdict.errors))
            for warning in verdict.warnings:
                why = explain(warning)
                if why is None:
                    yield f"{judge}: {path.name}: {warning}"
                else:
                    self.warnings[judge, why] += 1
            for error in verdict.errors:
                yield f"{judge}: {path.name}: {error}"

    def count(self, judge: str, kind: str, errors: int = 0) -> None:
        self.objects[judge, kind] += 1
        self.errors[judge, kind] += errors

    def count_reading(self, reader: str, kind: str, was_read: bool, errors: int) -> None:
        """Count an object that a reader was given, and whether all that it read is right."""
        self.count(reader, kind, min(errors, 1))
        self.read[reader, kind] += was_read

    def counts(self) -> dict[str, list[tuple[str, str, int]]]:
        """Return the numbers as plain lists, which a worker of pytest-xdist can send."""
        return {
            name: [(judge, what, number) for (judge, what), number in getattr(self, name).items()]
            for name in ("objects", "errors", "warnings", "read")
        }

    def merge(self, counts: Mapping[str, Sequence[tuple[str, str, int]]]) -> None:
        """Add the ``counts`` of another tally."""
        for name, numbers in counts.items():
            getattr(self, name).update({(judge, what): number for judge, what, number in numbers})

    def write(self) -> None:
        """Put what was judged of the full matrix into the record; a few tests of it leave what all of them said."""
        if MATRIX != "full":
            return
        record = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
        for judge in {name for name, _ in self.objects}:
            said = {
                "objects": {kind: count for (name, kind), count in sorted(self.objects.items()) if name == judge},
                "errors": {kind: count for (name, kind), count in sorted(self.errors.items()) if name == judge},
                "warnings": {why: count for (name, why), count in sorted(self.warnings.items()) if name == judge},
                "read": {kind: count for (name, kind), count in sorted(self.read.items()) if name == judge},
            }
            before = record.get(judge, {"objects": {}})
            if sum(said["objects"].values()) >= sum(before["objects"].values()):
                record[judge] = said
        record["versions"] = validators.versions()
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True), "utf-8")
