"""What identifies results: one name per finding; UIDs that change with all that they are made of, and with it only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from operators.pipeline import object_stages, run
from operators.reading.decoder import Decoder, FileReader
from operators.reading.radiographs import read_radiograph
from operators.reading.study_index import index_files
from operators.records.codes import BODY_PARTS
from operators.records.rules import Scope
from operators.records.sources import SourceFile
from operators.records.study import ReportedStudy
from tests.built_studies import DESCRIPTION, EVERY_OBJECT, PROVENANCE, STATES, Look, build_study, segment
from tests.phantoms import radiograph, stored_phantom

SCOPE = Scope(tuple(BODY_PARTS), False, 64, 10**8)


def findings(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the tracking identifier and UID of every finding that an object names."""
    for described in ds.get("SegmentSequence", ()):
        if "TrackingID" in described:
            yield described.TrackingID, described.TrackingUID
    for annotation in ds.get("GraphicAnnotationSequence", ()):
        for graphic in (*annotation.get("GraphicObjectSequence", ()), *annotation.get("TextObjectSequence", ())):
            if "TrackingID" in graphic:
                yield graphic.TrackingID, graphic.TrackingUID
    for item in ds.get("ContentSequence", ()):
        named = {
            part.ConceptNameCodeSequence[0].CodeMeaning: part.get("TextValue") or part.get("UID")
            for part in item.get("ContentSequence", ())
            if "ConceptNameCodeSequence" in part
        }
        if "Tracking Identifier" in named:
            yield named["Tracking Identifier"], named["Tracking Unique Identifier"]
        yield from findings(item)


@pytest.mark.parametrize("state", ["two_series", "two_views", "abnormal_3"])
def test_a_finding_has_one_name_in_all_objects_and_no_other_finding_of_the_study_has_it(state):
    reported = build_study("dx", state).reported
    of_object = [set(findings(ds)) for image in reported.study.included for ds in image.objects.values()]
    segments = set.union(*of_object)
    wanted = sum(look.findings for look in STATES[state])
    assert len({name for name, _ in segments}) == len({uid for _, uid in segments}) == len(segments) == wanted
    in_report = set(findings(reported.objects["sr"]))
    assert segments <= in_report
    uids = defaultdict(set)
    for name, uid in in_report:
        uids[name].add(uid)
    assert all(len(found) == 1 for found in uids.values())


@pytest.fixture(scope="module")
def decoder():
    with Decoder(20, 4096) as client:
        yield client


def file_of(ds: Dataset, **words) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True, **words)
    return buffer.getvalue()


def results(decoder: Decoder, ds: Dataset | bytes) -> ReportedStudy:
    """Take a file through reading and encoding; what the models would find is given."""
    file = SourceFile(Path("a"), "a", ds if isinstance(ds, bytes) else file_of(ds))
    with index_files([file], FileReader(decoder)) as index:
        (study,) = index.studies(lambda: PROVENANCE.now)
    read = study.map(lambda source: segment(read_radiograph(source, SCOPE, decoder), Look("abnormal", 2)))
    return run(read, object_stages(EVERY_OBJECT, DESCRIPTION))


def uids(reported: ReportedStudy) -> dict[str, set[str]]:
    """Return the UIDs that identify each object and what it names, by kind; series, which are of a study, aside."""
    objects = dict(reported.objects)
    for image in reported.study.included:
        objects |= image.objects
    return {kind: {ds.SOPInstanceUID} | {uid for _, uid in findings(ds)} for kind, ds in objects.items()}


def test_the_same_file_gives_the_same_uids(decoder):
    first, second = (uids(results(decoder, radiograph("a"))) for _ in range(2))
    assert first == second
    assert set(first) == {"seg", "heatmap", "sc", "gsps", "labelmap", "pdf", "sr"}


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_another_lossless_transfer_syntax_gives_the_same_uids(decoder, syntax):
    ds = dcmread(BytesIO(file_of(radiograph("a"))))
    if not syntax.is_encapsulated:
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        ds.compress(syntax, generate_instance_uid=False)
    assert uids(results(decoder, file_of(ds))) == uids(results(decoder, radiograph("a")))


def one_pixel(stored):
    changed = stored.copy()
    changed[100, 64] ^= 1
    return changed


PIXELS = stored_phantom()
OTHERS = {
    "patient": {"PatientID": "another"},
    "no_patient": {"PatientID": None},
    "issuer": {"IssuerOfPatientID": "another hospital"},
    "study": {"StudyInstanceUID": "1.2.3"},
    "series": {"SeriesInstanceUID": "1.2.3"},
    "instance": {"SOPInstanceUID": "1.2.3"},
    "mirrored": {"stored": np.ascontiguousarray(PIXELS[:, ::-1])},
    "one_pixel": {"stored": one_pixel(PIXELS)},
    "window": {"WindowWidth": 2000},
    "orientation": {"PatientOrientation": ["R", "F"]},
    "side": {"ImageLaterality": "R"},
    "spacing": {"ImagerPixelSpacing": [0.1, 0.1]},
    "padding": {"PixelPaddingValue": 7},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_no_uid_is_kept_when_patient_identity_or_picture_change(decoder, change):
    same = {
        "stored": PIXELS,
        "PatientID": "one",
        "BitsStored": 12,
        "HighBit": 11,
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    first, second = (uids(results(decoder, radiograph("a", **changed))) for changed in (same, same | change))
    assert set(first) == set(second)
    assert not [kind for kind in first if first[kind] & second[kind]]


def test_an_overlay_makes_another_picture(decoder):
    described = []
    for value in (0, 1):
        ds = radiograph("a")
        ds.add_new(0x60000010, "US", 160)
        ds.add_new(0x60000011, "US", 128)
        ds.add_new(0x60000040, "CS", "G")
        ds.add_new(0x60000050, "SS", [1, 1])
        ds.add_new(0x60000100, "US", 1)
        ds.add_new(0x60000102, "US", 0)
        ds.add_new(0x60003000, "OW", bytes([value]) + bytes(160 * 128 // 8 - 1))
        described.append(uids(results(decoder, ds)))
    assert not [kind for kind in described[0] if described[0][kind] & described[1][kind]]


@pytest.mark.parametrize("change", [{"PatientName": "Doe^Jane"}, {"AccessionNumber": "7"}, {"StudyDate": "20260101"}])
def test_what_is_only_copied_changes_no_uid(decoder, change):
    assert uids(results(decoder, radiograph("a", **change))) == uids(results(decoder, radiograph("a")))


def test_a_report_about_images_that_were_not_analysed_is_of_one_patient_too(decoder):
    of_two = [
        uids(results(decoder, radiograph("a", BodyPartExamined="CHEST", AnatomicRegionSequence=[], PatientID=patient)))
        for patient in ("one", "two")
    ]
    assert of_two[0]["sr"]
    assert not of_two[0]["sr"] & of_two[1]["sr"]


def test_a_series_is_of_one_patient_and_study(decoder):
    series = [
        {ds.SeriesInstanceUID for ds in results(decoder, radiograph("a", **change)).study.included[0].objects.values()}
        for change in ({}, {"PatientID": "another"}, {"IssuerOfPatientID": "another"}, {"StudyInstanceUID": "1.2.3"})
    ]
    assert len(set.union(*series)) == sum(len(of_one) for of_one in series)
