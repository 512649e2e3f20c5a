"""What a source's header says in words goes nowhere but into the attributes that identify patient and study.

Every text of a header is a canary, a word of its own. It is looked for in every file and line that a run leaves.
"""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, dictionary_VM
from pydicom.dataset import Dataset

from operators.reading.normalised_header import IDENTITY_TEXTS
from tests.monai_app.application import ROOT, Run, run
from tests.phantoms import radiograph, save, stored_phantom

CANARY = re.compile(rb"Q[XZ][0-9A-F]{8}", re.IGNORECASE)  # Q, a letter per study, the tag
TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
# What an image must say so that it is read at all.
READ = {
    *("SpecificCharacterSet", "Modality", "PresentationIntentType", "PhotometricInterpretation", "BurnedInAnnotation"),
    *("BodyPartExamined", "PresentationLUTShape", "LossyImageCompression", "PatientIdentityRemoved", "VOILUTFunction"),
}
PLACED = {"VOILUTSequence", "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}
# Who and which study it is (PS3.3 C.7.1.1, C.7.2.1): copied, so that the results are filed with the images.
IDENTITY = set(IDENTITY_TEXTS)
# What made the image (Contributing Equipment Sequence, PS3.3 C.12.1): no one types it at an examination.
EQUIPMENT = {"Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"}
# Codes and identifiers that a department's systems give, not a person at an examination.
ORDERS = {
    *("ProcedureCodeSequence", "PerformedProcedureCodeSequence", "ReferencedRequestSequence"),
    "OtherPatientIDsSequence",
}
IN_ORDERS = {
    *("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "RequestedProcedureID", "AccessionNumber"),
    *("PatientID", "IssuerOfPatientID"),
}


def canary(letter: str, tag: int) -> str:
    return f"Q{letter}{tag:08X}"


def fill(ds: Dataset, letter: str) -> Dataset:
    """Put a canary into every text attribute of PS3.6, also into an item of every sequence."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if not keyword or keyword in READ | PLACED or tag < 0x00080000:
            continue
        if vr in TEXTS:
            setattr(ds, keyword, values(keyword, canary(letter, tag)))
        elif vr == "SQ" and keyword not in ds:
            setattr(ds, keyword, [item(letter, tag)])
    ds.add_new(0x00090010, "LO", canary(letter, 0x00090010))
    ds.add_new(0x00091001, "LO", canary(letter, 0x00091001))
    for sequence in (ds.AnatomicRegionSequence, ds.get("ViewCodeSequence", [])):
        for code in sequence:
            code.CodeMeaning = canary(letter, 0x00080104)
    return ds


def values(keyword: str, text: str) -> Any:
    least = dictionary_VM(keyword).split("-")[0]
    return [text] * int(least) if least.isdigit() and int(least) > 1 else text


def item(letter: str, tag: int) -> Dataset:
    """An item of a sequence: a code, and what items of requests, people and devices say."""
    found = Dataset()
    for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "RequestedProcedureDescription"):
        setattr(found, keyword, canary(letter, tag))
    for keyword in ("ScheduledProcedureStepDescription", "PersonName", "InstitutionName", "Manufacturer"):
        setattr(found, keyword, canary(letter, tag))
    for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID", "PatientID", "LocalNamespaceEntityID"):
        setattr(found, keyword, canary(letter, tag))
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """A run over two studies of the same pixels, of which every text is another."""
    folder = tmp_path_factory.mktemp("text")
    for letter, study in (("X", "one"), ("Z", "two")):
        for number, kind in enumerate(("DX", "CR"), start=1):
            pixels = stored_phantom(seed=3, finding="gap", rows=320, columns=256)
            ds = radiograph(f"{study} {kind}", kind, pixels, study=study, InstanceNumber=number)
            save(fill(ds, letter), folder / "in" / f"{study}_{number}.dcm")
        declined = radiograph(f"{study} none", study=study, InstanceNumber=3)
        declined = fill(declined, letter)
        declined.BodyPartExamined, declined.AnatomicRegionSequence = canary(letter, 0x00180015), []
        save(declined, folder / "in" / f"{study}_3.dcm")
    content = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
    content["classification"]["bundle"] = "msk_cnn"
    content["outputs"].update(heatmap=True, sc=True, gsps=True, labelmap=True, pdf=True)
    (folder / "app.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return run(folder / "in", folder / "out", "-l", "DEBUG", HOLOSCAN_CONFIG_PATH=str(folder / "app.yaml"))


def carriers(ds: Dataset) -> Iterator[str]:
    """Yield the keyword of every attribute, at any depth, that holds a canary; of orders, what may not hold one."""
    plain_parts, orders = Dataset(), Dataset()
    for element in ds:
        (orders if element.keyword in ORDERS else plain_parts).add(element)
    yield from set(_carriers(plain_parts)) | set(_carriers(orders)) - IN_ORDERS


def _carriers(ds: Dataset) -> Iterator[str]:
    for element in ds.iterall():
        if element.VR != "SQ" and CANARY.search(str(element.value).encode() + _bytes(element.value)):
            yield element.keyword or str(element.tag)


def _bytes(value: object) -> bytes:
    return plain(value) if isinstance(value, bytes) else b""


def plain(document: bytes) -> bytes:
    """Return a PDF with the texts of its pages beside it; anything else as it is."""
    found = [document]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", document, re.DOTALL):
        with contextlib.suppress(ValueError, zlib.error):
            found.append(zlib.decompress(base64.a85decode(stream.strip().removesuffix(b"~>"))))
    return b"\n".join(found)


def shown(ds: Dataset) -> bytes:
    """Return what an object shows: pixels, and the graphics and words of a presentation state."""
    words = [
        str(element.value) for element in ds.iterall() if element.keyword in ("UnformattedTextValue", "GraphicData")
    ]
    return bytes(ds.get("PixelData", b"")) + "\n".join(words).encode()


@pytest.mark.slow
def test_text_of_a_header_stays_in_the_modules_of_patient_and_study(finished):
    found: dict[str, set[str]] = {}
    for path in finished.objects:
        for keyword in carriers(dcmread(path)):
            found.setdefault(keyword, set()).add(path.name)
    assert len(finished.objects) >= 20
    allowed = IDENTITY | EQUIPMENT
    assert set(found) <= allowed, {keyword: found[keyword] for keyword in set(found) - allowed}
    assert found["PatientName"] == {path.name for path in finished.objects}  # canaries are found where they are


@pytest.mark.slow
def test_no_picture_depends_on_the_text_of_a_header(finished):
    """The two studies differ in nothing but their texts and UIDs: what is burned into pixels is none of these."""
    one, two = sorted({path.parent for path in finished.objects})
    names = sorted(path.name for path in finished.objects if path.parent == one)
    assert names == sorted(path.name for path in finished.objects if path.parent == two)
    for name in names:
        if not name.startswith(("sr", "pdf")):
            assert shown(dcmread(one / name)) == shown(dcmread(two / name)), name


@pytest.mark.slow
def test_what_is_no_defined_term_is_null_and_told(finished):
    images = finished.images
    for study in ("one", "two"):
        analysed, declined = images[f"{study}_1.dcm"], images[f"{study}_3.dcm"]
        assert (analysed["body_part"], analysed["view_position"]) == ("WRIST", None)
        assert (declined["body_part"], declined["reason"]) == (None, "body_part_out_of_scope")
        assert "no defined term" in declined["detail"]
    assert "View Position in the header is no defined term" in (finished.output / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_no_text_of_a_header_is_in_a_page_a_list_or_the_log(finished):
    for path in sorted(finished.output.rglob("*")):
        if path.is_file() and path.suffix != ".dcm":
            assert not CANARY.findall(path.read_bytes()), path.name
    assert not CANARY.findall(finished.log.encode())


@pytest.mark.slow
def test_names_of_input_files_are_in_lists_and_log_and_in_no_object(finished):
    """Exports often name files after patients; the lists of results and the log are documented to name files."""
    names = [name.encode() for name in finished.images]
    files = {path.name: path.read_bytes() for path in finished.output.rglob("*") if path.is_file()}
    holders = {file for file, content in files.items() if any(name in content for name in names)}
    assert {"result.json", "result.csv"} <= holders
    assert not [name for name in holders if name.endswith(".dcm")]
    assert "one_3.dcm: declined, body_part_out_of_scope" in finished.log  # under the name that the user knows
    assert re.search(r"one_1\.dcm: classification took \d", finished.log)
