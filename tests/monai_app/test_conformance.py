"""The conformance statement says what the code does: it is generated from it, and holds for odd headers too."""

from __future__ import annotations

import io
import json
from pathlib import Path

import gdcm
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from monai_app.conformance.attribute_tables import attribute_rows, coded_values, walk
from monai_app.conformance.sample_objects import Sample, build_samples
from monai_app.conformance.statement import EXIT_CODES, classes_read, classes_written, statement, transfer_syntaxes
from operators.encoding.object_kinds import KIND_OF_NAME
from operators.reading.dicom_file import read_stored_values
from operators.records.reasons import REASONS, DeclinedReason, DoubtReason, FailedReason
from tests.built_studies import STATES, BuiltStudy, build_study
from tests.header_variants import OBJECTS, VARIANTS
from tests.integration.judges import MATRIX
from tests.integration.matrix import characteristics
from tests.phantoms import radiograph, save, stored_phantom

ROOT = Path(__file__).resolve().parent.parent.parent
NATIVE = {
    "1.2.840.10008.1.2": "ImplicitVRLittleEndian",
    "1.2.840.10008.1.2.1": "ExplicitVRLittleEndian",
    "1.2.840.10008.1.2.1.99": "DeflatedExplicitVRLittleEndian",
    "1.2.840.10008.1.2.2": "ExplicitVRBigEndian",
    "1.2.840.10008.1.2.4.57": "JPEGLosslessProcess14",
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
    "1.2.840.10008.1.2.4.80": "JPEGLSLossless",
    "1.2.840.10008.1.2.4.81": "JPEGLSNearLossless",
    "1.2.840.10008.1.2.4.90": "JPEG2000Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG2000",
    "1.2.840.10008.1.2.5": "RLELossless",
}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(build_samples())


def test_the_statement_in_docs_is_the_generated_one():
    """If it fails: ``python -m monai_app.conformance > docs/conformance.md``."""
    assert (ROOT / "docs" / "conformance.md").read_text("utf-8") == statement()


def test_every_kind_of_object_has_its_tables(samples):
    kinds = {written.kind for written in classes_written(samples)}
    assert {"sr", "seg"} <= kinds <= set(KIND_OF_NAME)


def objects(built: BuiltStudy):
    yield from built.reported.objects.items()
    for image in built.reported.study.included:
        yield from image.objects.items()


@pytest.fixture(scope="module")
def told(samples):
    kinds = {sample.kind for sample in samples}
    return {kind: {row.path: row for row in attribute_rows(s for s in samples if s.kind == kind)} for kind in kinds}


WITH_OBJECTS = [name for name, variant in VARIANTS.items() if variant.outcome == OBJECTS]
# Every header of the full matrix; else one of each combination of characteristics.
TRIED = WITH_OBJECTS if MATRIX == "full" else list({characteristics(name): name for name in WITH_OBJECTS}.values())


@pytest.mark.slow  # a study of every header: half a minute
@pytest.mark.parametrize(
    ("name", "state"), [(name, "two_series") for name in TRIED] + [("cr", state) for state in STATES]
)
def test_the_tables_hold_for_every_header(name, state, told):
    for kind, ds in objects(build_study(name, state)):
        rows, found = told[kind], list(walk(ds))
        assert {path for path, _ in found} <= rows.keys()
        assert {path for path, row in rows.items() if len(path) == 1 and row.presence != "ANAP"} <= dict(found).keys()
        for path, element in found:
            row = rows[path]
            assert row.vr == element.VR, path
            assert row.presence != "ALWAYS" or not element.is_empty, path
            assert not element.tag.is_private, path
            said = "\\".join(map(str, element.value if element.VM > 1 else [element.value]))
            assert not row.value or said in row.value.split(", ") or said == row.value, path


def test_copied_fixed_and_made_values_are_told_apart(told):
    seg = {"/".join(path): row for path, row in told["seg"].items()}
    assert {seg[keyword].source for keyword in ("PatientID", "StudyInstanceUID", "AccessionNumber")} == {"COPY"}
    assert (seg["Modality"].source, seg["Modality"].value) == ("FIXED", "SEG")
    assert seg["SOPInstanceUID"].source == seg["SoftwareVersions"].source == "AUTO"
    assert (seg["PatientID"].presence, seg["PatientAge"].presence) == ("VNAP", "ANAP")
    assert seg["SegmentSequence"].presence == "ALWAYS"


def test_codes_are_in_the_context_groups_that_are_told(samples):
    """By pydicom's copy of PS3.16; a background is a code that highdicom needs in a label map."""
    for code in coded_values(samples):
        if code.context_group and code.meaning != "Background":
            found = set()
            for group in code.context_group.removeprefix("CID ").split(", "):
                for scheme, names in cid_concepts[int(group)].items():
                    found |= {(scheme, value) for name in names for value in concepts[scheme][name]}
            assert (code.scheme, code.value) in found, code


def test_reasons_and_exit_codes_are_all_told():
    assert set(REASONS) == {*DeclinedReason, *FailedReason, *DoubtReason}
    schema = json.loads((ROOT / "monai_app" / "result.schema.json").read_text("utf-8"))
    assert schema["$defs"]["image"]["properties"]["doubts"]["items"]["enum"] == list(DoubtReason)
    assert set(EXIT_CODES) == {*schema["properties"]["exit_code"]["enum"], 2}


def test_what_is_read_and_what_is_not():
    read = {uid.name: when for uid, when in classes_read()}
    assert read["Computed Radiography Image Storage"] == "yes"
    assert read["Digital X-Ray Image Storage - For Presentation"] == "yes"
    assert "for_processing" in read["Digital X-Ray Image Storage - For Processing"]
    assert "secondary_capture" in read["Secondary Capture Image Storage"]
    assert "CT Image Storage" not in read


@pytest.mark.parametrize("uid", transfer_syntaxes())
def test_every_transfer_syntax_that_is_told_is_decoded(uid, tmp_path):
    path = tmp_path / "a.dcm"
    if uid in (JPEGBaseline8Bit, JPEGExtended12Bit):
        expected = stored_phantom(bits=8).astype(np.uint8)
        save(jpeg(expected, uid), path)
    else:
        save(radiograph(), path)
        expected = dcmread(path).pixel_array
        transcode(path, NATIVE[uid])
    read = read_stored_values(path)
    header, stored = read.header, read.values
    assert header.file_meta.TransferSyntaxUID == uid
    assert np.abs(stored.astype(int) - expected).max() <= (12 if expected.dtype == np.uint8 else 0)


def jpeg(stored, uid):
    """A sequential JPEG of 8 bits, as baseline or, by its marker, as extended."""
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG", quality=95)
    stream = buffer.getvalue()
    if uid == JPEGExtended12Bit:
        stream = stream.replace(b"\xff\xc0", b"\xff\xc1", 1)
    ds = radiograph(stored=stored)
    ds.file_meta.TransferSyntaxUID = uid
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    return ds


def transcode(path, syntax):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
