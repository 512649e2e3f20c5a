"""What the description says of a data set, against data whose content is known."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from training.datasets.dataset import read_table
from training.datasets.description import decode, describe
from training.datasets.description_page import markdown
from training.describe import main

COLUMNS = ("file", "label", "split", "group_id", "study_id", "body_part", "view", "hardware", "mask_file", "boxes_xyxy")


def build(folder, rows):
    """Write a manifest and, where there is none yet, an image of noise for each row; return the manifest."""
    random = np.random.default_rng(7)
    for index, row in enumerate(rows):
        path = folder / row["file"]
        if not path.exists():
            Image.fromarray(random.integers(0, 255, (20 + index, 40), np.uint8)).save(path)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def row(name, label, split, patient, **more):
    part = {"body_part": "wrist", "study_id": f"study {patient}"}
    return {"file": f"{name}.png", "label": label, "split": split, "group_id": patient} | part | more


@pytest.fixture
def rows():
    return [
        row("a", "normal", "train", "p1", view="frontal"),
        row("b", "abnormal", "train", "p1", view="lateral", boxes_xyxy="[[1,1,5,5]]", mask_file="a.png"),
        row("c", "normal", "train", "p2", hardware="1"),
        row("d", "abnormal", "train", "p3", body_part="mixed:hand|leg", boxes_xyxy="[[1,1,5,5]]"),
        row("e", "normal", "val", "p4"),
        row("f", "abnormal", "val", "p5"),
        row("g", "normal", "test", "p6", body_part=""),
    ]


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def overwritten(path):
    content = bytearray(path.read_bytes())
    content[-200:-100] = bytes(100)
    path.write_bytes(content)


def described(folder):
    return describe(read_table(folder), folder)


@pytest.mark.parametrize("step", [1, -1])
def test_counts_are_of_images_studies_and_patients_in_any_order(tmp_path, rows, step):
    description = described(build(tmp_path, rows[::step]))
    counts = {(c.body_part, c.split, c.label): (c.images, c.studies, c.patients) for c in description.counts}
    assert counts["wrist", "train", "normal"] == (2, 1, 1)  # p1's study has an abnormal image, so it is abnormal
    assert counts["wrist", "train", "abnormal"] == (1, 1, 1)
    assert counts["mixed:hand|leg", "train", "abnormal"] == (1, 1, 1)
    assert counts["not given", "test", "normal"] == (1, 1, 1)
    assert sum(images for images, _, _ in counts.values()) == len(rows)
    assert ("wrist", "test", "normal") not in counts


def test_splits_and_sizes(tmp_path, rows):
    description = described(build(tmp_path, rows))
    train = description.splits[0]
    assert (train.split, train.images, train.studies, train.patients, train.abnormal) == ("train", 4, 3, 3, 2)
    assert (train.hardware, train.with_mask, train.with_boxes) == (1, 1, 2)
    assert train.views == {"not given": 2, "frontal": 1, "lateral": 1}
    assert [facts.split for facts in description.splits] == ["train", "val", "test"]
    sizes = {name: (of.smallest, of.median, of.largest) for name, of in description.sizes.items()}
    assert sizes == {"rows": (20, 23, 26), "columns": (40, 40, 40), "long side": (40, 40, 40)}


def test_a_planted_duplicate_is_found_whatever_its_file(tmp_path, rows):
    build(tmp_path, rows)
    Image.open(tmp_path / "b.png").convert("RGB").save(
        tmp_path / "g.png", compress_level=9
    )  # other bytes, same picture
    Image.open(tmp_path / "a.png").save(tmp_path / "c.png", compress_level=0)
    (tmp_path / "e.png").write_bytes((tmp_path / "f.png").read_bytes())
    found = described(tmp_path).duplicates
    assert [duplicate.files for duplicate in found] == [
        (("b.png", 3, "train", "abnormal"), ("g.png", 8, "test", "normal")),
        (("e.png", 6, "val", "normal"), ("f.png", 7, "val", "abnormal")),
        (("a.png", 2, "train", "normal"), ("c.png", 4, "train", "normal")),
    ]
    assert [(d.crosses_splits, d.contradicts) for d in found] == [(True, True), (False, True), (False, False)]
    page = markdown(described(tmp_path))
    assert "## Sets of identical images: 3, across splits: 1" in page
    assert "**across splits, both classes**: b.png, row 3 (train, abnormal); g.png, row 8 (test, normal)" in page


def test_one_changed_pixel_or_another_shape_is_no_duplicate(tmp_path, rows):
    build(tmp_path, rows)
    pixels = np.array(Image.open(tmp_path / "a.png"))
    Image.fromarray(pixels.reshape(40, 20)).save(tmp_path / "c.png")
    pixels[3, 4] ^= 1
    Image.fromarray(pixels).save(tmp_path / "d.png")
    assert not described(tmp_path).duplicates


def test_depth_counts_and_sixteen_bits_are_kept(tmp_path):
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for name, pixels in (("a", deep), ("b", deep + 256), ("c", deep)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    a, b, c = (decode(tmp_path / f"{name}.png") for name in "abc")
    assert a == c != b


def test_what_cannot_be_decoded_is_listed_and_not_counted(tmp_path, rows):
    build(tmp_path, rows)
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:200] + b"\0" * 50 + whole[250:])  # its header and its end are whole
    (tmp_path / "f.png").write_text("no image")
    description = described(tmp_path)
    assert [(file, line) for file, line, _ in description.problems] == [("b.png", 3), ("f.png", 7)]
    assert all("\n" not in why and str(tmp_path) not in why for _, _, why in description.problems)
    assert sum(count.images for count in description.counts) == len(rows) - 2
    assert "## Images that cannot be used: 2\n\n- b.png, row 3: cannot be decoded" in markdown(description)


def test_the_page_s_tables_are_whole(tmp_path, rows):
    page = markdown(described(build(tmp_path, rows)))
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert {line.count("|") for line in lines} == {lines[0].count("|")}  # the | of a body part breaks no table
    assert "| wrist | train | 2 / 1 | 1 / 1 | 1 / 1 | 33.3 % |" in page


def test_the_command_writes_page_numbers_and_picture(tmp_path, rows, capsys):
    build(tmp_path, rows)
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert (tmp_path / "out" / "description.md").read_text().startswith(shown.out)
    assert not shown.err  # no progress bar where nobody watches
    numbers = json.loads((tmp_path / "out" / "description.json").read_text())
    assert Counter(c["split"] for c in numbers["counts"] for _ in range(c["images"])) == {
        "train": 4,
        "val": 2,
        "test": 1,
    }
    assert str(tmp_path.parent) not in json.dumps(numbers)
    with Image.open(tmp_path / "out" / "description.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert min(picture.size) > 300
    for colour in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)):
        assert (pixels == colour).all(axis=1).sum() > 200


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, rows, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    build(tmp_path, [row for row in rows if row["split"] != "val"])
    assert main([str(tmp_path), "--parts", "wrist"]) == 1
    assert capsys.readouterr().err == (
        f"not fit for training: {tmp_path}: no image of split 'val', which training needs; give some patients that "
        "split or choose more body parts\n"
    )
    assert main([str(tmp_path), "--parts", "skull"]) == 2
    assert "'skull' is not known; the data set has mixed:hand|leg, wrist" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [cut_off, overwritten])
def test_a_damaged_image_is_named_and_no_training_can_start(damage, tmp_path, rows, capsys):
    build(tmp_path, rows)
    damage(tmp_path / "c.png")
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "c.png" in shown.out
    assert shown.err == "not fit for training: 1 images cannot be used; see the list above\n"


@pytest.mark.shared_data
def test_the_shared_fracatlas_is_described_fast(shared):
    started = time.monotonic()
    description = described(shared / "fracatlas")
    assert time.monotonic() - started < 60
    assert sum(count.images for count in description.counts) == 2215
    assert not description.problems
    assert not [duplicate for duplicate in description.duplicates if duplicate.crosses_splits or duplicate.contradicts]
