"""Labels that persons saved become a manifest: pixels, boxes and splits, whatever a client did to the grid."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from operators.image_files import Decoder
from tests.phantoms import radiograph, save, stored_phantom
from training.datasets.dataset import read_dataset
from training.datasets.manifest import ManifestError
from training.monai_label.__main__ import main
from training.monai_label.corrections import write_data_set
from training.monai_label.models import open_image

COLUMNS, ROWS = 80, 100
SQUARES = ((slice(10, 30), slice(5, 25)), (slice(60, 70), slice(40, 75)))  # rows, columns


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=60, memory_mib=4096) as opened:
        yield opened


class Studies:
    """A folder as MONAI Label's server leaves it."""

    def __init__(self, folder, decoder):
        self.folder, self.decoder, self.objects = folder, decoder, {}
        (folder / "labels" / "final").mkdir(parents=True)

    def add(self, name, label, suffix=".png", label_suffix=".nii.gz", tag="final"):
        if suffix == ".png":
            grey = np.random.default_rng(len(self.objects)).integers(0, 255, (ROWS, COLUMNS)).astype(np.uint8)
            Image.fromarray(grey).save(self.folder / f"{name}.png")
        else:
            stored = stored_phantom(3, "step", rows=ROWS, columns=COLUMNS)
            save(radiograph(name, stored=stored, BitsStored=12, HighBit=11), self.folder / f"{name}.dcm")
        image = open_image(self.folder / f"{name}{suffix}", self.decoder)
        path = self.folder / "labels" / tag / f"{name}{label_suffix}"
        path.parent.mkdir(exist_ok=True)
        if label_suffix == ".png":
            Image.fromarray(label).save(path)
        else:
            nibabel.save(label(image) if callable(label) else image.to_nifti(label, ""), path)
        self.objects[name] = {"image": {"ext": suffix, "info": {}}, "labels": {tag: {"ext": label_suffix, "info": {}}}}

    def write(self):
        content = {"name": "", "images_dir": ".", "labels_dir": "labels", "objects": self.objects}
        (self.folder / "datastore_v2.json").write_text(json.dumps(content))
        return self.folder


@pytest.fixture
def studies(tmp_path, decoder):
    return Studies(tmp_path / "studies", decoder)


def drawn(*squares):
    label = np.zeros((ROWS, COLUMNS), np.uint8)
    for number, square in enumerate(squares, start=1):
        label[square] = number
    return label


def mirrored(image):
    """The same label with its axes the other way round in memory; where it lies in space stays."""
    return image.to_nifti(drawn(*SQUARES), "").as_reoriented(np.array([[0, -1], [1, -1], [2, 1]]))


def cropped(image):
    """Only the part that holds segments, as 3D Slicer exports it if told so."""
    return image.to_nifti(drawn(*SQUARES), "").slicer[5:75, 10:70]


@pytest.mark.parametrize("label", [drawn(*SQUARES), (drawn(*SQUARES) > 0).astype(np.uint8), mirrored, cropped])
@pytest.mark.parametrize("suffix", [".png", ".dcm"])
def test_a_label_lies_where_it_was_drawn_whatever_its_grid(studies, tmp_path, decoder, label, suffix):
    studies.add("one", label, suffix)
    table = write_data_set(studies.write(), tmp_path / "out", decoder)
    assert not table.problems
    (record,) = table.records
    assert (np.asarray(Image.open(record.mask)) == (drawn(*SQUARES) > 0)).all()
    assert sorted(record.boxes) == [(5, 10, 25, 30), (40, 60, 75, 70)]
    original = open_image(studies.folder / f"one{suffix}", decoder).radiograph.pixels
    written = open_image(record.path, decoder).radiograph.pixels
    np.testing.assert_allclose(written, original, atol=1e-4)


def test_a_png_is_a_label_too(studies, tmp_path, decoder):
    studies.add("one", drawn(*SQUARES), label_suffix=".png")
    (record,) = write_data_set(studies.write(), tmp_path / "out", decoder).records
    assert len(record.boxes) == 2


def test_an_empty_label_is_a_normal_image_and_the_models_own_labels_are_left_out(studies, tmp_path, decoder):
    studies.add("empty", drawn())
    studies.add("by_the_model", drawn(*SQUARES), tag="original")
    records = write_data_set(studies.write(), tmp_path / "out", decoder).records
    assert [(record.path.name, record.label, record.mask) for record in records] == [("empty.png", 0, None)]


def test_both_classes_are_in_both_splits_and_any_command_reads_them(studies, tmp_path, decoder):
    for number in range(6):
        studies.add(f"image{number}", drawn(*SQUARES[: number % 2]))
    write_data_set(studies.write(), tmp_path / "out", decoder)
    records = read_dataset(tmp_path / "out")
    assert {(record.split, record.label) for record in records} == {(s, n) for s in ("train", "val") for n in (0, 1)}


def test_what_identifies_a_patient_is_hashed(studies, tmp_path, decoder):
    studies.add("one", drawn(*SQUARES), ".dcm")
    patient = str(open_image(studies.folder / "one.dcm", decoder).source.header.PatientID)
    write_data_set(studies.write(), tmp_path / "out", decoder)
    assert patient
    assert patient not in (tmp_path / "out" / "manifest.csv").read_text()
    assert read_dataset(tmp_path / "out")[0].group != "one"


def test_a_label_that_cannot_be_used_costs_one_image_and_says_why(studies, tmp_path, capsys):
    studies.add("good", drawn(*SQUARES))
    for name, damage in (("broken", b"not a label"), ("gone", None)):
        studies.add(name, drawn(*SQUARES))
        path = studies.folder / "labels" / "final" / f"{name}.nii.gz"
        path.unlink() if damage is None else path.write_bytes(damage)
    studies.add("small", drawn(*SQUARES)[:50], label_suffix=".png")
    assert main(["manifest", str(studies.write()), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "1 corrected images" in said.out
    assert [line.split(": ")[1] for line in said.err.splitlines()] == ["broken.png", "gone.png", "small.png"]
    assert all("save it" in line for line in said.err.splitlines())


@pytest.mark.parametrize("content", [None, "{", "[]", '{"images_dir": ".", "labels_dir": "labels", "objects": {}}'])
def test_a_folder_without_labels_is_told_in_one_line(tmp_path, decoder, content):
    if content is not None:
        (tmp_path / "datastore_v2.json").write_text(content)
    with pytest.raises(ManifestError) as raised:
        write_data_set(tmp_path, tmp_path / "out", decoder)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)
