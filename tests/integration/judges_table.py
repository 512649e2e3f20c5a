"""The record of the judges as a page: ``python -m tests.integration.judges_table`` writes docs/judges.md.

The record, build/judges.json, is what ``make test`` and ``make viewer-test`` leave behind, both with ``MATRIX=full``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from tests.built_studies import STATES
from tests.integration.judges import (
    HARMLESS,
    JUDGES,
    KINDS,
    OTHERS,
    PIXELMED,
    RECORD,
    ROOT,
    STORE,
    STOW,
    VIEWER,
)
from tests.integration.matrix import EVERY_STATE, JUDGED, full_cells
from tests.readers.cases import CASES
from tests.readers.programs import READERS
from tests.readers.programs import version as version_of_reader
from tests.viewer.ohif import LOCK

PAGE = ROOT / "docs" / "judges.md"
NAMES = {
    "sr": "Structured Report (TID 1500)",
    "pdf": "Encapsulated PDF",
    "seg": "Segmentation, BINARY",
    "heatmap": "Segmentation, FRACTIONAL (heat map)",
    "labelmap": "Segmentation, LABELMAP",
    "sc": "Secondary Capture",
    "summary": "Secondary Capture (summary sheet)",
    "gsps": "Grayscale Softcopy Presentation State",
}
LOOKS_AT = {judge: about.what for judge, about in JUDGES.items()} | {
    PIXELMED: "the templates of the report (TID 1500 and below); all states of one header, every fifth header in one",
    STORE: "status 0x0000, found by QIDO-RS, given back unchanged",
    STOW: "stored, found by QIDO-RS, given back unchanged",
    VIEWER: "headless Chromium: the report's box and the segmentation lie where they should (IoU of the overlay with "
    "the mask on the screenshot at least 0.95), the Secondary Capture is shown as its pixels are",
}
PACKAGES = {judge: about.package for judge, about in JUDGES.items()} | {
    PIXELMED: "pixelmed-apps",
    STORE: "orthanc",
    STOW: "orthanc-dicomweb",
}
HEAD = """# The judges

Programs that we did not write judge every kind of object that the application writes. This page is made of what they
said: `make readers test viewer-test MATRIX=full`, then `.venv/bin/python -m tests.integration.judges_table`.

The objects: {variants} variants of a source header (`tests/header_variants.py`), {full} of them in all {states} states
(normal, doubt, abnormal with one and with three findings, declined, two views, two series), the others in one:
{studies} studies, without a model (`tests/built_studies.py`). All pictures are phantoms. What the models and real files
give is judged by `tests/integration/test_validators.py`.
"""


def judges() -> Mapping[str, tuple[str, ...]]:
    """Return the kinds that each judge judges."""
    return {judge: about.kinds for judge, about in JUDGES.items()} | OTHERS


def render(record: Mapping[str, Any]) -> str:
    """Return the page of a record."""
    return "\n".join((*_lines(record), ""))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD.format(
        variants=len(JUDGED), full=len(EVERY_STATE), states=len(STATES), studies=sum(1 for _ in full_cells())
    )
    yield "## Object by judge\n"
    yield "Objects judged, and errors found; – where the judge does not know the kind of object.\n"
    yield f"| | {' | '.join(judges())} |"
    yield f"|---{'|---' * len(judges())}|"
    for kind in KINDS:
        yield f"| {NAMES[kind]} | {' | '.join(_cell(record, judge, kind) for judge in judges())} |"
    yield "\n## What each judge looks at\n\n| judge | version | looks at |\n|---|---|---|"
    for judge in judges():
        yield f"| {judge} | {_version(record, judge)} | {LOOKS_AT[judge]} |"
    yield "\n## Warnings that remain\n\nAny other warning fails the tests.\n"
    yield "| judge | times | why it is harmless |\n|---|---|---|"
    for judge in judges():
        for why in HARMLESS.values():
            times = record.get(judge, {}).get("warnings", {}).get(why, 0)
            if times:
                yield f"| {judge} | {times} | {why} |"
    yield from _readers(record)
    yield LIMITS


def _readers(record: Mapping[str, Any]) -> Iterator[str]:
    yield READING.format(cases=len(CASES))
    yield "| reader | object | reads | right |\n|---|---|---|---|"
    for name, reader in READERS.items():
        for kind in reader.kinds:
            said = record.get(name, {})
            of, read, wrong = (said.get(count, {}).get(kind, 0) for count in ("objects", "read", "errors"))
            numbers = f"{_yes(read, of)} | {_yes(of - wrong, of)}" if of else "not run | not run"
            yield f"| {name} {version_of_reader(reader)} | {NAMES[kind]} | {numbers} |"
    yield "\n| reader | what is compared | what it does not know and refuses |\n|---|---|---|"
    for name, reader in READERS.items():
        unknown = ", ".join(NAMES[kind] for kind in reader.unknown) or "–"
        yield f"| {name} | {reader.compared} | {unknown} |"


def _yes(count: int, of: int) -> str:
    return f"{'yes' if count == of else 'no'}: {count} of {of}"


READING = """
## Readers

Programs that clients use read the objects of {cases} studies (`tests/readers/cases.py`): every way in which a header
gives the size of pixels or gives none, several findings, outlines that overlap, several images and series. What they
read is compared with `result.json` and the masks that were written.
"""
LIMITS = """
## What they do not know

- dciodvfy of 2022 does not know LABELMAP segmentations, an object of the Standard of 2024; the lines that it says of
  every such object are allowed by name in `tests/integration/judges.py`. dcentvfy cannot place its attributes.
- Orthanc 1.10.1 rejects the presentation context of LABELMAP (asserted by a test) and takes it over STOW-RS: it is the
  example of a receiver that is sent the BINARY segmentation only.
- OHIF 3.12 does not draw FRACTIONAL segmentations ("not yet supported") and lists a presentation state without applying
  it; the study, and all else in it, opens. The Secondary Capture shows what the presentation state would.
- dcmqi 1.5.7 and pydicom-seg 0.4.1 do not decode JPEG-LS; heat maps and label maps in RLE, they read. dwv decodes
  compressed pictures only in a browser.
- dwv draws one mask of all segments: of outlines that overlap, the later one hides the earlier. A box round a whole
  image, which the report gives to what it says of the image, is a box for dwv too.
- dcmp2pgm refuses a presentation state with an empty Patient's Name, which is type 2; it is given a copy with a name.
"""


def _cell(record: Mapping[str, Any], judge: str, kind: str) -> str:
    if kind not in judges()[judge]:
        return "–"
    said = record.get(judge, {})
    count, errors = said.get("objects", {}).get(kind, 0), said.get("errors", {}).get(kind, 0)
    return f"{count}, {errors} errors" if count else "not run"


def _version(record: Mapping[str, Any], judge: str) -> str:
    if judge == VIEWER:
        return f"@ohif/app {LOCK['version']}, chromium {record['versions'].get('chromium', '')}"
    if judge == "highdicom":
        return f"highdicom {version('highdicom')}"
    return f"{PACKAGES[judge]} {record['versions'].get(PACKAGES[judge], '')}"


if __name__ == "__main__":
    PAGE.write_text(render(json.loads(RECORD.read_text("utf-8"))), "utf-8")
