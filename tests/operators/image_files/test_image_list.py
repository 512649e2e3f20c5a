"""Folder, file or CSV: what is read, under which safe names, and which mistakes end a run before it begins."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.image_files.errors import ImageFilesError
from operators.image_files.image_list import LONGEST_NAME, list_images, safe_names
from operators.records.geometry import PixelBox


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a/b.png", "out/old.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(path, text):
    path.write_text(text, "utf-8")
    return str(path)


def test_a_folder_is_read_to_its_depths_but_for_the_output(folder):
    items = list_images(str(folder), str(folder / "out"))
    assert [(item["file"].name, item["name"]) for item in items] == [
        ("a/b.png", "a-b"),
        ("b.png", "b"),
    ]
    assert all(item["file"].path.is_file() and item["boxes"] == () for item in items)


def test_one_file_is_a_list_of_one(folder):
    (item,) = list_images(str(folder / "b.png"), str(folder / "out"))
    assert (item["file"].path.name, item["name"]) == ("b.png", "b")


def test_a_csv_names_files_beside_itself(folder):
    table = write(folder / "a" / "list.csv", "\ufeffsplit,file\ntest,../b.png\nval,b.png\n,absent.png\n")
    items = list_images(table, "elsewhere")
    assert [item["file"].path.is_file() for item in items] == [True, True, False]
    assert [item["name"] for item in items] == ["b", "b_2", "absent"]


def test_no_name_tells_of_folders_outside_the_data_set(folder, tmp_path):
    inside, outside = "a/b.png", tmp_path.parent / "patient.png"
    table = write(folder / "l.csv", f"file\n{inside}\n{folder / inside}\n../../home/me/b.png\n{outside}\n")
    assert [item["name"] for item in list_images(table, "elsewhere")] == ["a-b", "b", "b_2", "patient"]


def test_boxes_of_a_csv_are_whole_pixels(folder):
    table = write(folder / "l.csv", 'file,boxes_xyxy\nb.png,"[[1.5, 2, 3.2, 4], [0, 0, 9, 9]]"\nb.png,\nb.png,[]\n')
    items = list_images(table, "elsewhere", prompted=True)
    assert [item["boxes"] for item in items] == [(PixelBox(1, 2, 4, 4), PixelBox(0, 0, 9, 9)), (), ()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name\na\n", "column file is missing"),
        ("", "column file is missing"),
        ("file\n", "names no image"),
        ("file,x\n,1\n", "row 2: file is empty"),
    ],
)
def test_a_csv_that_cannot_be_used_is_one_line(text, told, folder):
    table = write(folder / "l.csv", text)
    with pytest.raises(ImageFilesError, match=f"l.csv.*{told}") as refused:
        list_images(table, "elsewhere")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "cell", ["x", "5", "[1,2,3,4]", "[[1,2,3]]", "[[3,2,1,4]]", "[[1,2,NaN,4]]", "[[1,2,Infinity,4]]", "{}x"]
)
def test_boxes_that_are_none_name_their_row(cell, folder):
    table = write(folder / "l.csv", f'file,boxes_xyxy\nb.png,[]\nb.png,"{cell}"\n')
    with pytest.raises(ImageFilesError, match="row 3: boxes_xyxy is no JSON list"):
        list_images(table, "elsewhere", prompted=True)


def test_more_boxes_than_labels(folder):
    table = write(folder / "l.csv", f'file,boxes_xyxy\nb.png,"{[[0, 0, 1, 1]] * 256}"\n')
    with pytest.raises(ImageFilesError, match="256 boxes"):
        list_images(table, "elsewhere", prompted=True)


def test_a_prompted_bundle_needs_boxes(folder):
    with pytest.raises(ImageFilesError, match="needs boxes.*boxes_xyxy"):
        list_images(str(folder), "elsewhere", prompted=True)
    with pytest.raises(ImageFilesError, match="boxes_xyxy is missing.*outlines"):
        list_images(write(folder / "l.csv", "file\nb.png\n"), "elsewhere", prompted=True)


def test_folders_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(ImageFilesError, match="no such file or folder"):
        list_images(str(folder / "absent"), "elsewhere")
    with pytest.raises(ImageFilesError, match="is the input folder"):
        list_images(str(folder), str(folder / "a" / ".."))
    (folder / "empty").mkdir()
    with pytest.raises(ImageFilesError, match="names no image"):
        list_images(str(folder / "empty"), "elsewhere")
    (folder / "latin.csv").write_bytes(b"file\n\xe9.png\n")
    with pytest.raises(ImageFilesError, match="not a readable CSV"):
        list_images(str(folder / "latin.csv"), "elsewhere")


@given(st.lists(st.text(max_size=300), max_size=30))
def test_names_are_safe_and_none_is_there_twice(names):
    safe = safe_names(names)
    assert len({name.lower() for name in safe}) == len(safe) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(name) <= LONGEST_NAME + 5 for name in safe)


def test_a_suffix_is_taken_off_and_a_uid_kept_whole():
    names = ["x.nii.gz", "x.NII", "../1.2.840.113", "ä.png", "x_2.jpg", "X.jpeg"]
    assert safe_names(names) == ["x", "x_2", "1-2-840-113", "image", "x_2_2", "X_3"]
