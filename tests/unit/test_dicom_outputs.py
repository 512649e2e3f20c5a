"""SEG and SR: what is in them comes back out of them, and refers to what it should."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from operators.codes import NORMALITY
from operators.decoding import _answer as answer
from operators.dicom_objects import ObjectRule, encode_image
from operators.dicom_report import report_study
from operators.dicom_source import check_identity
from operators.errors import EncodingError, ImageError
from operators.geometry import PixelBox
from operators.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.radiographs import Scope, check_scope
from operators.records import (
    EncodedImage,
    ExcludedImage,
    Localization,
    OperatingPoints,
    Opinion,
    Segmentation,
    SourceFile,
)
from operators.study import Study
from tests.phantoms import classification, radiograph, source_image

PROVENANCE = Provenance(
    "0.1.0",
    (Model("msk_a", "1", "a" * 64, (("rule_in", "0.8"),)),),
    Model("msk_b", "2", "b" * 64),
    datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC),
)
RULE = ObjectRule(heatmap=False, sc=False, gsps=False, labelmap=False, viewer_geometry=True)
POINTS = OperatingPoints(0.2, 0.8)


def segmentation(
    masks: int = 1,
    state: str = "abnormal",
    ds: Dataset | None = None,
    opinions: tuple[Opinion, ...] = (Opinion("msk_a", 2.2, 0.9, "abnormal"),),
    **source,
) -> Segmentation:
    boxes = tuple(PixelBox(10 + 30 * index, 20, 30 + 30 * index, 50) for index in range(masks))
    drawn = []
    for box in boxes:
        mask = np.zeros((160, 128), bool)
        mask[box.slices()] = np.random.default_rng(box.left).random((box.height, box.width)) > 0.3
        drawn.append(mask)
    record = classification(state=state, source=source_image(ds, **source), opinions=opinions)
    localization = Localization(record, np.zeros((160, 128), np.float32), boxes, (0.9,) * masks)
    return Segmentation(localization, tuple(drawn), (0.8,) * masks)


def encode(segmentation: Segmentation, provenance: Provenance, rule: ObjectRule) -> EncodedImage:
    return encode_image(segmentation, 1, rule, provenance)


def report_of(study: Study, provenance: Provenance) -> Dataset | None:
    return report_study(study, POINTS, provenance).objects.get("sr")


def reread(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    assert buffer.getvalue()[:132] == b"\0" * 128 + b"DICM"
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("masks", [1, 2, 3])
def test_mask_to_seg_to_mask_is_the_identity(kind, masks):
    source = segmentation(masks, ds=radiograph(kind=kind))
    seg = hd.seg.Segmentation.from_dataset(reread(encode(source, PROVENANCE, RULE).seg))
    assert seg.SegmentationType == "BINARY"
    assert seg.number_of_segments == masks
    for number, mask in enumerate(source.masks, start=1):
        frame = seg.get_pixels_by_source_instance(
            source_sop_instance_uids=[source.source.sop_instance_uid],
            segment_numbers=[number],
            ignore_spatial_locations=True,
        )
        assert np.array_equal(frame[0, :, :, 0].astype(bool), mask)


def test_overlapping_segments_stay_apart():
    source = segmentation(2)
    mask = np.zeros((160, 128), bool)
    mask[40:90, 30:70] = True
    both = Segmentation(source.localization, (mask, mask.copy()), (0.5, 0.5))
    seg = reread(encode(both, PROVENANCE, RULE).seg)
    assert seg.NumberOfFrames == 2


def test_a_segment_names_its_algorithm_and_its_region():
    (segment,) = encode(segmentation(), PROVENANCE, RULE).seg.SegmentSequence
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "msk_b"
    assert "b" * 64 in algorithm.AlgorithmParameters
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Wrist joint"
    assert segment.TrackingUID


def test_research_use_only_is_said_in_every_object():
    encoded = encode(segmentation(), PROVENANCE, RULE)
    assert RESEARCH_USE_ONLY in encoded.seg.ContentDescription
    report = report_of(Study("1", (encoded,)), PROVENANCE)
    assert RESEARCH_USE_ONLY in comments(report)
    for ds in (encoded.seg, report):
        assert "research use only" in ds.SeriesDescription
        described = [
            item.ContributionDescription
            for item in ds.ContributingEquipmentSequence
            if "ContributionDescription" in item
        ]
        assert any("a" * 64 in text and "b" * 64 in text for text in described)


def test_viewer_geometry_is_never_invented():
    with_spacing = encode(segmentation(), PROVENANCE, RULE).seg
    measures = with_spacing.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.2, 0.2]
    without = encode(segmentation(ds=radiograph(kind="CR", ImagerPixelSpacing=None)), PROVENANCE, RULE).seg
    assert "PixelMeasuresSequence" not in without.SharedFunctionalGroupsSequence[0]
    plain = encode(segmentation(), PROVENANCE, dataclasses.replace(RULE, viewer_geometry=False)).seg
    assert "PixelMeasuresSequence" not in plain.SharedFunctionalGroupsSequence[0]


def test_nothing_to_outline_gives_no_seg():
    assert encode(segmentation(0, "normal"), PROVENANCE, RULE).seg is None
    empty = segmentation(1)
    empty = Segmentation(empty.localization, (np.zeros((160, 128), bool),), (0.1,))
    encoded = encode(empty, PROVENANCE, RULE)
    assert encoded.seg is None
    assert encoded.segment_numbers == (None,)


def test_an_image_that_cannot_be_referred_to_gives_no_objects():
    encoded = encode(segmentation(ds=radiograph(SOPInstanceUID="999.1.02")), PROVENANCE, RULE)
    assert encoded.seg is None
    assert report_of(Study("1", (encoded,)), PROVENANCE) is None


def test_a_second_run_writes_the_same_objects():
    first, second = (encode(segmentation(2), PROVENANCE, RULE) for _ in range(2))
    assert first.seg == second.seg
    study = [Study("1", (encoded,)) for encoded in (first, second)]
    assert report_of(study[0], PROVENANCE) == report_of(study[1], PROVENANCE)


def test_another_model_gives_other_uids():
    other = Provenance("0.1.0", PROVENANCE.classifiers, Model("msk_b", "2", "c" * 64), PROVENANCE.now)
    first, second = (encode(segmentation(), provenance, RULE).seg for provenance in (PROVENANCE, other))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert PROVENANCE.device_uid != other.device_uid


SEVERAL = Provenance(
    "0.1.0", (*PROVENANCE.classifiers, Model("msk_c", "3", "c" * 64)), PROVENANCE.segmenter, PROVENANCE.now
)


def test_uids_of_one_classifier_stay_and_each_further_one_counts():
    """The UID was written by version 0.1.0, which knew one classifier."""
    assert PROVENANCE.uid("seg", "1.2.3") == "2.25.108124228287053569633355509168013883172"
    turned = Provenance("0.1.0", SEVERAL.classifiers[::-1], SEVERAL.segmenter, SEVERAL.now)
    assert len({provenance.uid("seg", "1.2.3") for provenance in (PROVENANCE, SEVERAL, turned)}) == 3


def groups(report: Dataset) -> list[Dataset]:
    (container,) = [
        item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(container.ContentSequence)


def values(group: Dataset, name: str) -> list[Dataset]:
    return [item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == name]


def comments(report: Dataset) -> list[str]:
    return [
        str(item.TextValue)
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]


def study_of(*images: EncodedImage | ExcludedImage) -> Study:
    return Study("1.2.3", images)


def test_the_report_has_the_image_the_boxes_and_the_segments():
    encoded = encode(segmentation(2), PROVENANCE, RULE)
    report = reread(report_of(study_of(encoded), PROVENANCE))
    assert report.SOPClassUID.name == "Comprehensive SR Storage"
    found = groups(report)
    assert len(found) == 1 + 2 * 2
    assert values(found[0], "Probability")[0].MeasuredValueSequence[0].NumericValue == pytest.approx(0.9)
    assert values(found[0], "Normality")[0].ConceptCodeSequence[0].CodeValue == NORMALITY["abnormal"].value
    tracked = [values(group, "Tracking Unique Identifier")[0].UID for group in found[1:]]
    segments = [segment.TrackingUID for segment in encoded.seg.SegmentSequence]
    assert tracked == [segments[0], segments[0], segments[1], segments[1]]
    box = values(found[1], "Image Region")[0].GraphicData
    assert list(box) == [10, 20, 30, 20, 30, 50, 10, 50, 10, 20]


def algorithm(group: Dataset) -> dict[str, list[str]]:
    (probability,) = values(group, "Probability")
    found: dict[str, list[str]] = {}
    for item in probability.ContentSequence:
        if item.ValueType == "TEXT":
            found.setdefault(item.ConceptNameCodeSequence[0].CodeMeaning, []).append(str(item.TextValue))
    return found


def test_the_image_s_probability_names_all_classifiers_and_a_box_s_the_first():
    encoded = encode(segmentation(1), SEVERAL, RULE)
    whole, *boxes = groups(reread(report_of(study_of(encoded), SEVERAL)))
    named = algorithm(whole)
    assert named["Algorithm Name"] == ["mean of msk_a, msk_c"]
    assert named["Algorithm Version"] == ["1, 3"]
    assert set(named["Algorithm Parameters"]) == {
        f"msk_a model_sha256={'a' * 64}",
        "msk_a rule_in=0.8",
        f"msk_c model_sha256={'c' * 64}",
        RESEARCH_USE_ONLY,
    }
    single = groups(report_of(study_of(encoded), PROVENANCE))
    assert all(algorithm(group) == algorithm(single[0]) for group in [*boxes, *single])
    assert algorithm(single[0])["Algorithm Name"] == ["msk_a"]


def test_a_disagreement_is_told_in_the_report():
    opinions = (Opinion("msk_a", 3.0, 0.95, "abnormal"), Opinion("msk_c", -3.0, 0.05, "normal"))
    encoded = encode(segmentation(1, "doubt", opinions=opinions), SEVERAL, RULE)
    told = [text for text in comments(report_of(study_of(encoded), SEVERAL)) if "disagree" in text]
    assert told == ["Image 1: the classifiers disagree (msk_a abnormal, msk_c normal)."]
    agreed = encode(segmentation(1, "doubt", opinions=opinions[:1] * 2), SEVERAL, RULE)
    assert not [text for text in comments(report_of(study_of(agreed), SEVERAL)) if "disagree" in text]


def test_evidence_is_complete():
    encoded = encode(segmentation(2), PROVENANCE, RULE)
    report = report_of(study_of(encoded), PROVENANCE)
    listed = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert listed == {encoded.source.sop_instance_uid, encoded.seg.SOPInstanceUID}


def test_a_normal_study_gets_its_report():
    encoded = encode(segmentation(0, "normal"), PROVENANCE, RULE)
    (group,) = groups(report_of(study_of(encoded), PROVENANCE))
    assert values(group, "Normality")[0].ConceptCodeSequence[0].CodeMeaning == "Normal"


def test_declined_images_are_named_in_the_report():
    declined = ExcludedImage(source_image(radiograph("b", study="a")), "declined", "too_small", "")
    lost = ExcludedImage(SourceFile(None, "x"), "failed", "unreadable_file", "")
    report = report_of(study_of(encode(segmentation(), PROVENANCE, RULE), declined, lost), PROVENANCE)
    text = "\n".join(comments(report))
    assert f"{declined.source.sop_instance_uid}) was not analysed: declined, too_small" in text
    assert "File 3 was not analysed: failed, unreadable_file" in text
    assert groups(report)[-1].ContentSequence[0].TextValue == "image-2-not-analysed"


@pytest.mark.parametrize("duplicate_first", [True, False])
def test_a_duplicate_does_not_contradict_its_original(duplicate_first):
    original = encode(segmentation(), PROVENANCE, RULE)
    duplicate = ExcludedImage(source_image(), "declined", "duplicate_instance", "")
    pair = (duplicate, original) if duplicate_first else (original, duplicate)
    report = report_of(study_of(*pair), PROVENANCE)
    alone = report_of(study_of(original), PROVENANCE)
    assert len(groups(report)) == len(groups(alone))
    assert report.SOPInstanceUID == alone.SOPInstanceUID
    assert any("declined, duplicate_instance" in comment for comment in comments(report))


def test_one_image_in_two_studies_gives_two_reports():
    duplicate = ExcludedImage(source_image(), "declined", "duplicate_instance", "")
    first, second = (report_of(Study(uid, (duplicate,)), PROVENANCE) for uid in ("1.2", "1.3"))
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_seg_and_sr_give_a_finding_one_name():
    image = encode(segmentation(2), PROVENANCE, RULE)
    report = str(report_of(study_of(image), PROVENANCE))
    for segment in image.seg.SegmentSequence:
        assert report.count(f"'{segment.TrackingID}'") == 2
        assert report.count(segment.TrackingUID) == 2


def test_an_unknown_body_part_is_flagged_and_nothing_is_claimed():
    encoded = encode(segmentation(ds=radiograph(BodyPartExamined=None, AnatomicRegionSequence=None)), PROVENANCE, RULE)
    report = report_of(study_of(encoded), PROVENANCE)
    assert any("names no body part" in comment for comment in comments(report))
    assert not values(groups(report)[0], "Finding Site")


def test_the_report_is_preliminary_and_unverified():
    report = report_of(study_of(encode(segmentation(), PROVENANCE, RULE)), PROVENANCE)
    assert (report.PreliminaryFlag, report.VerificationFlag, report.CompletionFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
        "COMPLETE",
    )


def test_an_object_that_cannot_be_built_fails_its_image(monkeypatch):
    monkeypatch.setattr(
        "operators.dicom_seg.hd.seg.Segmentation", lambda **_: (_ for _ in ()).throw(ValueError("SMITH"))
    )
    with pytest.raises(EncodingError) as caught:
        encode(segmentation(), PROVENANCE, RULE)
    assert "SMITH" not in caught.value.detail


def test_a_report_that_cannot_be_built_fails_its_study(monkeypatch, caplog):
    monkeypatch.setattr("operators.dicom_sr.sr.ComprehensiveSR", lambda **_: (_ for _ in ()).throw(ValueError("SMITH")))
    reported = report_study(study_of(encode(segmentation(), PROVENANCE, RULE)), POINTS, PROVENANCE)
    assert "sr" not in reported.objects
    assert [(image.state, image.reason) for image in reported.study.images] == [("failed", "encoding_error")]
    assert reported.outcome.state == "failed"
    assert "SMITH" not in caplog.text


@pytest.mark.parametrize(
    "defect",
    [
        {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None},
        {"StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None},
        {"ReferringPhysicianName": None, "Manufacturer": None, "SeriesNumber": None, "InstanceNumber": None},
        {"PatientOrientation": None},
        {"PatientOrientation": ""},
        {"StudyDate": "20261301"},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"SpecificCharacterSet": "GB18030", "PatientName": "王^小东"},
        {"ImageLaterality": None, "Laterality": None},
        {"PatientID": "X" * 64},
    ],
)
@pytest.mark.parametrize("kind", ["DX", "CR"])
def test_headers_of_real_life_give_objects(kind, defect):
    encoded = encode(segmentation(ds=radiograph(kind=kind, **defect)), PROVENANCE, RULE)
    assert reread(encoded.seg).SOPClassUID
    assert reread(report_of(study_of(encoded), PROVENANCE)).SOPClassUID


ODD_TEXT = (
    "",
    "a\\b\\c",
    "\x00",
    "NaN",
    "1e400",
    "日本",
    "<b>",
    "SMITH^J" * 30,
    "19990101\\20000101",
    "x" * 70,
    "M",
    "^^^^^^",
)


def with_odd_values(random: np.random.Generator) -> Dataset:
    """A radiograph some of whose attributes have a value, or a VR, that they should not have."""
    ds = radiograph(kind=str(random.choice(["DX", "CR"])), PatientAge="042Y", StudyID="1", StudyDescription="x")
    kept = ("SpecificCharacterSet", "Rows", "Columns")
    tags = [element.tag for element in ds if element.VR not in ("OB", "OW", "SQ", "SS") and element.keyword not in kept]
    for tag in random.choice(tags, int(random.integers(1, 6)), replace=False):
        if ds[tag].VR == "US":
            ds[tag] = DataElement(tag, "US", [0, 1, 65535, [1, 2], None][int(random.integers(5))])
        elif random.random() < 0.1 and ds[tag].VR != "UI":
            ds[tag] = DataElement(tag, "SQ", [Dataset(), Dataset()])
        else:
            vr, text = str(random.choice(["LO", "UT", "CS", "PN"])), str(random.choice(ODD_TEXT))
            vr = "UT" if ds[tag].VR == "UI" else vr  # pydicom writes no file with several UIDs
            text = text.encode("ascii", "replace").decode() if vr == "CS" else text
            ds[tag] = DataElement(tag, vr, text, validation_mode=IGNORE)
    return ds


@pytest.mark.parametrize("seed", range(100))
def test_a_header_is_refused_or_gives_objects(seed, tmp_path):
    path = tmp_path / "a.dcm"
    with_odd_values(np.random.default_rng(seed)).save_as(path, enforce_file_format=True)
    reply, _ = answer("header", path)
    header = Dataset.from_json(reply["header"])
    try:
        check_identity(header)
        check_scope(header, Scope(("WRIST",), False, 64, 10**8))
    except ImageError:
        return
    encoded = encode(segmentation(ds=header), PROVENANCE, RULE)
    report = report_of(study_of(encoded), PROVENANCE)
    for ds in (encoded.seg, report):
        assert ds is None or reread(ds).SOPClassUID
