"""The application as a command: every way in, every exit code, and nothing of a patient in the log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from pydicom import dcmread
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from operators.reporting.output_folder import study_folder
from tests.monai_app.application import ROOT, run
from tests.phantoms import radiograph, save, stored_phantom

pytestmark = pytest.mark.slow  # each runs the application

SCHEMA = json.loads((ROOT / "monai_app" / "result.schema.json").read_text("utf-8"))
CANARIES = {
    "PatientName": "CANARYNAME^FIRST",
    "PatientID": "CANARYID-77",
    "PatientBirthDate": "19010203",
    "AccessionNumber": "CANARYACC",
    "StudyDescription": "CANARYTEXT",
    "ReferringPhysicianName": "CANARYDOC^X",
    "InstitutionName": "CANARYHOSPITAL",
}
TRACES = ("CANARY", "19010203")


def big(seed: int, finding: str) -> np.ndarray:
    return stored_phantom(seed, finding, rows=640, columns=512)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One run over everything that can meet a reader, good and bad."""
    source = tmp_path_factory.mktemp("mixed")
    save(
        radiograph("good-1", study="good", stored=big(900_001, "step"), BitsStored=12, HighBit=11, **CANARIES),
        source / "1_fracture.dcm",
    )
    save(
        radiograph(
            "good-2", study="good", kind="CR", stored=big(900_002, "none"), BitsStored=12, HighBit=11, **CANARIES
        ),
        source / "2_normal.dcm",
    )
    save(radiograph("good-1", study="good", stored=big(900_001, "step"), **CANARIES), source / "3_duplicate.dcm")
    save(radiograph("chest", BodyPartExamined="CHEST", AnatomicRegionSequence=[], **CANARIES), source / "4_chest.dcm")
    save(radiograph("ct", SOPClassUID=CTImageStorage, Modality="CT", **CANARIES), source / "5_ct.dcm")
    save(radiograph("frames", NumberOfFrames=2, **CANARIES), source / "6_frames.dcm")
    save(radiograph("rgb", SamplesPerPixel=3, PhotometricInterpretation="RGB", **CANARIES), source / "7_rgb.dcm")
    save(radiograph("none", PixelData=None, **CANARIES), source / "8_no_pixels.dcm")
    truncated = save(radiograph("truncated", **CANARIES), source / "9_truncated.dcm")
    truncated.write_bytes(truncated.read_bytes()[:-3000])
    save(radiograph("bits", BitsStored=4, HighBit=3, **CANARIES), source / "a_bits.dcm")
    save(radiograph("depth", BitsAllocated=12, **CANARIES), source / "b_depth.dcm")
    save(radiograph("no-uid", SOPInstanceUID=None, study="good", **CANARIES), source / "c_no_uid.dcm")
    save(radiograph("no-study", StudyInstanceUID=None, **CANARIES), source / "d_no_study.dcm")
    save(radiograph("sc", SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", **CANARIES), source / "e_sc.dcm")
    save(radiograph("dates", kind="CR", StudyDate="20261301", **CANARIES), source / "f_bad_date.dcm")
    save(
        radiograph("unknown", BodyPartExamined=None, AnatomicRegionSequence=None, **CANARIES),
        source / "g_unknown_part.dcm",
    )
    save(radiograph("blank", stored=np.zeros((128, 128), np.uint16), **CANARIES), source / "h_blank.dcm")
    (source / "i_empty").write_bytes(b"")
    (source / "j_text.txt").write_text("CANARYTEXT")
    (source / "k_header_only.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00XX\xff\xffCANARY")
    return run(source, tmp_path_factory.mktemp("out"))


EXPECTED = {
    "3_duplicate.dcm": ("declined", "duplicate_instance"),
    "4_chest.dcm": ("declined", "body_part_out_of_scope"),
    "5_ct.dcm": ("declined", "not_a_radiograph"),
    "6_frames.dcm": ("declined", "multi_frame"),
    "7_rgb.dcm": ("declined", "colour"),
    "8_no_pixels.dcm": ("declined", "no_pixel_data"),
    "9_truncated.dcm": ("failed", "pixel_data_corrupt"),
    "a_bits.dcm": ("failed", "pixel_data_corrupt"),
    "b_depth.dcm": ("failed", "header_invalid"),
    "c_no_uid.dcm": ("failed", "header_invalid"),
    "d_no_study.dcm": ("failed", "header_invalid"),
    "e_sc.dcm": ("declined", "not_a_radiograph"),
    "h_blank.dcm": ("declined", "image_quality"),
    "k_header_only.dcm": ("failed", "unreadable_file"),
}


def test_every_file_is_accounted_for(mixed):
    assert mixed.code == 3, mixed.log
    images = mixed.images
    assert {name: (images[name]["state"], images[name]["reason"]) for name in EXPECTED} == EXPECTED
    analysed = {"1_fracture.dcm", "2_normal.dcm", "f_bad_date.dcm", "g_unknown_part.dcm"}
    assert set(images) == set(EXPECTED) | analysed
    assert all(images[name]["probability"] is not None and images[name]["reason"] is None for name in analysed)
    assert mixed.result["counts"]["ignored_files"] == 2


def test_the_result_follows_its_schema(mixed):
    jsonschema.validate(mixed.result, SCHEMA)
    counts = mixed.result["counts"]
    assert counts["images"] == sum(counts[state] for state in ("normal", "doubt", "abnormal", "declined", "failed"))
    assert mixed.result["exit_code"] == 3


def test_bad_files_do_not_touch_the_other_images_of_their_study(mixed):
    (study,) = [s for s in mixed.result["studies"] if any(i["file"] == "1_fracture.dcm" for i in s["images"])]
    assert study["folder"] == study_folder(study["study_instance_uid"])
    assert {image["file"] for image in study["images"]} == {
        "1_fracture.dcm",
        "2_normal.dcm",
        "3_duplicate.dcm",
        "c_no_uid.dcm",
    }
    assert mixed.images["1_fracture.dcm"]["state"] == "abnormal"
    number = [image["file"] for image in study["images"]].index("1_fracture.dcm") + 1
    assert f"{study['folder']}/seg_{number}.dcm" in mixed.images["1_fracture.dcm"]["outputs"]


def test_no_patient_data_reach_the_log_or_the_pages(mixed):
    texts = [
        mixed.log,
        (mixed.output / "result.json").read_text("utf-8"),
        (mixed.output / "report.html").read_text("utf-8"),
    ]
    for text in texts:
        assert not [trace for trace in TRACES if trace in text]


def test_everything_listed_exists_and_nothing_else(mixed):
    listed = {written["file"] for study in mixed.result["studies"] for written in study["outputs"]}
    files = {path.relative_to(mixed.output).as_posix() for path in mixed.output.rglob("*") if path.is_file()}
    assert files == listed | {"result.json", "result.csv", "report.html"}


def test_an_unknown_body_part_is_processed_and_never_normal(mixed):
    image = mixed.images["g_unknown_part.dcm"]
    assert image["body_part"] is None
    assert image["state"] in ("doubt", "abnormal")
    assert image["doubts"] == ["body_part_absent"]
    assert "body part not named" in image["detail"]


def test_the_patient_is_the_source_s_patient(mixed):
    (sr,) = [path for path in mixed.objects if path.name == "sr.dcm" and (path.parent / "seg_1.dcm").exists()][:1]
    assert dcmread(sr).PatientID == CANARIES["PatientID"]


@pytest.fixture(scope="module")
def one_image(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("one_image")
    save(radiograph("x", stored=big(900_001, "step"), BitsStored=12, HighBit=11), source / "a.dcm")
    return source


@pytest.fixture(scope="module")
def one_image_run(one_image, tmp_path_factory):
    return run(one_image, tmp_path_factory.mktemp("out"))


def test_a_second_run_writes_the_same(one_image, one_image_run, tmp_path):
    first, second = one_image_run, run(one_image, tmp_path / "two")
    assert (first.code, second.code) == (0, 0), first.log + second.log
    assert first.images == second.images
    for a, b in zip(first.objects, second.objects, strict=True):
        one, two = dcmread(a), dcmread(b)
        assert (a.name, one.SOPInstanceUID, one.get("PixelData")) == (b.name, two.SOPInstanceUID, two.get("PixelData"))


def test_results_given_as_input_make_no_results(one_image_run, tmp_path):
    again = run(one_image_run.output, tmp_path / "out")
    assert again.code == 4, again.log
    jsonschema.validate(again.result, SCHEMA)
    assert again.result["studies"] == []
    counts, written = again.result["counts"], len(one_image_run.objects)
    assert written >= 5
    assert (counts["ignored_own_objects"], counts["ignored_files"]) == (
        written,
        written + 3,
    )  # page, list and result.json
    assert again.objects == []


def test_the_monochrome1_twin_gets_the_same_probability(tmp_path):
    stored = big(900_001, "step")
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "BitsStored": 12, "HighBit": 11}
    save(radiograph("m2", stored=stored, **window), tmp_path / "in" / "m2.dcm")
    inverted = radiograph(
        "m1", stored=4095 - stored, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **window
    )
    save(inverted, tmp_path / "in" / "m1.dcm")
    images = run(tmp_path / "in", tmp_path / "out").images
    assert images["m1.dcm"]["probability"] == pytest.approx(images["m2.dcm"]["probability"], abs=1e-4)
    assert images["m1.dcm"]["boxes"] == images["m2.dcm"]["boxes"]


@pytest.mark.parametrize("content", [{}, {"a.txt": b"no", "b": b""}])
def test_an_input_without_dicom_ends_with_4(tmp_path, content):
    (tmp_path / "in").mkdir()
    for name, text in content.items():
        (tmp_path / "in" / name).write_bytes(text)
    done = run(tmp_path / "in", tmp_path / "out")
    assert done.code == 4
    assert "no DICOM image was found" in done.log
    assert done.result["counts"]["ignored_files"] == len(content)
    jsonschema.validate(done.result, SCHEMA)


def no_result(done) -> bool:
    return not (done.output / "result.json").exists() and "Traceback" not in done.log


def test_a_missing_input_ends_with_2(tmp_path):
    done = run(tmp_path / "absent", tmp_path / "out")
    assert done.code == 2
    assert no_result(done)


def test_an_unknown_flag_ends_with_2(tmp_path):
    done = run(tmp_path, tmp_path / "out", "--threshold", "0.5")
    assert done.code == 2
    assert no_result(done)


def test_an_unknown_key_ends_with_2(tmp_path):
    content = yaml.safe_load((ROOT / "app.yaml").read_text())
    content["report"]["colour"] = "red"
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(content))
    done = run(tmp_path, tmp_path / "out", HOLOSCAN_CONFIG_PATH=str(tmp_path / "app.yaml"))
    assert done.code == 2
    assert "unknown key 'colour'" in done.log
    assert no_result(done)


def test_an_altered_model_ends_with_2(tmp_path, bundles):
    shutil.copytree(bundles, tmp_path / "models", ignore=shutil.ignore_patterns("*.pth", "*.pt"))
    weights = tmp_path / "models" / "msk_resnet50" / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    save(radiograph(), tmp_path / "in" / "a.dcm")
    done = run(tmp_path / "in", tmp_path / "out", "-m", str(tmp_path / "models"))
    assert done.code == 2
    assert "model.safetensors does not match its sha256" in done.log
    assert no_result(done)


def test_an_output_that_cannot_be_written_ends_with_2(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(tmp_path, tmp_path / "file")
    assert done.code == 2
    assert "Traceback" not in done.log


def test_a_run_that_is_told_to_stop_stops_and_accounts_for_every_study(tmp_path):
    for number in range(10):
        save(radiograph(str(number)), tmp_path / "in" / f"{number}.dcm")
    content = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
    content["classification"].update(bundle="msk_cnn", check_turned=False)
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(content), "utf-8")
    settings = {"HOLOSCAN_CONFIG_PATH": str(tmp_path / "app.yaml")}
    command = [sys.executable, "-m", "monai_app", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | settings) as process:
        log = ""
        while "study 1 of 10" not in log:
            log += process.stderr.readline()
        process.terminate()
        log += process.communicate(timeout=60)[1]
    assert process.returncode == 1, log
    result = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    assert result["counts"]["studies"] == 10
    assert 0 < result["counts"]["failed"] < 10
    images = [image for study in result["studies"] for image in study["images"]]
    assert {image["reason"] for image in images} == {None, "stopped"}
    jsonschema.validate(result, SCHEMA)
    assert "stopped: " in log
    assert "internal" not in log
    finished = {path: path.stat().st_ino for path in (tmp_path / "out").glob("*/*.dcm")}
    assert finished

    again = run(tmp_path / "in", tmp_path / "out", "--resume", command=("-m", "monai_app.command"), **settings)
    assert again.code == 0, again.log
    kept = 10 - result["counts"]["failed"]
    assert f"{kept} of 10 studies are finished and current" in again.log
    assert {path: path.stat().st_ino for path in finished} == finished
    assert (again.result["counts"]["studies"], again.result["counts"]["failed"]) == (10, 0)
    before = {image["file"]: image for image in images if image["reason"] is None}
    assert {name: again.images[name] for name in before} == before
    page = (again.output / "report.html").read_text("utf-8")
    assert all(page.count(f'id="study-{study["folder"]}"') == 1 for study in again.result["studies"])
    assert len((again.output / "result.csv").read_text("utf-8").splitlines()) == 11
    assert {path.name for path in again.output.iterdir() if len(path.name) != 16} == {
        *("result.json", "result.csv", "report.html"),
    }


def test_one_file_is_an_input_too(tmp_path):
    path = save(radiograph(), tmp_path / "a.dcm")
    done = run(path, tmp_path / "out")
    assert done.code == 0, done.log
    assert list(done.images) == ["a.dcm"]


def test_an_output_inside_the_input_is_not_read_again(tmp_path):
    save(radiograph("x", stored=big(900_001, "step"), BitsStored=12, HighBit=11), tmp_path / "a.dcm")
    assert run(tmp_path, tmp_path / "out").code == 0
    again = run(tmp_path, tmp_path / "out")
    assert again.result["counts"]["images"] == 1


def commands():
    scripts = Path(sys.executable).parent
    return {
        "module": (sys.executable, "-m", "monai_app"),
        "folder": (sys.executable, "monai_app"),
        "exec": (str(scripts / "monai-deploy"), "exec", "monai_app"),
        "osteomap": (str(scripts / "osteomap"),),
    }


def test_all_commands_behave_the_same(one_image, one_image_run, tmp_path, bundles):
    assert one_image_run.code == 0, one_image_run.log
    results = {"module": (one_image_run.result["studies"], one_image_run.result["models"])}
    for name, command in commands().items():
        if name == "module":
            continue
        output = tmp_path / name
        done = subprocess.run(
            [*command, "-i", str(one_image), "-o", str(output), "-m", str(bundles)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads((output / "result.json").read_text("utf-8"))
        results[name] = (result["studies"], result["models"])
    assert all(result == results["module"] for result in results.values())


def test_exec_passes_the_exit_code_on(tmp_path):
    (tmp_path / "in").mkdir()
    done = subprocess.run(
        [*commands()["exec"], "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 4
    missing = subprocess.run(
        [*commands()["exec"][:2], "no_such_app"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "no application at no_such_app" in missing.stderr


def test_monai_deploy_still_packages():
    done = subprocess.run([commands()["exec"][0], "package", "-h"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--platform" in done.stdout
