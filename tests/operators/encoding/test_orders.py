"""What the source says of procedure, request, trial, other identifiers and time zone comes back in the results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from operators.reading.normalised_header import normalise
from operators.records.codes import IMAGING_PROCEDURE
from operators.records.run_description import RunDescription
from operators.records.study import Study
from tests.phantoms import radiograph
from tests.segmentations import EVERY_OBJECT, POINTS, PROVENANCE, encode, report, reread, segmentation


def item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, scheme: str = "99HOSPITAL", meaning: str = "XR wrist, two views") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


TRIAL = {
    "ClinicalTrialSponsorName": "A sponsor",
    "ClinicalTrialProtocolID": "P-1",
    "ClinicalTrialSubjectID": "S-7",
}


def ordered() -> dict[str, Any]:
    return {
        "ProcedureCodeSequence": [code("XRW2")],
        "PerformedProtocolCodeSequence": [code("PROT")],
        "RequestAttributesSequence": [
            item(RequestedProcedureID="RP1", AccessionNumber="A7", RequestedProcedureDescription="text of a person")
        ],
        "OtherPatientIDsSequence": [item(PatientID="ALIAS", IssuerOfPatientID="ELSEWHERE")],
        "TimezoneOffsetFromUTC": "-0330",
        **TRIAL,
    }


def objects_of(**header: Any) -> dict[str, Dataset]:
    image = encode(segmentation(1, ds=radiograph(**header)), PROVENANCE, EVERY_OBJECT)
    study = Study(str(image.source.header.StudyInstanceUID), (image,))
    made = report(study, RunDescription(PROVENANCE, POINTS, POINTS, ()), EVERY_OBJECT).objects
    return {kind: reread(ds) for kind, ds in (*image.objects.items(), *made.items())}


def reported(ds: Dataset) -> list[Code]:
    named = [item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121058"]
    codes = [item.ConceptCodeSequence[0] for item in named]
    return [Code(each.CodeValue, each.CodingSchemeDesignator, each.CodeMeaning) for each in codes]


def test_every_object_keeps_what_files_it():
    objects = objects_of(**ordered())
    assert {"seg", "sc", "gsps", "sr", "pdf"} <= set(objects)
    for ds in objects.values():
        assert ds.ProcedureCodeSequence[0].CodeValue == "XRW2"
        assert ds.OtherPatientIDsSequence[0].PatientID == "ALIAS"
        assert ds.OtherPatientIDsSequence[0].TypeOfPatientID == "TEXT"
        assert {keyword: ds.get(keyword) for keyword in TRIAL} == TRIAL
        assert ds.ClinicalTrialSiteName == ""
        assert ds.TimezoneOffsetFromUTC == "-0330"


def test_times_are_in_the_zone_of_the_source():
    there = PROVENANCE.now.astimezone(timezone(-timedelta(hours=3, minutes=30)))
    for ds in objects_of(**ordered()).values():
        assert datetime.strptime(ds.SeriesDate + ds.SeriesTime, "%Y%m%d%H%M%S") == there.replace(tzinfo=None)
    for ds in objects_of().values():
        assert "TimezoneOffsetFromUTC" not in ds
        written = datetime.strptime(ds.SeriesDate + ds.SeriesTime, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert written == PROVENANCE.now


def test_the_report_names_the_procedure_and_the_request():
    ds = objects_of(**ordered())["sr"]
    assert reported(ds) == [IMAGING_PROCEDURE]  # CID 100 has no codes of hospitals
    assert [each.CodeValue for each in ds.PerformedProcedureCodeSequence] == ["XRW2"]
    (request,) = ds.ReferencedRequestSequence
    assert (request.RequestedProcedureID, request.AccessionNumber) == ("RP1", "A7")
    assert not request.RequestedProcedureDescription
    protocol = objects_of(PerformedProtocolCodeSequence=[code("PROT")])["sr"]
    assert [each.CodeValue for each in protocol.PerformedProcedureCodeSequence] == ["PROT"]
    known = Code("43468-8", "LN", "XR unspecified body region")
    assert reported(objects_of(ProcedureCodeSequence=[code("XRW2"), code(*known[:3])])["sr"]) == [known]
    plain = objects_of()["sr"]
    assert reported(plain) == [IMAGING_PROCEDURE]
    assert "ReferencedRequestSequence" not in plain


@pytest.mark.parametrize(
    ("header", "lost"),
    [
        ({"TimezoneOffsetFromUTC": "+25"}, "TimezoneOffsetFromUTC"),
        ({"TimezoneOffsetFromUTC": "Berlin"}, "TimezoneOffsetFromUTC"),
        ({"ClinicalTrialSponsorName": "A sponsor"}, "ClinicalTrialSponsorName"),
        ({"ProcedureCodeSequence": [code("X" * 17)]}, "ProcedureCodeSequence"),
        ({"OtherPatientIDsSequence": [item(PatientID="X" * 65)]}, "OtherPatientIDsSequence"),
    ],
)
def test_what_is_not_valid_or_complete_is_left_out_and_told(header, lost):
    copy, changes = normalise(radiograph(**header))
    assert lost not in copy
    assert any(f"{lost} emptied" in change for change in changes)


def test_codes_without_a_value_and_empty_items_are_passed_over():
    header = {"ProcedureCodeSequence": [Dataset(), item(CodeMeaning="x")], "OtherPatientIDsSequence": [Dataset()]}
    copy, _ = normalise(radiograph(**header, RequestAttributesSequence=[Dataset()]))
    assert not {"ProcedureCodeSequence", "OtherPatientIDsSequence", "RequestAttributesSequence"} & set(copy.dir())
