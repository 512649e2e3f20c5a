"""The structured report: what the images came to, what was not looked at, and every object that belongs to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import highdicom as hd
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from operators.encoding.sr.references import IMAGE_CLASSES
from operators.records.codes import (
    ABNORMALITY,
    DOUBT_NAME,
    NORMALITY,
    PEAK_NAME,
    RADIOLOGIC_FINDING,
    REASON_CODES,
    RELAXED_NAME,
)
from operators.records.images import EncodedImage, Opinion, Segmentation
from operators.records.provenance import RESEARCH_USE_ONLY, Provenance
from operators.records.reasons import DeclinedReason, DoubtReason, FailedReason
from operators.records.run_description import RunDescription
from operators.records.sources import ExcludedImage, SourceFile
from operators.records.study import Study, StudyOutcome
from tests.phantoms import radiograph, source_image
from tests.segmentations import EVERY_OBJECT, POINTS, PROVENANCE, SEVERAL, build_report, encode, reread, segmentation
from tests.segmentations import report as built

BARE = {
    "BodyPartExamined": None,
    "AnatomicRegionSequence": None,
    "ImageLaterality": None,
    "Laterality": None,
    "ImagerPixelSpacing": None,
    "PatientOrientation": None,
}
LOST = ExcludedImage(SourceFile(None, "x"), "failed", "unreadable_file", "")


def study_of(*images: EncodedImage | ExcludedImage) -> Study:
    return Study("1.2.3", images)


def report_of(study: Study, provenance: Provenance = PROVENANCE) -> Dataset | None:
    return built(study, RunDescription(provenance, POINTS, POINTS, ())).objects.get("sr")


def excluded(reason: str = "too_small", state: str = "declined", **header: object) -> ExcludedImage:
    return ExcludedImage(source_image(radiograph("b", study="a", **header)), state, reason, "")


def name(item: Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def items(parent: Dataset, *path: str) -> list[Dataset]:
    """The content items at a path of names, all that fit."""
    for step in path[:-1]:
        (parent,) = values(parent, step)
    return values(parent, path[-1])


def values(group: Dataset, wanted: str) -> list[Dataset]:
    return [item for item in group.ContentSequence if name(item) == wanted]


def groups(report: Dataset) -> list[Dataset]:
    return items(report, "Imaging Measurements", "Measurement Group")


def library(report: Dataset, group: int = 0) -> list[Dataset]:
    return list(items(report, "Image Library", "Image Library Group")[group].ContentSequence)


def summary(report: Dataset) -> list[str]:
    """The lines of the summary but those of the models, which come last."""
    (item,) = values(report, "Summary")
    return item.TextValue.partition("\r\nModel ")[0].split("\r\n")


def evaluations(report: Dataset) -> list[tuple[str, Code]]:
    (container,) = values(report, "Qualitative Evaluations")
    return [(name(item), code_of(item)) for item in container.ContentSequence]


def code_of(item: Dataset) -> Code:
    (code,) = item.ConceptCodeSequence
    return Code(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)


def evidence(report: Dataset) -> set[str]:
    return {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def referred(items: list[Dataset]) -> list[str]:
    return [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items]


def instance(image: EncodedImage, number: int) -> Dataset:
    """An object of which only the UIDs, and what it is about, matter."""
    ds = Dataset()
    ds.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{number}"
    ds.SOPInstanceUID, ds.SeriesInstanceUID = f"1.2.{number}.1", f"1.2.{number}.2"
    ds.StudyInstanceUID = image.source.header.StudyInstanceUID
    segment = Dataset()
    segment.SegmentedPropertyTypeCodeSequence = [hd.sr.CodedConcept("130402", "DCM", "Class activation")]
    ds.SegmentSequence = [segment]
    return ds


def with_objects(image: EncodedImage, *kinds: str) -> EncodedImage:
    made = {kind: instance(image, number) for number, kind in enumerate(kinds, start=1)}
    return dataclasses.replace(image, objects={**image.objects, **made})


def test_the_report_has_the_image_the_boxes_and_the_segments():
    encoded = encode(segmentation(2))
    report = reread(report_of(study_of(encoded)))
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    found = groups(report)
    assert len(found) == 1 + 2 * 2
    assert values(found[0], "Probability")[0].MeasuredValueSequence[0].NumericValue == pytest.approx(0.9)
    assert code_of(values(found[0], "Normality")[0]) == NORMALITY["abnormal"]
    tracked = [values(group, "Tracking Unique Identifier")[0].UID for group in found[1:]]
    segments = [segment.TrackingUID for segment in encoded.seg.SegmentSequence]
    assert tracked == [segments[0], segments[0], segments[1], segments[1]]
    box = values(found[1], "Image Region")[0].GraphicData
    assert list(box) == [10, 20, 30, 20, 30, 50, 10, 50, 10, 20]


def test_highdicom_reads_the_report_back(tmp_path):
    encoded = with_objects(encode(segmentation(2)), "sc", "gsps", "heatmap", "labelmap")
    report_of(study_of(encoded, excluded(), LOST)).save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    assert len(content.get_planar_roi_measurement_groups()) == 1 + 2 * 2 + 1
    assert len(content.get_planar_roi_measurement_groups(tracking_uid=encoded.tracking_uids[1])) == 2


def algorithm(group: Dataset, measurement: str = "Probability") -> dict[str, list[str]]:
    (measured,) = values(group, measurement)
    found: dict[str, list[str]] = {}
    for item in measured.ContentSequence:
        if item.ValueType == "TEXT":
            found.setdefault(name(item), []).append(str(item.TextValue))
    return found


def test_the_image_s_probability_names_all_classifiers_and_a_box_s_the_first():
    encoded = encode(segmentation(1), SEVERAL)
    whole, *boxes = groups(reread(report_of(study_of(encoded), SEVERAL)))
    named = algorithm(whole)
    assert named["Algorithm Name"] == ["mean of msk_a, msk_c"]
    assert named["Algorithm Version"] == ["1, 3"]
    box, outline = boxes
    assert algorithm(box, PEAK_NAME.meaning)["Algorithm Name"] == ["msk_a"]
    assert algorithm(outline, "Area")["Algorithm Name"] == ["msk_b"]
    (single, *_) = groups(report_of(study_of(encoded)))
    assert algorithm(single)["Algorithm Name"] == ["msk_a"]


def test_weights_and_parameters_of_the_models_are_told_once():
    report = report_of(study_of(encode(segmentation(3), SEVERAL), encode(segmentation(1))), SEVERAL)
    assert values(report, "Summary")[0].TextValue.split("\r\n")[-3:] == [
        f"Model msk_a 1: sha256 {'a' * 64}, rule_in 0.8.",
        f"Model msk_c 3: sha256 {'c' * 64}.",
        f"Model msk_b 2: sha256 {'b' * 64}.",
    ]
    assert "Algorithm Parameters" not in str(report)


def walk(items: Iterable[Dataset]) -> Iterator[Dataset]:
    for item in items:
        yield item
        yield from walk(item.get("ContentSequence", ()))


def test_every_container_s_items_are_separate_statements():
    """A viewer of continuous containers prints values without their names."""
    report = reread(report_of(study_of(with_objects(encode(segmentation(2)), "sc", "gsps"), excluded(), LOST)))
    containers = [item for item in walk([report]) if item.get("ValueType") == "CONTAINER"]
    assert len(containers) > 8
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_the_box_stands_under_what_is_measured_in_it():
    """The adapters of Cornerstone3D look for it there, other viewers in the group."""
    encoded = encode(segmentation(2))
    report = reread(report_of(study_of(encoded)))
    whole, *findings = groups(report)
    for group, box in zip(findings[::2], encoded.segmentation.localization.boxes, strict=True):
        (region,) = values(group, "Image Region")
        (peak,) = values(group, PEAK_NAME.meaning)
        (under,) = [item for item in peak.ContentSequence if item.ValueType == "SCOORD"]
        assert under.RelationshipType == "INFERRED FROM"
        assert list(under.GraphicData) == list(region.GraphicData)
        assert set(under.GraphicData) == {box.left, box.right, box.top, box.bottom}
        assert referred(under.ContentSequence) == [encoded.source.sop_instance_uid]
    for group in (whole, *findings[1::2]):
        for item in group.ContentSequence:
            assert item.ValueType != "NUM" or not [part for part in item.ContentSequence if part.ValueType == "SCOORD"]


@pytest.mark.parametrize("value", [0.98688212345, 0.012345678, 1.0, 0.0, 1e-7 / 3])
def test_numbers_have_no_more_digits_than_are_read(value):
    whole = segmentation(1)
    classified = dataclasses.replace(whole.localization.classification, probability=value)
    located = dataclasses.replace(whole.localization, classification=classified, scores=(value,))
    report = report_of(study_of(encode(dataclasses.replace(whole, localization=located))))
    image, box, outline = groups(report)
    for group, named in ((image, "Probability"), (box, PEAK_NAME.meaning), (outline, "Area")):
        (measured,) = values(group, named)[0].MeasuredValueSequence
        assert len(str(measured.NumericValue).partition("e")[0].replace(".", "").strip("0")) <= 4
        if group is not outline:
            assert float(measured.NumericValue) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(("header", "unit", "pixel"), [({}, "mm2", 0.04), (BARE, "{pixels}", 1)])
def test_the_outline_s_area_names_the_segmenter_and_its_plane(header, unit, pixel):
    encoded = encode(segmentation(1, ds=radiograph(kind="CR", **header)))
    *_, outlined = groups(reread(report_of(study_of(encoded))))
    measured = values(outlined, "Area")[0].MeasuredValueSequence[0]
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == unit
    assert measured.NumericValue == pytest.approx(int(encoded.segmentation.masks[0].sum()) * pixel, rel=1e-3)
    said = algorithm(outlined, "Area")
    assert said["Algorithm Name"] == ["msk_b"]
    assert any("detector" in text for text in said.get("Equivalent Meaning of Concept Name", [])) == (unit == "mm2")


def test_the_summary_comes_first_and_tells_every_image():
    images = (encode(segmentation(2)), excluded(), LOST)
    report = report_of(study_of(*images))
    names = [name(item) for item in report.ContentSequence]
    assert names.index("Summary") < names.index("Image Library") < names.index("Imaging Measurements")
    first, study, counts, *lines = summary(report)
    assert first.startswith(RESEARCH_USE_ONLY)
    assert study == "Study: abnormal; mean probability of abnormality over the analysed images 0.900."
    assert counts == "Images: 1 analysed (1 abnormal, 0 in doubt, 0 normal), 1 declined, 1 failed."
    assert lines == [
        "Image 1 (wrist joint, left, AP): abnormal, probability 0.900, 2 findings marked.",
        f"Image 2 ({images[1].source.sop_instance_uid}) was not analysed: declined, image too small.",
        "File 3 was not analysed: failed, file not readable.",
    ]


def test_a_disagreement_is_told_in_the_report():
    opinions = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_c", -3.0, 0.05, "normal"))
    encoded = encode(segmentation(1, "doubt", opinions=opinions), SEVERAL)
    told = summary(report_of(study_of(encoded), SEVERAL))[-1]
    assert told.endswith(
        "in doubt, probability 0.900, 1 finding marked. The classifiers disagree (msk_a abnormal, msk_c normal)."
    )
    agreed = encode(segmentation(1, "doubt", opinions=opinions[:1] * 2), SEVERAL)
    assert "disagree" not in str(report_of(study_of(agreed), SEVERAL))


def test_the_library_describes_what_the_header_says_of_every_image():
    original, declined = encode(segmentation()), excluded(Modality="CT")
    report = reread(report_of(study_of(original, declined, LOST)))
    entries = library(report)
    assert referred(entries) == [original.source.sop_instance_uid, declined.source.sop_instance_uid]
    said = {name(item): item for item in entries[0].ContentSequence}
    assert code_of(said["Modality"]).value == "DX"
    assert code_of(said["Target Region"]).meaning == "Wrist joint"
    assert code_of(said["Image Laterality"]).meaning == "Left"
    assert [said[f"Patient Orientation {axis}"].TextValue for axis in ("Row", "Column")] == ["L", "F"]
    numbers = ("Pixel Data Rows", "Pixel Data Columns", "Vertical Pixel Spacing", "Horizontal Pixel Spacing")
    assert [said[number].MeasuredValueSequence[0].NumericValue for number in numbers] == [160, 128, 0.2, 0.2]
    assert "Vertical Pixel Spacing" not in [name(item) for item in entries[1].ContentSequence]  # not a projection


def test_the_library_invents_nothing():
    encoded = encode(segmentation(ds=radiograph(kind="CR", **BARE)))
    (entry,) = library(report_of(study_of(encoded)))
    assert [name(item) for item in entry.ContentSequence] == ["Modality", "Pixel Data Rows", "Pixel Data Columns"]
    for modality in (None, "XX"):
        encoded = encode(segmentation(ds=radiograph(Modality=modality)))
        (entry,) = library(report_of(study_of(encoded)))
        assert "ContentSequence" not in entry


def test_evidence_is_complete():
    encoded = encode(segmentation(2))
    assert evidence(report_of(study_of(encoded))) == {encoded.source.sop_instance_uid, encoded.seg.SOPInstanceUID}
    every = with_objects(encoded, "heatmap", "labelmap", "sc", "gsps")
    declined = excluded()
    report = report_of(study_of(every, declined))
    made = {ds.SOPInstanceUID for ds in every.objects.values()}
    assert evidence(report) == {encoded.source.sop_instance_uid, declined.source.sop_instance_uid} | made


def test_each_object_has_its_place():
    encoded = with_objects(encode(segmentation()), "heatmap", "labelmap", "sc", "gsps")
    uids = {kind: ds.SOPInstanceUID for kind, ds in encoded.objects.items()}
    report = reread(report_of(study_of(encoded)))
    (entry,) = library(report)
    assert referred(entry.ReferencedSOPSequence) == [uids["gsps"]]
    (heatmap,) = library(report, 1)
    assert name(heatmap) == "Class activation"
    assert referred([heatmap]) == [uids["heatmap"]]
    whole, box, outlined = groups(report)
    assert referred(values(whole, "Illustration of ROI")) == [uids["sc"]]
    assert not values(box, "Illustration of ROI")
    assert referred(values(outlined, "Referenced Segmentation Frame")) == [uids["seg"]]
    # Readers that do not know this class as an image's would refuse the whole report.
    assert str(report).count(uids["labelmap"]) == 1


def test_the_other_objects_of_the_study_are_referred_to():
    encoded = encode(segmentation())
    pdf = instance(encoded, 7)
    report = build_report(study_of(encoded), StudyOutcome("abnormal", 0.9), {"pdf": pdf})
    (item,) = [item for item in report.ContentSequence if item.ValueType == "COMPOSITE"]
    assert referred([item]) == [pdf.SOPInstanceUID]
    assert pdf.SOPInstanceUID in evidence(report)
    assert report.SOPInstanceUID != report_of(study_of(encoded)).SOPInstanceUID


def test_another_object_makes_another_report_of_the_same_series():
    encoded = encode(segmentation())
    plain, more = (report_of(study_of(image)) for image in (encoded, with_objects(encoded, "sc")))
    assert plain.SOPInstanceUID != more.SOPInstanceUID
    assert plain.SeriesInstanceUID == more.SeriesInstanceUID


def test_a_normal_study_gets_its_report():
    (group,) = groups(report_of(study_of(encode(segmentation(0, "normal")))))
    assert code_of(values(group, "Normality")[0]).meaning == "Normal"


NORMAL, DOUBT, ABNORMAL = (segmentation(0, state) for state in ("normal", "doubt", "abnormal"))
TWIN = excluded("duplicate_instance")


@pytest.mark.parametrize(
    ("images", "state", "status"),
    [
        ((NORMAL,), "normal", "111241"),
        ((NORMAL, TWIN), "normal", "111241"),
        ((NORMAL,), "doubt", "111242"),
        ((NORMAL, ABNORMAL), "abnormal", "111242"),
        ((DOUBT,), "doubt", "111242"),
        ((NORMAL, LOST), "normal", "111243"),
        ((NORMAL, excluded()), "normal", "111243"),
        ((ABNORMAL, LOST), "abnormal", "111244"),
        ((excluded(),), "declined", "111245"),
        ((TWIN, LOST), "failed", "111245"),
    ],
)
def test_the_status_of_the_analysis_never_reassures(images, state, status):
    encoded = [image if isinstance(image, ExcludedImage) else encode(image) for image in images]
    report = build_report(study_of(*encoded), StudyOutcome(state, 0.5), {})
    (normality, _), (named, code), *_ = evaluations(report)
    assert (normality, named, code.value) == ("Normality", "Summary of Detections", status)


@pytest.mark.parametrize("reason", [*DeclinedReason, *FailedReason, *DoubtReason])
def test_every_reason_has_a_code_that_can_be_written(reason):
    code = REASON_CODES[reason]
    assert len(code.value) <= 16
    assert len(code.meaning) <= 64
    assert list(REASON_CODES.values()).count(code) == 1


def test_the_reason_of_an_image_that_was_not_analysed_is_coded():
    report = reread(report_of(study_of(excluded("multi_frame"), LOST)))
    (group,) = groups(report)
    assert group.ContentSequence[0].TextValue == "image-1-not-analysed"
    assert code_of(values(group, "Normality")[0]) == NORMALITY["doubt"]
    assert code_of(values(group, "Not Attempted")[0]) == REASON_CODES["multi_frame"]
    assert evaluations(report)[2:] == [("Failed", REASON_CODES["unreadable_file"])]
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == REASON_CODES["multi_frame"].scheme_designator


@pytest.mark.parametrize("state", ["declined", "failed"])
def test_a_study_without_an_analysed_image_has_a_report(state):
    report = reread(report_of(study_of(excluded("image_quality", state))))
    assert summary(report)[1] == f"Study: not analysed ({state})."
    assert evaluations(report) == [
        ("Normality", NORMALITY["doubt"]),
        ("Summary of Detections", codes.DCM.NoAlgorithmsSucceededWithoutFindings),
    ]


@pytest.mark.parametrize("duplicate_first", [True, False])
def test_a_duplicate_does_not_contradict_its_original(duplicate_first):
    original = encode(segmentation())
    duplicate = ExcludedImage(source_image(), "declined", "duplicate_instance", "")
    pair = (duplicate, original) if duplicate_first else (original, duplicate)
    report = report_of(study_of(*pair))
    alone = report_of(study_of(original))
    assert len(groups(report)) == len(groups(alone))
    assert len(library(report)) == 1
    assert report.SOPInstanceUID != alone.SOPInstanceUID  # it tells of one file more
    assert any("declined, duplicate of another file" in line for line in summary(report))


def test_one_image_in_two_studies_gives_two_reports():
    duplicate = ExcludedImage(source_image(), "declined", "duplicate_instance", "")
    first, second = (report_of(Study(uid, (duplicate,))) for uid in ("1.2", "1.3"))
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_seg_and_sr_give_a_finding_one_name():
    image = encode(segmentation(2))
    report = report_of(study_of(image)).to_json()
    for segment in image.seg.SegmentSequence:
        assert report.count(f'"{segment.TrackingID}"') == 2
        assert report.count(segment.TrackingUID) == 2


def test_an_unknown_body_part_is_flagged_and_nothing_is_claimed():
    report = report_of(study_of(encode(doubted("doubt", segmentation(0, "doubt", radiograph(**BARE))))))
    assert any("Body part not named (so never called normal)." in line for line in summary(report))
    assert not values(groups(report)[0], "Finding Site")


def doubted(field: str, image: Segmentation, reason: DoubtReason = DoubtReason.BODY_PART_ABSENT) -> Segmentation:
    """The image with a reason for doubt, or with one that is accepted."""
    localization = image.localization
    classification = localization.classification
    radiograph = dataclasses.replace(classification.radiograph, **{{"doubt": "doubts"}.get(field, field): (reason,)})
    classified = dataclasses.replace(classification, radiograph=radiograph, withheld=field == "doubt")
    return dataclasses.replace(image, localization=dataclasses.replace(localization, classification=classified))


@pytest.mark.parametrize("reason", DoubtReason)
@pytest.mark.parametrize(
    ("field", "state", "named"), [("doubt", "doubt", DOUBT_NAME), ("relaxed", "normal", RELAXED_NAME)]
)
def test_a_reason_for_doubt_is_coded_also_where_it_is_accepted(field, state, named, reason):
    plain = encode(segmentation(0, state))
    report = reread(report_of(study_of(encode(doubted(field, segmentation(0, state), reason)))))
    (group,) = groups(report)
    assert code_of(values(group, named.meaning)[0]) == REASON_CODES[reason]
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == named.scheme_designator
    assert report.SOPInstanceUID != report_of(study_of(plain)).SOPInstanceUID


def test_a_study_with_an_image_in_doubt_is_never_without_findings():
    report = report_of(study_of(encode(NORMAL), encode(doubted("doubt", segmentation(0, "doubt")))))
    assert evaluations(report)[1][1] == codes.DCM.AllAlgorithmsSucceededWithFindings


@pytest.mark.parametrize(
    ("state", "said"), [("doubt", "doubt: body part not named"), ("abnormal", "abnormal; body part not named")]
)
def test_pictures_tell_the_reason_for_doubt(state, said):
    image = segmentation(0, state)
    image = doubted("doubt" if state == "doubt" else "doubts", image)
    assert said in str(encode(image, rule=EVERY_OBJECT).objects["gsps"])


def test_an_analysed_image_that_cannot_be_referred_to_is_told():
    stray = encode(segmentation(ds=radiograph("b", study="a", SOPInstanceUID="999.1.02")))
    report = report_of(study_of(encode(segmentation()), stray))
    assert "no object refers to it" in summary(report)[-1]
    assert len(library(report)) == 1


@pytest.mark.parametrize("sop_class", sorted(IMAGE_CLASSES))
def test_an_image_of_another_modality_is_referred_to(sop_class):
    other = excluded("not_a_radiograph", SOPClassUID=sop_class)
    report = reread(report_of(study_of(encode(segmentation()), other)))
    assert referred(library(report))[1] == other.source.sop_instance_uid
    assert len(groups(report)) == 3 + 1


LABEL_MAP, RT_DOSE, RETIRED_ULTRASOUND = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("66.7", "481.2", "6"))


@pytest.mark.parametrize("sop_class", [LABEL_MAP, RT_DOSE, RETIRED_ULTRASOUND, "1.2.3.4"])
def test_only_images_are_referred_to_as_images(sop_class):
    other = excluded("not_a_radiograph", SOPClassUID=sop_class)
    report = report_of(study_of(encode(segmentation()), other))
    assert other.source.sop_instance_uid not in evidence(report)
    assert summary(report)[-1].endswith("was not analysed: declined, not a radiograph.")
    assert evaluations(report)[2:] == [("Not Attempted", REASON_CODES["not_a_radiograph"])]
    assert report_of(study_of(other)) is None


def test_the_report_is_preliminary_and_unverified():
    report = report_of(study_of(encode(segmentation())))
    assert (report.PreliminaryFlag, report.VerificationFlag, report.CompletionFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
        "COMPLETE",
    )
    assert "research use only" in report.SeriesDescription


def test_a_report_that_cannot_be_built_fails_its_study(monkeypatch, caplog):
    monkeypatch.setattr(
        "operators.encoding.sr.report.REPORT_CLASS", lambda **_: (_ for _ in ()).throw(ValueError("SMITH"))
    )
    reported = built(study_of(encode(segmentation())))
    assert "sr" not in reported.objects
    assert [(image.state, image.reason) for image in reported.study.images] == [("failed", "encoding_error")]
    assert reported.outcome.state == "failed"
    assert "SMITH" not in caplog.text


FRACTURE = Code("72704001", "SCT", "Fracture")
FINDS_FRACTURES = dataclasses.replace(PROVENANCE, finding=FRACTURE)


@pytest.mark.parametrize(
    ("provenance", "state", "masks", "image", "boxes"),
    [
        (FINDS_FRACTURES, "abnormal", 2, FRACTURE, [FRACTURE] * 4),
        (FINDS_FRACTURES, "doubt", 1, FRACTURE, [FRACTURE] * 2),
        (FINDS_FRACTURES, "normal", 0, RADIOLOGIC_FINDING, []),
        (PROVENANCE, "abnormal", 1, ABNORMALITY, [ABNORMALITY] * 2),
    ],
)
def test_the_finding_is_what_the_classifier_looks_for(provenance, state, masks, image, boxes):
    encoded = encode(segmentation(masks, state), provenance)
    report = reread(report_of(study_of(encoded, excluded()), provenance))
    whole, *marked, declined = groups(report)
    assert [code_of(values(group, "Finding")[0]) for group in (whole, *marked)] == [image, *boxes]
    assert code_of(values(declined, "Finding")[0]) == RADIOLOGIC_FINDING
    if encoded.seg is not None:
        for segment in encoded.seg.SegmentSequence:
            assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == provenance.finding.value
            assert segment.SegmentLabel.startswith(f"Suspected {provenance.finding.meaning.lower()} ")
    meant = algorithm(whole)["Equivalent Meaning of Concept Name"]
    assert meant == [f"Probability of {provenance.finding.meaning.lower()}"]
    assert f"mean probability of {provenance.finding.meaning.lower()} over" in summary(report)[1]
    assert encoded.source.sop_instance_uid in evidence(report)
    plain = encode(segmentation(masks, state))
    assert provenance is PROVENANCE or plain.seg is None or plain.seg.SOPInstanceUID != encoded.seg.SOPInstanceUID


def test_a_box_has_a_peak_and_no_probability():
    report = reread(report_of(study_of(encode(segmentation(1)))))
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == PEAK_NAME.scheme_designator
    _, box, outline = groups(report)
    assert not [item for group in (box, outline) for item in values(group, "Probability")]
    (peak,) = values(box, PEAK_NAME.meaning)
    assert peak.ConceptNameCodeSequence[0].CodeValue == PEAK_NAME.value
    assert peak.MeasuredValueSequence[0].NumericValue == pytest.approx(0.9)
    assert not values(outline, PEAK_NAME.meaning)


def test_the_peak_of_a_relative_map_is_not_measured():
    whole = segmentation(1)
    relative = dataclasses.replace(whole.localization, relative=True)
    report = report_of(study_of(encode(dataclasses.replace(whole, localization=relative))))
    image, box, outline = groups(report)
    assert [len(values(group, PEAK_NAME.meaning)) for group in (image, box, outline)] == [0, 0, 0]
    assert len(values(outline, "Area")) == 1
