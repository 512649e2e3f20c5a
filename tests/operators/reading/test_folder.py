"""Folder -> studies: every file is accounted for once, in a stable order."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    RLELossless,
    RTDoseStorage,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
)

from operators.encoding.remarks import Remark, remarks
from operators.localization.localize import localize
from operators.reading import study_index
from operators.reading.decoder import Decoder, FileReader
from operators.reading.folder import list_files
from operators.reading.study_index import StudyIndex, index_files
from operators.records.rules import BoxRule
from operators.records.sources import ExcludedImage, Ignored, SourceFile, SourceImage
from operators.records.study import Study
from tests.built_studies import build_study
from tests.header_variants import raw
from tests.phantoms import classification, radiograph, save, stored_phantom

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
OUTCOMES = """
import json, pathlib, sys
from operators.reading.decoder import Decoder, FileReader
from tests.operators.reading.test_folder import outcomes

with Decoder(20, 4096) as decoder:
    print(json.dumps(outcomes(pathlib.Path(sys.argv[1]), FileReader(decoder))))
"""


@pytest.fixture(scope="module")
def reader():
    with Decoder(20, 4096) as decoder:
        yield FileReader(decoder)


def studies_of(index: StudyIndex) -> list[Study[SourceImage]]:
    with index:
        return list(index.studies(lambda: NOW))


def test_files_are_sorted_into_studies(tmp_path, reader):
    save(radiograph("b", study="two", InstanceNumber=2), tmp_path / "1.dcm")
    save(radiograph("a", study="one"), tmp_path / "sub" / "2.dcm")
    save(radiograph("c", study="two", InstanceNumber=1), tmp_path / "sub" / "3.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    index = index_files(list_files(tmp_path), reader)
    assert index.ignored_files == 1
    studies = studies_of(index)
    assert [[image.file.name for image in study.images] for study in studies] == [["sub/3.dcm", "1.dcm"], ["sub/2.dcm"]]


def test_the_second_file_of_an_instance_is_a_duplicate(tmp_path, reader):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("a"), tmp_path / "2.dcm")
    index = index_files(list_files(tmp_path), reader)
    (study,) = studies_of(index)
    (excluded,) = study.excluded
    assert (excluded.state, excluded.reason, excluded.source.file.name) == ("declined", "duplicate_instance", "2.dcm")
    assert len(study.included) == 1


def changed_copies(folder, *changes, **common) -> None:
    for number, change in enumerate(changes):
        save(radiograph("a", **{"study": "s"} | common | change), folder / f"{number}.dcm")


def outcomes(folder, reader) -> dict[str, tuple[str, str] | None]:
    """Return state and reason of each file, None for one that goes on to be analysed."""
    found = {}
    for study in studies_of(index_files(list_files(folder), reader)):
        found |= {image.source.file.name: None for image in study.included}
        found |= {
            getattr(image.source, "file", image.source).name: (image.state, image.reason) for image in study.excluded
        }
    return dict(sorted(found.items()))


DUPLICATE, CONTRADICTORY = ("declined", "duplicate_instance"), ("failed", "header_invalid")
MIRRORED = {"stored": np.ascontiguousarray(stored_phantom()[:, ::-1]), "BitsStored": 12, "HighBit": 11}
CONTRADICTIONS = {
    "patient": {"PatientID": "another"},
    "issuer": {"IssuerOfPatientID": "another hospital"},
    "study": {"StudyInstanceUID": "1.2.3"},
    "series": {"SeriesInstanceUID": "1.2.3"},
    "pixels": MIRRORED,
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_two_files_of_one_instance_that_contradict_each_other_both_fail(tmp_path, reader, what, caplog):
    common = {"PatientID": "CANARY", "IssuerOfPatientID": "hospital"}
    changed_copies(tmp_path, {}, CONTRADICTIONS[what], {}, **common)
    save(radiograph("b", study="s", **common), tmp_path / "b.dcm")
    found = outcomes(tmp_path, reader)
    assert found == {"0.dcm": CONTRADICTORY, "1.dcm": CONTRADICTORY, "2.dcm": CONTRADICTORY, "b.dcm": None}
    told = "patient" if what == "issuer" else what
    assert caplog.text.count(f"other {told}; correct") == 2
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize(
    "change", [{}, {"PatientName": "Doe^Jane"}, {"StudyDescription": "x"}, {"PatientID": None}, {"WindowWidth": 99}]
)
def test_copies_of_an_image_are_declined_though_their_headers_were_edited(tmp_path, reader, change):
    changed_copies(tmp_path, {}, change, PatientID="one")
    assert outcomes(tmp_path, reader) == {"0.dcm": None, "1.dcm": DUPLICATE}


def test_a_copy_in_another_lossless_transfer_syntax_is_a_copy(tmp_path, reader):
    changed_copies(tmp_path, {}, {})
    ds = dcmread(tmp_path / "1.dcm")
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "1.dcm")
    assert outcomes(tmp_path, reader) == {"0.dcm": None, "1.dcm": DUPLICATE}


@pytest.mark.parametrize("damaged", [0, 1])
def test_of_a_sound_and_a_damaged_copy_the_sound_one_is_analysed(tmp_path, reader, damaged):
    changed_copies(tmp_path, {}, {})
    path = tmp_path / f"{damaged}.dcm"
    path.write_bytes(path.read_bytes()[:-3000])
    assert outcomes(tmp_path, reader) == {
        path.name: ("failed", "pixel_data_corrupt"),
        f"{1 - damaged}.dcm": None,
    }


def test_a_contradiction_is_found_in_memory_too(tmp_path, reader):
    changed_copies(tmp_path, {}, {}, MIRRORED)
    files = [SourceFile(Path(name), name, (tmp_path / name).read_bytes()) for name in ("0.dcm", "1.dcm", "2.dcm")]
    (study,) = studies_of(index_files(files, reader))
    assert [image.reason for image in study.excluded] == ["header_invalid", "duplicate_instance", "header_invalid"]


def test_files_without_identity_are_kept_with_their_reason(tmp_path, reader):
    save(radiograph("a", StudyInstanceUID=None), tmp_path / "1.dcm")
    save(radiograph("b", SOPInstanceUID=None, study="s"), tmp_path / "2.dcm")
    (tmp_path / "3.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05\x00XX\xff\xff")
    index = index_files(list_files(tmp_path), reader)
    studies = {study.study_instance_uid: study for study in studies_of(index)}
    assert None in studies
    excluded = [image for study in studies.values() for image in study.images]
    assert all(isinstance(image, ExcludedImage) and image.state == "failed" for image in excluded)
    assert len(excluded) == 3


def with_several(path, **values):
    """Save a file whose attributes have several values where the Standard allows one."""
    ds = radiograph(path.stem)
    for keyword, value in values.items():
        ds[keyword] = DataElement(keyword, ds[keyword].VR, value, validation_mode=IGNORE)
    return save(ds, path)


def test_several_values_of_an_identifier_are_a_mistake_of_the_file(tmp_path, reader):
    for number, keyword in enumerate(("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")):
        with_several(tmp_path / f"{number}.dcm", **{keyword: ["1.2.3", "1.2.4"]})
    index = index_files(list_files(tmp_path), reader)
    excluded = [image for study in studies_of(index) for image in study.excluded]
    assert [image.reason for image in excluded] == ["header_invalid"] * 4


def test_several_values_of_a_number_cost_nothing(tmp_path, reader):
    with_several(tmp_path / "1.dcm", SeriesNumber=["1", "2"], InstanceNumber=["3", "4"], ImagerPixelSpacing="0.1")
    (study,) = studies_of(index_files(list_files(tmp_path), reader))
    (image,) = study.included
    assert image.imager_pixel_spacing_mm is None


def indexed(folder, reader) -> tuple[list[str], Counter]:
    """Return the names of the files that are kept, and how many are passed over."""
    with index_files(list_files(folder), reader) as index:
        return [name for uid in index.study_uids for name in index.file_names(uid)], index.ignored


def test_what_this_application_made_is_no_input(tmp_path, reader):
    objects = build_study("dx", "two_views").write(tmp_path / "in")
    assert {dcmread(path).SOPClassUID for path in objects} >= {SecondaryCaptureImageStorage, SegmentationStorage}
    names, ignored = indexed(tmp_path / "in", reader)
    assert names == ["source_1.dcm", "source_2.dcm"]
    assert ignored == {Ignored.OWN_OBJECT: len(objects)}


CHANGES = {
    "series": ("SeriesDescription", "SeriesNumber"),
    "contribution": ("ContributingEquipmentSequence", "SeriesDescription"),
    "equipment": ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
}


@pytest.mark.parametrize("removed", CHANGES.values(), ids=CHANGES)
def test_an_object_of_ours_is_known_after_an_archive_has_changed_it(tmp_path, reader, removed):
    for path in build_study("dx", "abnormal_1").write(tmp_path / "in"):
        ds = dcmread(path)
        for keyword in removed:
            if keyword in ds:
                del ds[keyword]
        ds.save_as(path)
    names, ignored = indexed(tmp_path / "in", reader)
    assert names == ["source_1.dcm"]
    assert ignored[Ignored.OWN_OBJECT] == ignored.total() > 4


def test_only_our_results_are_taken_for_ours(tmp_path, reader):
    for number, changes in enumerate(
        (
            {"Manufacturer": "OsteoMAP project"},
            {"SeriesDescription": "OsteoMAP"},
            {"Manufacturer": "Acme", "ManufacturerModelName": "OsteoMAP"},
        )
    ):
        save(radiograph(str(number), **changes), tmp_path / f"{number}.dcm")
    ds = radiograph("junk")
    ds.add(DataElement("ContributingEquipmentSequence", "LO", "junk"))
    save(ds, tmp_path / "junk.dcm")
    assert sorted(indexed(tmp_path, reader)[0]) == ["0.dcm", "1.dcm", "2.dcm", "junk.dcm"]


NO_IMAGES = {
    "sr": BasicTextSRStorage,
    "seg": SegmentationStorage,
    "label_map": UID("1.2.840.10008.5.1.4.1.1.66.7"),
    "gsps": GrayscaleSoftcopyPresentationStateStorage,
    "pdf": EncapsulatedPDFStorage,
    "ecg": TwelveLeadECGWaveformStorage,
    "rt_plan": RTPlanStorage,
    "rt_dose": RTDoseStorage,
    "raw": RawDataStorage,
    "key_objects": KeyObjectSelectionDocumentStorage,
}


def test_what_is_no_image_is_counted_and_makes_no_report(tmp_path, reader):
    for name, sop_class in NO_IMAGES.items():
        for pixels in ({}, {"PixelData": None}):
            path = tmp_path / f"{name}_{len(pixels)}.dcm"
            save(radiograph(path.stem, SOPClassUID=sop_class, StudyInstanceUID=None, **pixels), path)
    names, ignored = indexed(tmp_path, reader)
    assert names == []
    assert ignored == {Ignored.NO_IMAGE: 2 * len(NO_IMAGES)}


def test_every_image_is_kept_whatever_its_kind(tmp_path, reader):
    """It is the scope that declines what is no radiograph, and tells why."""
    images = {
        "ct": {"SOPClassUID": CTImageStorage},
        "sc": {"SOPClassUID": SecondaryCaptureImageStorage},
        "private": {"SOPClassUID": "1.2.3.4"},
        "no_class": {"SOPClassUID": None},
        "no_pixels": {"PixelData": None},
    }
    for name, changes in images.items():
        save(radiograph(name, **changes), tmp_path / f"{name}.dcm")
    names, ignored = indexed(tmp_path, reader)
    assert sorted(names) == sorted(f"{name}.dcm" for name in images)
    assert ignored.total() == 0


def test_an_implausible_spacing_is_told_of_its_image(tmp_path, reader):
    for number, value in enumerate(("1e-320", "1e200", "0.2"), start=1):
        put = raw("ImagerPixelSpacing", f"{value}\\{value}")
        ds = radiograph(str(number), study="a", InstanceNumber=number)
        put(ds)
        save(ds, tmp_path / f"{number}.dcm")
    (study,) = studies_of(index_files(list_files(tmp_path), reader))
    assert [image.imager_pixel_spacing_mm for image in study.included] == [None, None, (0.2, 0.2)]
    rule = BoxRule("peaks", 0.5, 0.0)
    localizations = [localize(classification(source=image), rule) for image in study.included]
    told = [Remark.NO_SPACING in remarks(localization) for localization in localizations]
    assert told == [True, True, False]


def test_what_is_emptied_is_logged_by_tag(tmp_path, reader, caplog):
    save(radiograph(PatientBirthDate="19991399"), tmp_path / "1.dcm")
    caplog.clear()
    index_files(list_files(tmp_path), reader)
    assert "(0010,0030) PatientBirthDate" in caplog.text
    assert "1999" not in caplog.text


def test_a_folder_above_the_input_leaves_nothing_out(tmp_path):
    save(radiograph("a"), tmp_path / "in" / "1.dcm")
    assert [file.name for file in list_files(tmp_path / "in", left_out=tmp_path)] == ["1.dcm"]


def test_the_output_folder_is_not_read(tmp_path, reader):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("b"), tmp_path / "out" / "sr.dcm")
    files = [file.name for file in list_files(tmp_path, left_out=tmp_path / "out")]
    assert files == ["1.dcm"]


def listed(folder) -> dict[str, str | None]:
    return {file.name: file.problem for file in list_files(folder)}


def test_a_folder_without_access_rights_is_told_and_counted(tmp_path, reader, monkeypatch, caplog):
    save(radiograph("a"), tmp_path / "in" / "1.dcm")
    save(radiograph("b"), tmp_path / "in" / "CANARY" / "2.dcm")
    real = os.scandir

    def refuse(path):
        if Path(path).name == "CANARY":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert outcomes(tmp_path / "in", reader) == {"1.dcm": None, "CANARY": ("failed", "unreadable_file")}
    assert "CANARY: failed, unreadable_file: a folder that cannot be listed (PermissionError)" in caplog.text


def unprivileged() -> list[str]:
    """What starts a command that access rights bind, also where the tests run as root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "run the tests as another user than root, or install util-linux"
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


def test_a_file_and_a_folder_that_may_not_be_read_are_told_and_counted(tmp_path):
    save(radiograph("a"), tmp_path / "1.dcm")
    save(radiograph("b"), tmp_path / "2.dcm").chmod(0)
    save(radiograph("c"), tmp_path / "folder" / "3.dcm").parent.chmod(0)
    command = [*unprivileged(), sys.executable, "-W", "ignore", "-c", OUTCOMES, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    (tmp_path / "folder").chmod(0o700)
    failed = ["failed", "unreadable_file"]
    assert json.loads(done.stdout) == {"1.dcm": None, "2.dcm": failed, "folder": failed}


def test_links_are_followed_to_files_and_told_of_folders_that_would_be_missing(tmp_path, reader):
    save(radiograph("outside"), tmp_path / "outside" / "1.dcm")
    save(radiograph("inside"), tmp_path / "in" / "folder" / "2.dcm")
    for name, target in {
        "circle": "circle",
        "dead": "nothing",
        "file": tmp_path / "outside" / "1.dcm",
        "linked": tmp_path / "outside",
        "twice": "folder",
        "up": "..",
    }.items():
        (tmp_path / "in" / name).symlink_to(target)
    problems = listed(tmp_path / "in")
    assert {name for name, problem in problems.items() if problem is None} == {"file", "folder/2.dcm"}
    assert {name: problem.split(",")[0] for name, problem in problems.items() if problem} == {
        "circle": "a symbolic link to nothing",
        "dead": "a symbolic link to nothing",
        "linked": "a symbolic link to a folder outside the input",
        "up": "a symbolic link to a folder outside the input",
    }
    failed = ("failed", "unreadable_file")
    assert outcomes(tmp_path / "in", reader) == dict.fromkeys(("circle", "dead", "linked", "up"), failed) | {
        "file": None,
        "folder/2.dcm": None,
    }


def test_what_is_neither_file_nor_folder_is_left_alone(tmp_path):
    save(radiograph("a"), tmp_path / "1.dcm")
    os.mkfifo(tmp_path / "pipe")
    assert listed(tmp_path) == {"1.dcm": None}


def test_one_file_is_an_input_too(tmp_path):
    path = save(radiograph(), tmp_path / "1.dcm")
    assert [file.name for file in list_files(path)] == ["1.dcm"]
    (tmp_path / "empty").mkdir()
    assert list(list_files(tmp_path / "empty")) == []


def test_a_study_that_names_different_patients_is_not_analysed(tmp_path, reader, caplog):
    for number, patient in enumerate(("ID-7", "ID-8"), start=1):
        save(radiograph(str(number), study="a", PatientID=patient), tmp_path / f"{number}.dcm")
    (study,) = studies_of(index_files(list_files(tmp_path), reader))
    assert [(image.state, image.reason) for image in study.images] == [("failed", "header_invalid")] * 2
    assert not any(isinstance(image.source, SourceImage) for image in study.images)  # nothing refers to them
    assert "different patients" in caplog.text
    assert "ID-7" not in caplog.text


def test_a_missing_patient_id_contradicts_none(tmp_path, reader):
    for number, patient in enumerate(("ID-7", "", None), start=1):
        save(radiograph(str(number), study="a", PatientID=patient), tmp_path / f"{number}.dcm")
    (study,) = studies_of(index_files(list_files(tmp_path), reader))
    assert len(study.included) == 3


def test_every_header_is_read_once(tmp_path, reader):
    for number in range(3):
        save(radiograph(str(number), study=str(number % 2)), tmp_path / f"{number}.dcm")
    asked = []

    def count(file):
        asked.append(file.name)
        return reader.header(file)

    studies = studies_of(index_files(list_files(tmp_path), SimpleNamespace(header=count)))
    assert sorted(asked) == ["0.dcm", "1.dcm", "2.dcm"]
    assert [len(study.included) for study in studies] == [2, 1]


def test_a_header_comes_back_as_it_was_read(tmp_path, reader):
    save(
        radiograph(PatientName="Müller^Änne", ImagerPixelSpacing=[0.1, 0.2], StudyDescription="a\\b"),
        tmp_path / "1.dcm",
    )
    (file,) = list_files(tmp_path)
    read = reader.header(file)
    (study,) = studies_of(index_files([file], SimpleNamespace(header=lambda _: read)))
    assert study.included[0].header == read.header
    assert study.included[0].has_pixel_data is read.has_pixel_data
    assert study.analysed_at == NOW


def test_a_study_that_meets_a_mistake_of_ours_costs_no_other_study(tmp_path, reader, monkeypatch, caplog):
    for name in ("a", "b", "c"):
        save(radiograph(name), tmp_path / f"{name}.dcm")
    real = study_index.source_image

    def broken(file, reply):
        if file.name == "b.dcm":
            raise AttributeError("SMITH^JOHN")
        return real(file, reply)

    monkeypatch.setattr(study_index, "source_image", broken)
    assert outcomes(tmp_path, reader) == {"a.dcm": None, "b.dcm": ("failed", "internal_error"), "c.dcm": None}
    assert "SMITH" not in caplog.text


def test_bytes_are_read_like_files(tmp_path, reader):
    path = save(radiograph(), tmp_path / "1.dcm")
    (of_file,) = studies_of(index_files(list_files(path), reader))
    (of_bytes,) = studies_of(index_files([SourceFile(Path("x"), "x", path.read_bytes())], reader))
    assert of_bytes.included[0].header == of_file.included[0].header
    assert of_bytes.included[0].file.data == path.read_bytes()


def test_a_file_name_that_is_no_unicode_is_accounted_for(tmp_path, reader):
    path = save(radiograph(), tmp_path / "1.dcm")
    name = os.fsdecode(b"\xff.dcm")
    path.rename(tmp_path / name)
    index = index_files(list_files(tmp_path), reader)
    assert index.file_names(index.study_uids[0]) == [name]
    assert [image.file.name for image in studies_of(index)[0].included] == [name]


@pytest.mark.slow
@pytest.mark.slow
def test_the_headers_of_a_large_folder_are_not_held_in_memory(reader, tmp_path):
    path = save(radiograph(), tmp_path / "1.dcm")
    reply = reader.header(SourceFile(path, "1.dcm"))
    small = len(reply.header.to_json())

    def invent(file):
        header = copy.deepcopy(reply.header)
        header.SOPInstanceUID, header.StudyInstanceUID = f"1.2.{file.name}", f"1.3.{file.name}"
        return dataclasses.replace(reply, header=header)

    count = 3000
    tracemalloc.start()
    index = index_files((SourceFile(path, str(number)) for number in range(count)), SimpleNamespace(header=invent))
    held = tracemalloc.get_traced_memory()[0]  # of Python's own; SQLite keeps a few MiB and puts the rest on disk
    tracemalloc.stop()
    assert index.files == count
    assert held < count * small / 10
    index.close()
