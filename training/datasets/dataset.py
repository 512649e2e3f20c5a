"""Read a data set in whatever form it is on disk; every form gives the same image records."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from training.datasets.fracatlas import FINDING as FRACTURE
from training.datasets.fracatlas import find_fracatlas, list_fracatlas
from training.datasets.manifest import ImageRecord, ManifestError, Problem, Table, choose_split, read_manifest
from training.datasets.mura import FINDING as ABNORMALITY
from training.datasets.mura import PARTS, find_mura, list_mura

logger = logging.getLogger(__name__)

FORMS = (
    "a CSV with columns file, label, split; a folder with such a manifest.csv; MURA v1.1 (train_image_paths.csv and "
    "the other three lists); FracAtlas (dataset.csv and images/Fractured)"
)
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # near the end of every complete file
_TAIL = 1024  # bytes; some writers add a few after the end
_READERS = 8  # threads: opening files waits for the disk, not for the processor


def read_dataset(
    path: str | Path,
    split: str | None = None,
    parts: Sequence[str] = (),
    protocol: str = "official",
    mask_dir: str | Path | None = None,
) -> list[ImageRecord]:
    """Read the images of a data set.

    Those of a published data set that cannot be used are left out, and one warning says how many; a manifest is the
    user's own, and has to be right.

    Parameters
    ----------
    split
        ``train``, ``val`` or ``test``; None: all three.
    parts
        Body parts in the data set's words, in any case and with or without MURA's ``XR_``; empty: all.
    protocol
        How MURA is split, ``official`` or ``paper``; see ``training.datasets.mura.list_mura``.
    mask_dir
        Where FracAtlas's polygons are drawn as masks; None: they are not drawn.

    Raises
    ------
    ManifestError
        If the form is not known, the data set contradicts itself, an image of a manifest cannot be read, or no image
        is left.
    """
    table = read_table(path, parts, protocol, mask_dir)
    if table.problems and is_manifest(path):
        raise ManifestError(unusable(table.problems, path))
    if table.problems:
        logger.warning(
            "%s: %d of %d images cannot be used; python -m training.describe lists them",
            path,
            len(table.problems),
            len(table.problems) + len(table.records),
        )
    if not table.records and table.problems:
        first = table.problems[0]
        raise ManifestError(f"{path}: none of the images can be used, the first {first.path} {first.reason}")
    return choose_split(table.records, split, path)


def read_table(
    path: str | Path, parts: Sequence[str] = (), protocol: str = "official", mask_dir: str | Path | None = None
) -> Table:
    """Read a data set and say which of its images cannot be used; arguments and errors as in ``read_dataset``."""
    path = Path(path)
    if is_manifest(path):
        return _usable(Table(tuple(choose_parts(read_manifest(path), parts, path))))
    if mura := find_mura(path):
        records = choose_parts(list_mura(mura, protocol), parts, path, PARTS)
        return _usable(Table(tuple(records)))
    if fracatlas := find_fracatlas(path):
        table = list_fracatlas(fracatlas, Path(mask_dir) if mask_dir else None)
        return _usable(Table(tuple(choose_parts(table.records, parts, path)), table.problems))
    what = "no data set in a known form" if path.exists() else "no such file or folder"
    raise ManifestError(f"{path}: {what}; known forms are {FORMS}")


def is_manifest(path: str | Path) -> bool:
    """Say whether a data set is in the form of a manifest: a CSV file, or a folder with ``manifest.csv``."""
    return Path(path).suffix.lower() == ".csv" or (Path(path) / "manifest.csv").is_file()


def unusable(problems: Sequence[Problem], path: str | Path) -> str:
    """Return what is wrong with the first image that cannot be used, in one line, and how many more there are."""
    first = problems[0]
    more = f" ({len(problems) - 1} more: python -m training.describe {path} lists them)" if len(problems) > 1 else ""
    row = f", row {first.row}" if first.row else ""
    return f"{path}{row}: {first.path} {first.reason}; restore the file, or take it out of the data set{more}"


def labelled_finding(path: str | Path) -> Mapping[str, str]:
    """Return the code of what the label "abnormal" of a data set means; that of a CSV's labels is not known."""
    path = Path(path)
    return FRACTURE if not is_manifest(path) and not find_mura(path) and find_fracatlas(path) else ABNORMALITY


def choose_parts(
    records: Iterable[ImageRecord], parts: Sequence[str], path: Path, known: Sequence[str] = ()
) -> list[ImageRecord]:
    """Return the records of some body parts, or all where none is named; ``mixed`` means every ``mixed:...``.

    Raises
    ------
    ManifestError
        If a part has no image; the text names the parts that have.
    """
    records = list(records)
    present = sorted({record.body_part for record in records if record.body_part})
    keys = set().union(*map(_part_keys, present))
    for part in parts:
        if _part_key(part) not in keys:
            named = _part_key(part) in map(_part_key, known)
            raise ManifestError(
                f"{path}: body part {part!r} {'has no image' if named else 'is not known'}; "
                f"the data set has {', '.join(present) or 'no body parts'}"
            )
    wanted = set(map(_part_key, parts))
    return [record for record in records if not parts or wanted & _part_keys(record.body_part)]


def _part_key(part: str) -> str:
    return part.strip().lower().removeprefix("xr_")


def _part_keys(body_part: str) -> set[str]:
    return {_part_key(body_part), _part_key(body_part.split(":", maxsplit=1)[0])}


def _usable(table: Table) -> Table:
    """Move the records whose image or mask cannot be read to the problems."""
    with ThreadPoolExecutor(_READERS) as pool:
        checked = pool.map(_record_problem, table.records)
        bar = tqdm(checked, "check", len(table.records), unit="image", disable=not sys.stderr.isatty(), leave=False)
        found = list(bar)
    problems = [problem for problem in found if problem is not None]
    left = (record for record, problem in zip(table.records, found, strict=True) if problem is None)
    return Table(tuple(left), (*table.problems, *problems))


def _record_problem(record: ImageRecord) -> Problem | None:
    for path in (record.path, record.mask):
        if path is not None and (reason := image_problem(path)):
            return Problem(path, reason, record.row)
    return None


def image_problem(path: Path) -> str | None:
    """Say why a PNG or JPEG file cannot be read, or None.

    Header and end are looked at; the pixels are decoded only where the end is not as it should be, so damage in the
    middle of a file is not found.
    """
    try:
        with Image.open(path) as image:
            end = _ENDS.get(image.format or "", b"")
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                if end not in file.read():
                    image.load()
    except FileNotFoundError:
        return "does not exist"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be read: {first_line(error, path)}"
    return None


def first_line(error: Exception, path: Path) -> str:
    """Return the reason of a decoder's error in one line, without the path that stands beside it anyway."""
    text = str(error).replace(repr(str(path)), "the file").split("\n")[0]
    return text or type(error).__name__
