"""Every object that the application writes, before judges that we did not write."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from tests.app.application import Run, run
from tests.integration.validators import dcentvfy_errors, dciodvfy_errors, dsrdump_errors
from tests.phantoms import radiograph, save, stored_phantom
from training import demo

pytestmark = pytest.mark.external

# One header variant a study: what PACS archives really hold.
VARIANTS = {
    "dx": {},
    "cr": {"kind": "CR"},
    "no_patient": {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None},
    "no_study": {"kind": "CR", "StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None},
    "no_series": {"kind": "CR", "SeriesNumber": None, "InstanceNumber": None, "Manufacturer": None},
    "no_orientation": {"kind": "CR", "PatientOrientation": None},
    "empty_orientation": {"kind": "CR", "PatientOrientation": ""},
    "no_spacing": {"kind": "CR", "ImagerPixelSpacing": None},
    "bad_date": {"kind": "CR", "StudyDate": "20261301", "StudyTime": "256100"},
    "bad_sex": {"kind": "CR", "PatientSex": "female"},
    "japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
    "chinese": {"SpecificCharacterSet": "GB18030", "PatientName": "王^小东"},
    "latin": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"},
    "unknown_part": {"BodyPartExamined": None, "AnatomicRegionSequence": None, "kind": "CR"},
    "right": {"ImageLaterality": "R"},
    "out_of_scope": {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": None, "kind": "CR"},
    "frame_of_reference": {"FrameOfReferenceUID": "1.2.3", "kind": "CR"},
}


@pytest.fixture(scope="module")
def variants(tmp_path_factory) -> Run:
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
    return run(source, tmp_path_factory.mktemp("out"))


def test_the_run_found_something_to_write(variants):
    assert variants.code == 0, variants.log
    states = {name: image["state"] for name, image in variants.images.items()}
    assert states.pop("out_of_scope.dcm") == states.pop("view_3.dcm") == "declined"
    assert set(states.values()) == {"abnormal"}
    assert len([path for path in variants.objects if path.name.startswith("seg")]) == len(VARIANTS) - 1 + 2
    assert len([path for path in variants.objects if path.name == "sr.dcm"]) == len(VARIANTS) + 1


def test_dciodvfy_finds_no_error(variants):
    assert {path.as_posix(): errors for path in variants.objects if (errors := dciodvfy_errors(path))} == {}


def test_dsrdump_reads_every_report(variants):
    reports = [path for path in variants.objects if path.name == "sr.dcm"]
    assert {path.as_posix(): errors for path in reports if (errors := dsrdump_errors(path))} == {}


def test_the_objects_of_a_study_agree(variants):
    for folder in {path.parent for path in variants.objects}:
        assert dcentvfy_errors(sorted(folder.glob("*.dcm"))) == []


def test_highdicom_reads_everything_back(variants):
    for path in variants.objects:
        if path.name == "sr.dcm":
            report = hd.sr.srread(path)
            assert report.content.get_planar_roi_measurement_groups()
        else:
            seg = hd.seg.segread(path)
            assert seg.number_of_segments >= 1
            assert set(np.unique(seg.pixel_array)) <= {0, 1}


def test_phantoms_are_valid_sources(tmp_path):
    demo.write(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert dciodvfy_errors(path) == [], path.name
    for kind in ("DX", "CR"):
        path = save(radiograph(kind, kind=kind), tmp_path / f"{kind}.dcm")
        assert dciodvfy_errors(path) == []


def test_the_area_that_is_told_is_the_area_that_is_written(variants):
    image = variants.images["dx.dcm"]
    seg = dcmread(variants.output / image["outputs"][0])
    assert seg.pixel_array.sum() == sum(mask["area_px"] for mask in image["masks"])
    assert image["masks"][0]["area_mm2"] == pytest.approx(image["masks"][0]["area_px"] * 0.2 * 0.2)


def validate_all(objects: list[Path]) -> dict[str, list[str]]:
    found = {path.as_posix(): dciodvfy_errors(path) for path in objects}
    found |= {f"{path} (dsrdump)": dsrdump_errors(path) for path in objects if path.name == "sr.dcm"}
    return {name: errors for name, errors in found.items() if errors}


@pytest.mark.shared_data
def test_real_dicom_files_give_valid_objects(real_run):
    assert real_run.objects
    assert validate_all(real_run.objects) == {}
