"""Data sets on disk: our manifest, MURA and FracAtlas as they are distributed, and what is wrong with them."""

from __future__ import annotations

import csv
import json
import logging
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from training.batches.images import ReadImageAndMask, items
from training.datasets.dataset import image_problem, labelled_finding, read_dataset, read_table
from training.datasets.errors import InputError
from training.datasets.fracatlas import list_fracatlas
from training.datasets.manifest import ImageRecord, ManifestError, check_for_training, read_manifest
from training.datasets.mura import PARTS as ALL_PARTS
from training.datasets.mura import list_mura
from training.datasets.splits import hold_out, in_fold
from training.fitting.calibration import MINIMUM_IMAGES
from training.mura_phantoms import main as write_mura_phantoms
from training.mura_phantoms import plan_studies, write_mura
from training.phantoms import main as write_phantoms

PARTS = ("XR_HAND", "XR_WRIST")


@pytest.fixture(scope="module")
def mura_original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mura")
    assert write_mura_phantoms([str(folder), "--patients", "20", "--seed", "3", "--parts", *PARTS]) == 0
    return folder


@pytest.fixture
def mura(mura_original, tmp_path):
    """A copy that a test may damage; the images are links, so that a test unlinks before it writes."""
    shutil.copytree(mura_original, tmp_path / "mura", copy_function=copy_list_link_image)
    return tmp_path / "mura"


def copy_list_link_image(source, target):
    if str(source).endswith(".csv"):
        return shutil.copy2(source, target)
    Path(target).symlink_to(source)
    return target


FRACATLAS_COLUMNS = (
    *("image_id", "hand", "leg", "hip", "shoulder", "mixed", "hardware", "multiscan"),
    *("fractured", "fracture_count", "frontal", "lateral", "oblique"),
)


@pytest.fixture
def fracatlas(tmp_path):
    """Sixty images in FracAtlas's form: pairs of views, hand and leg in turn, every third pair fractured."""
    folder = tmp_path / "FracAtlas"
    random = np.random.default_rng(5)
    rows, images, annotations = [], [], []
    for index in range(60):
        pair, name = index // 2, f"IMG{index:07d}.jpg"
        fractured = pair % 3 == 0
        place = folder / "images" / ("Fractured" if fractured else "Non_fractured")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 30), np.uint8)).save(place / name)
        part = dict.fromkeys(FRACATLAS_COLUMNS, 0) | {"hand" if pair % 2 else "leg": 1}
        view = {"lateral" if index % 2 else "frontal": 1}
        rows.append(part | view | {"image_id": name, "fractured": int(fractured), "hardware": int(pair == 4)})
        if fractured:
            images.append({"id": len(images) + 1, "width": 30, "height": 40, "file_name": name})
            polygon = [5.0, 10.0, 20.0, 10.0, 20.0, 30.0, 5.0, 30.0]
            annotations.append(
                {"id": index, "image_id": len(images), "segmentation": [polygon], "bbox": [5.0, 10.0, 15.0, 20.0]}
            )
    write_rows(folder / "dataset.csv", rows)
    coco = folder / "Annotations" / "COCO JSON" / "COCO_fracture_masks.json"
    coco.parent.mkdir(parents=True)
    coco.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return folder


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_manifest(folder, records):
    """The same images in our own form."""
    rows = [
        {
            "file": record.path.relative_to(folder),
            "label": ("normal", "abnormal")[record.label],
            "split": record.split,
            "group_id": record.group,
            "study_id": record.study,
            "body_part": record.body_part,
            "view": record.view,
            "hardware": int(record.hardware),
            "mask_file": record.mask.relative_to(folder) if record.mask else "",
            "boxes_xyxy": json.dumps(record.boxes),
        }
        for record in records
    ]
    write_rows(folder / "own.csv", rows)
    return folder / "own.csv"


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


# --- every form


def test_the_same_images_in_another_form_are_the_same_records(mura, fracatlas, tmp_path):
    for folder, records in (
        (mura, read_dataset(mura)),
        (fracatlas, read_dataset(fracatlas, mask_dir=fracatlas / "masks")),
    ):
        assert read_dataset(write_manifest(folder, records)) == records
        shutil.copy(folder / "own.csv", folder / "manifest.csv")
        assert read_dataset(folder) == records  # our manifest goes before the form of the folder


def test_the_finding_is_what_the_labels_of_a_data_set_mean(mura, fracatlas, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "manifest.csv").write_text("file,label,split\n", "utf-8")
    found = [labelled_finding(path)["meaning"] for path in (mura, fracatlas, tmp_path / "own")]
    assert found == ["Abnormality", "Fracture", "Abnormality"]


def test_the_archive_s_folder_and_the_one_around_it_are_the_same(mura, fracatlas):
    assert read_dataset(mura) == read_dataset(mura / "MURA-v1.1")
    assert read_dataset(fracatlas.parent) == read_dataset(fracatlas)
    renamed = mura / "renamed"
    (mura / "MURA-v1.1").rename(renamed)
    assert len(read_dataset(renamed)) == len(read_table(renamed).records) > 20


@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_no_patient_is_in_two_splits_and_every_split_has_both_classes(mura, fracatlas, protocol):
    for folder in (mura, fracatlas):
        records = read_dataset(folder, protocol=protocol)
        splits = {}
        for record in records:
            assert splits.setdefault(record.group, record.split) == record.split
        assert {(r.split, r.label) for r in records} == {(s, c) for s in ("train", "val", "test") for c in (0, 1)}
        check_for_training(records, folder)
        assert records == read_dataset(folder, protocol=protocol)
        for split in ("train", "val", "test"):
            assert read_dataset(folder, split, protocol=protocol) == [r for r in records if r.split == split]


def test_an_unknown_form_names_the_known_ones(tmp_path):
    with pytest.raises(ManifestError, match=r"MURA v1.1 .* FracAtlas") as error:
        read_dataset(tmp_path)
    assert str(tmp_path) in one_line(error)
    with pytest.raises(ManifestError, match="no such file or folder"):
        read_dataset(tmp_path / "absent")


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=6), st.sampled_from(["a", "b", "c"]), max_size=60),
    st.floats(0.05, 0.5),
)
def test_held_out_groups_are_a_share_of_every_stratum(strata, share):
    chosen = hold_out(strata, share, "seed")
    assert chosen <= set(strata)
    assert chosen == hold_out(dict(reversed(list(strata.items()))), share, "seed")  # the order does not matter
    for stratum in set(strata.values()):
        members = [group for group in strata if strata[group] == stratum]
        number = len(chosen & set(members))
        assert abs(number - share * len(members)) <= 1
        assert number or len(members) == 1
        assert number < len(members) or len(members) == 1


def test_another_seed_holds_out_others():
    strata = {str(patient): "a" for patient in range(200)}
    assert len(hold_out(strata, 0.1, "one") & hold_out(strata, 0.1, "two")) < 10


# --- body parts


def test_parts_restrict_and_a_patient_keeps_its_split(mura, fracatlas):
    everything = read_dataset(mura)
    for parts in (["wrist"], ["XR_WRIST"], ["Wrist", "xr_hand"]):
        chosen = read_dataset(mura, parts=parts)
        names = {f"XR_{part.upper().removeprefix('XR_')}" for part in parts}
        assert chosen == [record for record in everything if record.body_part in names]
    assert {r.body_part for r in read_dataset(fracatlas, parts=["leg_knee_ankle_foot"])} == {"leg_knee_ankle_foot"}


def test_a_part_that_is_not_there_is_named_with_those_that_are(mura):
    with pytest.raises(ManifestError, match="'skull' is not known") as error:
        read_dataset(mura, parts=["skull"])
    assert "XR_HAND, XR_WRIST" in one_line(error)
    with pytest.raises(ManifestError, match="'XR_ELBOW' has no image"):
        read_dataset(mura, parts=["wrist", "XR_ELBOW"])


def test_mixed_body_parts_go_by_one_name(fracatlas):
    rows = read_rows(fracatlas / "dataset.csv")
    for row in rows[:4]:
        row["hip"] = "1"
    write_rows(fracatlas / "dataset.csv", rows)
    assert {r.body_part for r in read_dataset(fracatlas, parts=["mixed"])} == {"mixed:leg+hip", "mixed:hand+hip"}


def test_other_parts_files_are_not_missed(mura, caplog):
    """Who unpacked the wrists only can train on the wrists."""
    for place in (mura / "MURA-v1.1").glob("*/XR_HAND"):
        shutil.rmtree(place)
    assert read_dataset(mura, parts=["wrist"])
    assert not caplog.records
    assert read_table(mura).problems


# --- MURA


def test_mura_s_labels_and_official_sets(mura):
    records = read_dataset(mura)
    for record in records:
        assert record.label == ("_positive/" in record.path.as_posix())
        assert (record.split == "test") == ("/valid/" in record.path.as_posix())
        assert record.path.as_posix().endswith(f"{record.study}/{record.path.name}")
        assert f"/{record.body_part}/{record.group}/" in record.path.as_posix()
    assert {r.split for r in read_dataset(mura, protocol="paper")} == {"train", "val", "test"}
    assert not [r for r in read_dataset(mura, protocol="paper") if "/valid/" in r.path.as_posix()]
    with pytest.raises(ManifestError, match="protocol 'other'"):
        read_dataset(mura, protocol="other")


def mura_tree(folder, patients):
    """MURA's lists without images: one study of one image for each patient."""
    for name, numbers in (("train", range(patients)), ("valid", range(patients, patients + 2))):
        studies = [
            f"MURA-v1.1/{name}/XR_WRIST/patient{n:05d}/study1_{'positive' if n % 2 else 'negative'}/" for n in numbers
        ]
        (folder / f"{name}_image_paths.csv").write_text("".join(f"{study}image1.png\n" for study in studies))
        (folder / f"{name}_labeled_studies.csv").write_text("".join(f"{s},{int('pos' in s)}\n" for s in studies))


def test_the_shares_of_the_two_protocols(tmp_path):
    mura_tree(tmp_path, 1000)
    official, paper = (Counter(r.split for r in list_mura(tmp_path, p)) for p in ("official", "paper"))
    assert official == {"train": 900, "val": 100, "test": 2}
    assert paper == {"train": 720, "val": 80, "test": 200}


def test_files_that_cannot_be_used_are_counted_and_named(mura, caplog):
    images = sorted((mura / "MURA-v1.1").rglob("*.png"))
    absent, empty, text, cut = images[3], images[7], images[11], images[13]
    whole = cut.read_bytes()
    for path in (absent, empty, text, cut):
        path.unlink()
    empty.write_bytes(b"")
    text.write_text("no image")
    cut.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        records = read_dataset(mura)
    assert len(caplog.records) == 1
    assert f"4 of {len(images)} images" in caplog.text
    table = read_table(mura)
    assert list(table.records) == records
    assert len(records) == len(images) - 4
    reasons = {problem.path: problem.reason for problem in table.problems}
    assert set(reasons) == {absent, empty, text, cut}
    assert reasons[absent] == "does not exist"
    assert "truncated" in reasons[cut]
    listed = (mura / "MURA-v1.1" / "train_image_paths.csv").read_text().splitlines()
    for problem in table.problems:
        if "train" in problem.path.parts:
            assert listed[problem.row - 1].endswith(problem.path.relative_to(mura / "MURA-v1.1").as_posix())


def test_nothing_left_is_an_error(mura):
    for path in (mura / "MURA-v1.1").rglob("*.png"):
        path.unlink()
    with pytest.raises(ManifestError, match="none of the images can be used"):
        read_dataset(mura)


def change_line(path, number, change):
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train_image_paths.csv", lambda line: line.replace("MURA-v1.1/train", "elsewhere"), "row 3: 'elsewhere"),
        ("train_image_paths.csv", lambda line: line.replace("/train/", "/valid/"), "row 3: 'MURA-v1.1/valid"),
        ("train_image_paths.csv", lambda line: line.replace("XR_WRIST", "XR_SKULL"), "row 3: body part XR_SKULL"),
        ("train_image_paths.csv", lambda line: line.replace("study1", "study9"), "row 3: study .* is not in train_lab"),
        ("train_labeled_studies.csv", lambda line: line[:-1] + "2", "row 3: not a study's folder and 0 or 1"),
        ("train_labeled_studies.csv", lambda line: line.split(",")[0], "row 3: not a study's folder and 0 or 1"),
    ],
)
def test_a_mistake_in_mura_s_lists_is_named(tmp_path, file, change, message):
    mura_tree(tmp_path, 8)
    change_line(tmp_path / file, 3, change)
    with pytest.raises(ManifestError, match=message) as error:
        read_dataset(tmp_path)
    assert file in one_line(error)


def test_label_and_folder_must_agree(tmp_path):
    mura_tree(tmp_path, 8)
    change_line(tmp_path / "valid_labeled_studies.csv", 2, lambda line: line[:-1] + "0")
    with pytest.raises(ManifestError, match=r"valid_image_paths.csv, row 2: the folder says positive, .* says 0"):
        read_dataset(tmp_path)


def test_a_patient_in_both_sets_of_mura_is_named(tmp_path):
    mura_tree(tmp_path, 8)
    for name in ("valid_image_paths.csv", "valid_labeled_studies.csv"):
        change_line(tmp_path / name, 2, lambda line: line.replace("patient00009", "patient00001"))
    with pytest.raises(ManifestError, match=r"row 2: patient00001 is in row 2 of train_image_paths.csv as well"):
        read_dataset(tmp_path)


def test_an_image_listed_twice_and_an_absent_list_are_named(tmp_path):
    mura_tree(tmp_path, 8)
    (tmp_path / "train_image_paths.csv").open("a").write((tmp_path / "train_image_paths.csv").read_text())
    with pytest.raises(ManifestError, match=r"row 9: .* stands in row 1 as well"):
        read_dataset(tmp_path)
    (tmp_path / "valid_labeled_studies.csv").unlink()
    with pytest.raises(ManifestError, match=r"valid_labeled_studies.csv: no such file"):
        read_dataset(tmp_path)


# --- MURA-shaped phantoms


def test_mura_phantoms_are_their_seed(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_mura_phantoms([str(tmp_path / name), "--patients", "10", "--seed", str(seed)])
    a, b, c = (
        {p.relative_to(tmp_path / n).as_posix(): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
        for n in "abc"
    )
    assert a == b
    assert a != c


def test_mura_phantoms_are_as_mura_is(mura_original):
    images = sorted(mura_original.rglob("*.png"))
    per_study = Counter(path.parent for path in images)
    assert set(per_study.values()) == {1, 2, 3}
    sizes, modes = set(), set()
    for path in images:
        with Image.open(path) as image:
            sizes.add(image.size)
            modes.add(image.mode)
            assert 320 <= max(image.size) <= 512
    assert len(sizes) > len(images) / 2
    assert modes == {"L", "RGB"}
    table = read_table(mura_original)
    assert len(table.records) == len(images)
    assert not table.problems


def test_mura_phantoms_are_not_written_over_a_data_set(mura_original, capsys):
    for arguments in (["--patients", "10"], ["--patients", "3"]):
        with pytest.raises(SystemExit) as error:
            write_mura_phantoms([str(mura_original), *arguments])
        assert error.value.code == 2
    assert "exists; remove it" in capsys.readouterr().err
    with pytest.raises(ValueError, match="XR_SKULL"):
        plan_studies(10, ["XR_SKULL"], 0)


# --- FracAtlas


def test_fracatlas_s_table_becomes_records(fracatlas):
    records = read_dataset(fracatlas)
    assert [r.path.stem for r in records] == [f"IMG{index:07d}" for index in range(60)]
    assert [r.row for r in records] == list(range(2, 62))
    first, second = records[:2]
    assert (first.body_part, first.view, second.view) == ("leg_knee_ankle_foot", "frontal", "lateral")
    assert first.group == second.group != records[2].group
    assert [r.path.stem for r in records if r.hardware] == ["IMG0000008", "IMG0000009"]
    for record in records:
        assert record.label == (record.path.parent.name == "Fractured")
        assert record.boxes == (((5.0, 10.0, 20.0, 30.0),) if record.label else ())
        assert record.mask is None


def test_fracatlas_s_polygons_become_masks_that_training_reads(fracatlas, tmp_path):
    records = read_dataset(fracatlas, mask_dir=tmp_path / "masks")
    item = ReadImageAndMask()(items(records)[0])
    assert item["image"].shape == item["mask"].shape == (40, 30)
    rows, columns = np.nonzero(item["mask"])
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (5, 10, 20, 30)
    assert item["mask"].sum() == 16 * 21
    assert all(item["guided"] for item in items(records))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}
    assert len(written) == sum(record.label for record in records)
    assert read_dataset(fracatlas, mask_dir=tmp_path / "masks") == records
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").iterdir()}


def test_an_image_that_is_in_fracatlas_twice_is_in_one_split(fracatlas):
    """The archive has copies under far numbers, with other neighbours."""
    place = fracatlas / "images" / "Non_fractured"
    names = [f"IMG{index:07d}.jpg" for index in range(60) if (index // 2) % 3]
    for index in range(0, 20):
        shutil.copy(place / names[index], place / names[39 - index])
    split_of = {record.path.name: record.split for record in read_dataset(fracatlas)}
    assert {split_of[names[i]] == split_of[names[39 - i]] for i in range(20)} == {True}
    assert len(set(split_of.values())) == 3


def test_what_fracatlas_lacks_or_has_too_much_is_a_problem(fracatlas):
    place = fracatlas / "images"
    (place / "Non_fractured" / "IMG0000002.jpg").unlink()
    shutil.copy(place / "Fractured" / "IMG0000000.jpg", place / "Fractured" / "IMG0000099.jpg")
    Image.new("L", (31, 40)).save(place / "Fractured" / "IMG0000001.jpg")  # not the size that was outlined
    problems = {problem.path.name: problem for problem in read_table(fracatlas).problems}
    assert set(problems) == {"IMG0000001.jpg", "IMG0000002.jpg", "IMG0000099.jpg"}
    assert (problems["IMG0000002.jpg"].reason, problems["IMG0000002.jpg"].row) == ("does not exist", 4)
    assert "(31, 40)" in problems["IMG0000001.jpg"].reason
    assert "not in dataset.csv" in problems["IMG0000099.jpg"].reason
    assert len(read_dataset(fracatlas)) == 58


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [{k: v for k, v in row.items() if k != "hip"} for row in rows], "column hip is missing"),
        (lambda rows: [rows[0], rows[1] | {"fractured": "yes"}], "row 3: fractured 'yes'"),
        (lambda rows: [rows[0] | {"fractured": "0"}], "row 2: fractured is 0, but the image is in Fractured"),
    ],
)
def test_a_mistake_in_fracatlas_s_table_is_named(fracatlas, change, message):
    write_rows(fracatlas / "dataset.csv", change(read_rows(fracatlas / "dataset.csv")))
    with pytest.raises(ManifestError, match=message) as error:
        read_dataset(fracatlas)
    assert "dataset.csv" in one_line(error)


def test_a_broken_coco_file_is_named(fracatlas):
    path = next((fracatlas / "Annotations").rglob("*.json"))
    for text in ("{", '{"images": [{"id": 1}], "annotations": []}', '{"images": [], "annotations": [{}]}'):
        path.write_text(text)
        with pytest.raises(ManifestError, match=r"COCO_fracture_masks.json: not a COCO file"):
            read_dataset(fracatlas)


# --- our manifest and what training needs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file;label;split\na.png;0;train\n", "column file, label, split is missing"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        (b"", "column file, label, split is missing"),
        (b"file,label,split\na.png,0\n", "row 2: split ''"),
        (b"file,label,split\na.png,2,train\n", "row 2: label '2' is not one of normal, abnormal, 0, 1"),
        (b'file,label,split,boxes_xyxy\na.png,1,train,"[[5,5,5,9]]"\n', "row 2: .* box without area"),
        (b"file,label,split,group_id\na.png,1,train,p\na.png,1,val,p\n", "row 3: group p is in split val, .* row 2"),
    ],
)
def test_a_mistake_in_our_manifest_is_named(tmp_path, content, message):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=message) as error:
        read_dataset(tmp_path / "list.csv")
    assert "list.csv" in one_line(error)


def test_a_spreadsheet_s_byte_order_mark_does_no_harm(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("\ufefffile,label,split\na.png,1,train\n", "utf-8")
    assert read_manifest(tmp_path / "list.csv")[0].row == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"val": (0, 1)}, "no image of split 'train'"),
        ({"train": (0, 1), "test": (0, 1)}, "no image of split 'val'"),
        ({"train": (1, 1), "val": (0, 1)}, "all images of split 'train' are abnormal, .* add normal"),
        ({"train": (0, 1), "val": (0,)}, "all images of split 'val' are normal, .* add abnormal"),
    ],
)
def test_what_cannot_train_is_said_before_it_does(labels, message):
    records = [ImageRecord(Path("x"), split, label, "p", "s") for split, of in labels.items() for label in of]
    with pytest.raises(ManifestError, match=message) as error:
        check_for_training(records, "list.csv")
    assert one_line(error).startswith("list.csv: ")


def test_what_can_train_passes():
    records = [ImageRecord(Path("x"), split, label, "p", "s") for split in ("train", "val") for label in (0, 1)]
    check_for_training(records, "list.csv")


def test_a_file_with_something_after_its_end_is_whole(tmp_path):
    for suffix in ("png", "jpg"):
        path = tmp_path / f"a.{suffix}"
        Image.new("L", (80, 80), 9).save(path)
        path.open("ab").write(b"\0" * 3000)
        assert image_problem(path) is None


# --- the real one


@pytest.mark.shared_data
def test_the_shared_fracatlas_reads(shared):
    records = read_dataset(shared / "fracatlas")
    assert len(records) == 2215
    assert records == read_manifest(shared / "fracatlas")
    check_for_training(records, shared / "fracatlas")
    parts = read_dataset(shared / "fracatlas", parts=["mixed", "hip_pelvis"])
    assert {r.body_part.split(":")[0] for r in parts} == {"mixed", "hip_pelvis"}


@pytest.mark.shared_data
def test_the_shared_fracatlas_in_its_distributed_form(shared, tmp_path):
    """Real numbering, real neighbours, real copies of images: the splits keep their shares and their distance."""
    short = {
        "hand_wrist_forearm": "hand",
        "leg_knee_ankle_foot": "leg",
        "hip_pelvis": "hip",
        "shoulder_humerus": "shoulder",
    }
    source = read_dataset(shared / "fracatlas")
    rows = []
    for record in sorted(source, key=lambda record: record.path.name):
        place = tmp_path / "images" / ("Fractured" if record.label else "Non_fractured")
        place.mkdir(parents=True, exist_ok=True)
        (place / record.path.name).symlink_to(record.path)
        parts = [short[record.body_part]] if record.body_part in short else record.body_part[6:].split("+")
        marks = dict.fromkeys((*parts, *record.view.split("+")), 1) | {"hardware": int(record.hardware)}
        rows.append(
            dict.fromkeys(FRACATLAS_COLUMNS, 0) | marks | {"image_id": record.path.name, "fractured": record.label}
        )
    write_rows(tmp_path / "dataset.csv", rows)
    records = list_fracatlas(tmp_path).records
    of_source = {record.path.name: record for record in source}
    for record in records:
        like = of_source[record.path.name]
        assert (record.body_part, record.view, record.hardware, record.label) == (
            *(like.body_part, like.view, like.hardware, like.label),
        )
    for label in (0, 1):
        shares = Counter(record.split for record in records if record.label == label)
        assert 0.63 < shares["train"] / shares.total() < 0.77
    splits_of_file = {}
    for record in records:
        splits_of_file.setdefault(record.path.read_bytes(), set()).add(record.split)
    assert len(splits_of_file) < len(records)  # there are copies
    assert {len(splits) for splits in splits_of_file.values()} == {1}
    splits_of_group = {}
    for record in records:
        splits_of_group.setdefault(of_source[record.path.name].group, set()).add(record.split)
    assert {len(splits) for splits in splits_of_group.values()} == {1}  # never apart what the manifest holds together


# --- damaged files of one's own


def test_a_damaged_image_of_a_manifest_is_named_with_its_row(tmp_path):
    assert write_phantoms([str(tmp_path), "--count", "20"]) == 0
    for name in ("images/00005.png", "masks/00007.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(ManifestError) as caught:
        read_dataset(tmp_path)
    text = str(caught.value)
    assert re.search(r", row 7: .*00005\.png cannot be read: .*restore the file", text)
    assert "1 more: python -m training.describe" in text
    assert "\n" not in text


@pytest.mark.parametrize("seed", range(20))
def test_forty_patients_are_enough_to_fit(seed, tmp_path, monkeypatch):
    def only_named(_, study):
        return [f"{study.folder}image{number + 1}.png" for number in range(study.images)]

    monkeypatch.setattr("training.mura_phantoms.write_study", only_named)
    (tmp_path / "MURA-v1.1").mkdir()
    write_mura(tmp_path, plan_studies(40, ALL_PARTS, seed))
    val = [record for record in list_mura(tmp_path / "MURA-v1.1") if record.split == "val"]
    for label in (0, 1):
        assert len({record.study for record in val if record.label == label}) >= MINIMUM_IMAGES


# --- folds


@pytest.fixture
def grouped(tmp_path):
    """60 images of 30 patients, a third of them abnormal, 6 of them in test."""
    records = [
        ImageRecord(tmp_path / f"{n}.png", "test" if n < 6 else "train" if n < 50 else "val", int(n // 2 % 3 == 0),
                    f"patient {n // 2}", str(n), ("hand", "foot")[n // 2 % 2])
        for n in range(60)
    ]  # fmt: skip
    return records


def test_every_image_is_held_out_once_and_its_patient_with_it(grouped):
    held_out = []
    for number in range(1, 4):
        records = in_fold(grouped, f"{number}/3")
        assert [record.path for record in records] == [record.path for record in grouped]
        assert [record for record in records if record.split == "test"] == grouped[:6]
        split_of = {}
        assert all(split_of.setdefault(record.group, record.split) == record.split for record in records)
        here = [record for record in records if record.split == "val"]
        assert 16 <= len(here) <= 20
        assert 4 <= sum(record.label for record in here) <= 8
        assert {record.body_part for record in here} == {"hand", "foot"}
        held_out += [record.path for record in here]
    assert sorted(held_out) == sorted(record.path for record in grouped[6:])


def test_folds_do_not_depend_on_the_order_and_none_is_none(grouped):
    def held_out(records):
        return {record.path for record in records if record.split == "val"}

    assert held_out(in_fold(grouped, "2/5")) == held_out(in_fold(grouped[::-1], "2/5"))
    assert in_fold(grouped, None) == grouped


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "2", "five", "1/5 ", 3])
def test_a_fold_that_is_none_is_told(grouped, fold):
    with pytest.raises(InputError, match="--fold .*from 1/5 to 5/5"):
        in_fold(grouped, fold)
