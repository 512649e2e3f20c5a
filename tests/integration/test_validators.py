"""What a run of the application writes, models and all, before judges that we did not write."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.integration import validators
from tests.integration.judges import Objects, Tally
from tests.integration.matrix import judge
from tests.monai_app.application import Run, run
from tests.phantoms import radiograph, save, stored_phantom
from tests.readers.runs import wrong_readings
from training import demo

pytestmark = pytest.mark.external

# One header variant a study; tests/integration/test_matrix.py has many more, without the models.
VARIANTS = {
    "dx": {},
    "no_patient": {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None},
    "no_spacing": {"kind": "CR", "ImagerPixelSpacing": None},
    "japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
    "unknown_part": {"BodyPartExamined": None, "AnatomicRegionSequence": None, "kind": "CR"},
    "out_of_scope": {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": None, "kind": "CR"},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("in")
    stored = stored_phantom(demo.FRACTURE_SEED, "step", rows=640, columns=512)
    for name, header in VARIANTS.items():
        save(radiograph(name, stored=stored, **({"BitsStored": 12, "HighBit": 11} | header)), source / f"{name}.dcm")
    two_views = {"study": "two-views", "BitsStored": 12, "HighBit": 11}
    save(radiograph("view-1", stored=stored, InstanceNumber=1, **two_views), source / "view_1.dcm")
    save(radiograph("view-2", stored=stored[::-1].copy(), InstanceNumber=2, **two_views), source / "view_2.dcm")
    save(
        radiograph("view-3", BodyPartExamined="CHEST", AnatomicRegionSequence=None, kind="CR", study="two-views"),
        source / "view_3.dcm",
    )
    return source


@pytest.fixture(scope="module")
def variants(source, tmp_path_factory) -> Run:
    return run(source, tmp_path_factory.mktemp("out"))


def test_the_run_found_something_to_write(variants):
    assert variants.code == 0, variants.log
    states = {name: image["state"] for name, image in variants.images.items()}
    assert states.pop("out_of_scope.dcm") == states.pop("view_3.dcm") == "declined"
    assert set(states.values()) == {"abnormal"}
    assert len([path for path in variants.objects if path.name.startswith("seg")]) == len(VARIANTS) - 1 + 2
    assert len([path for path in variants.objects if path.name == "sr.dcm"]) == len(VARIANTS) + 1


def test_no_judge_finds_an_error(variants, source):
    found = wrong(variants, source)
    assert not found, "\n".join(found)


@pytest.mark.readers
def test_no_reader_reads_another_result(variants, source):
    found = wrong_readings(variants, source)
    assert not found, "\n".join(found)


def test_phantoms_are_valid_sources(tmp_path):
    demo.write(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert validators.dciodvfy(path).errors == (), path.name
    for kind in ("DX", "CR"):
        path = save(radiograph(kind, kind=kind), tmp_path / f"{kind}.dcm")
        assert validators.dciodvfy(path).errors == ()


def test_the_area_that_is_told_is_the_area_that_is_written(variants):
    image = variants.images["dx.dcm"]
    seg = dcmread(variants.output / image["outputs"][0])
    assert seg.pixel_array.sum() == sum(mask["area_px"] for mask in image["masks"])
    assert image["masks"][0]["area_mm2"] == pytest.approx(image["masks"][0]["area_px"] * 0.2 * 0.2)


def wrong(done: Run, source: Path) -> list[str]:
    """Return what any judge finds wrong with the objects of a run; the files of a study are judged together."""
    tally, found = Tally(), []
    for study in done.result["studies"]:
        written = tuple(done.output / item["file"] for item in study["outputs"])
        objects = Objects(written, tuple(source / image["file"] for image in study["images"]))
        for name, verdicts in judge(objects).items():
            found += [f"{study['folder']}: {text}" for text in tally.add(name, verdicts)]
    return found


@pytest.mark.shared_data
def test_real_dicom_files_give_valid_objects(real_run, shared):
    assert real_run.objects
    found = wrong(real_run, shared / "dicom")
    assert not found, "\n".join(found)


@pytest.mark.readers
@pytest.mark.shared_data
def test_no_reader_reads_another_result_of_real_files(real_run, shared):
    found = wrong_readings(real_run, shared / "dicom")
    assert not found, "\n".join(found)
