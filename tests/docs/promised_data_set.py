"""What the recipe for a data set promises; ``test_extending`` runs it in a copy that followed the recipe."""

from __future__ import annotations

import pytest
from PIL import Image

from training.datasets.dataset import FORMS, read_dataset, read_table
from training.datasets.manifest import ManifestError
from training.describe import main as describe


@pytest.fixture
def folder(tmp_path):
    for label, shade in (("normal", 40), ("abnormal", 200)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for patient in range(8):
            picture = Image.effect_noise((80, 96), shade)
            picture.save(tmp_path / "data" / label / f"{label}{patient}_0.png")
    return tmp_path / "data"


def test_images_have_the_label_of_their_folder(folder):
    records = read_dataset(folder)
    assert len(records) == 16
    assert all(record.label == int(record.path.parent.name == "abnormal") for record in records)
    assert {(record.split, record.label) for record in records} == {
        (split, label) for split in ("train", "val", "test") for label in (0, 1)
    }


def test_what_cannot_be_read_is_reported(folder):
    (folder / "normal" / "normal9_0.png").write_bytes(b"no image")
    (problem,) = read_table(folder).problems
    assert problem.path.name == "normal9_0.png"


def test_empty_folders_are_an_error(tmp_path):
    for label in ("normal", "abnormal"):
        (tmp_path / label).mkdir()
    with pytest.raises(ManifestError, match="no PNG file"):
        read_dataset(tmp_path)


def test_the_message_about_unknown_forms_names_the_form(tmp_path):
    assert "normal/ and abnormal/" in FORMS
    with pytest.raises(ManifestError, match="normal/ and abnormal/"):
        read_dataset(tmp_path)


def test_describe_takes_the_folder(folder, tmp_path):
    assert describe([str(folder), "--output", str(tmp_path / "description")]) == 0
