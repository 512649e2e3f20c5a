"""A small data set in the form of MURA v1.1, drawn from phantoms: to try every command without a download.

``python -m training.mura_phantoms OUT --patients 40 --seed 3`` writes ``OUT/MURA-v1.1`` with its four lists, studies
of one to three images of differing size, grey or, as many of MURA's, in three equal colour channels.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.datasets.errors import or_exit
from training.datasets.mura import PARTS
from training.datasets.phantoms import FINDINGS, draw_phantom

ARCHIVE = "MURA-v1.1"
_VALID_EVERY = 5  # of five pairs of patients, one negative and one positive, one pair is in the published valid set
_LONG_SIDE = (320, 512)  # pixels; MURA's long side is at most 512
_SHORT_SIDE = (0.6, 1.0)  # of the long side


@dataclass(frozen=True, slots=True)
class Study:
    """A study to be drawn: ``folder`` as the lists name it, with MURA's closing slash."""

    folder: str
    part: str
    label: int
    images: int
    seed: int

    @property
    def is_valid(self) -> bool:
        """Whether the study belongs to the published validation set."""
        return self.folder.startswith(f"{ARCHIVE}/valid/")


def plan_studies(patients: int, parts: Sequence[str], seed: int) -> list[Study]:
    """Plan one study for most patients and two for some; patients alternate between the classes, pairs between parts.

    Raises
    ------
    ValueError
        If no patient or part is asked for, or a part is not one of MURA's seven.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts or patients < 1:
        raise ValueError(f"no patients, no parts, or a part that is not one of {', '.join(PARTS)}: {unknown}")
    random = np.random.default_rng([seed, patients])
    studies = []
    numbered = sorted(range(patients), key=_is_valid)  # MURA's patient numbers go on from train to valid
    for number, index in enumerate(numbered, start=1):
        part = parts[index // 2 % len(parts)]
        for study in range(1, 2 + int(random.random() < 0.2)):
            label = (index + study + 1) % 2  # a patient's second study is of the other class
            sign = ("negative", "positive")[label]
            place = f"{'valid' if _is_valid(index) else 'train'}/{part}/patient{number:05d}/study{study}_{sign}/"
            key = int(random.integers(2**31))
            studies.append(Study(f"{ARCHIVE}/{place}", part, label, int(random.integers(1, 4)), key))
    return studies


def _is_valid(index: int) -> bool:
    return index // 2 % _VALID_EVERY == _VALID_EVERY - 1


def write_study(folder: Path, study: Study) -> Iterator[str]:
    """Draw a study's images below ``folder`` and yield their names as the lists have them."""
    random = np.random.default_rng(study.seed)
    (folder / study.folder).mkdir(parents=True, exist_ok=True)
    for number in range(1, study.images + 1):
        long_side = int(random.integers(_LONG_SIDE[0], _LONG_SIDE[1] + 1))
        sides = (long_side, int(long_side * random.uniform(*_SHORT_SIDE)))
        rows, columns = sides if random.random() < 0.8 else sides[::-1]
        finding = str(random.choice(FINDINGS[1:])) if study.label else "none"
        phantom = draw_phantom(study.seed * 4 + number, finding, rows, columns)
        picture = Image.fromarray(np.round(phantom.pixels * 255).astype(np.uint8))
        name = f"{study.folder}image{number}.png"
        (picture.convert("RGB") if random.random() < 0.3 else picture).save(folder / name, compress_level=1)
        yield name


def write_mura(folder: Path, studies: Sequence[Study]) -> int:
    """Write the images and the four lists and return the number of images."""
    paths: dict[bool, list[list[str]]] = {False: [], True: []}
    for study in tqdm(studies, "draw", unit="study", disable=not sys.stderr.isatty()):
        paths[study.is_valid] += [[name] for name in write_study(folder, study)]
    for name, is_valid in (("train", False), ("valid", True)):
        labels = [[study.folder, str(study.label)] for study in studies if study.is_valid == is_valid]
        for kind, rows in (("image_paths", paths[is_valid]), ("labeled_studies", labels)):
            with (folder / ARCHIVE / f"{name}_{kind}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
    return sum(map(len, paths.values()))


def main(arguments: list[str] | None = None) -> int:
    """Write a folder of phantoms in MURA's form."""
    parser = argparse.ArgumentParser(prog="python -m training.mura_phantoms", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"output folder; {ARCHIVE} is written into it")
    parser.add_argument("--patients", type=int, default=40, help="at least 10, so that valid has both classes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.patients < 2 * _VALID_EVERY:
        parser.error(f"--patients {options.patients} is too few; give at least {2 * _VALID_EVERY}")
    if (options.folder / ARCHIVE).exists():
        parser.error(f"{options.folder / ARCHIVE} exists; remove it or name another folder")
    images = or_exit(write_mura, options.folder, plan_studies(options.patients, options.parts, options.seed))
    sys.stdout.write(f"{images} phantoms of {options.patients} patients in {options.folder / ARCHIVE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
