"""Every header defect of real life gives a copy that the writers can rely on; nothing in it is invented."""

from __future__ import annotations

import contextlib
import json
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from operators.encoding.image_objects import encode_image
from operators.reading.decoder_process import _answer as answer
from operators.reading.grey_scale import render
from operators.reading.header_values import valid_values
from operators.reading.normalised_header import (
    IF_PRESENT,
    TYPE_2,
    check_identity,
    is_referable,
    normalise,
    without_descriptions,
)
from operators.reading.scope import body_part, check_scope
from operators.records.codes import BODY_PARTS
from operators.records.errors import ImageError
from operators.records.images import EncodedImage
from operators.records.rules import ObjectRule, Scope
from operators.records.study import Study
from tests.built_studies import DESCRIPTION, PROVENANCE, Look, segment
from tests.header_variants import NO_OBJECTS, OBJECTS, VARIANTS, HeaderVariant, put, raw
from tests.phantoms import classification as phantom_classification
from tests.phantoms import radiograph, source_image
from tests.segmentations import report

SCOPE = Scope(tuple(BODY_PARTS), False, 64, 10**8)
RULE = ObjectRule(frozenset())
REFUSED = {"header_invalid", "multi_frame", "body_part_out_of_scope", "for_processing", "colour"}


@pytest.fixture(autouse=True)
def _read_anything(monkeypatch):
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)


def through_the_decoder(name: str, folder) -> tuple[Dataset, list[str]]:
    """Return what the application sees of a variant's file: through the bytes, the child's answer and JSON."""
    reply, _ = answer("header", VARIANTS[name].write(folder / "a.dcm", name))
    reply = json.loads(json.dumps(reply))
    return Dataset.from_json(reply["header"]), reply["changes"]


def reread(ds: Dataset) -> BytesIO:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return buffer


def encode(header: Dataset) -> tuple[EncodedImage, Dataset | None]:
    radiograph = phantom_classification(source=source_image(header)).radiograph
    encoded = encode_image(segment(radiograph, Look("abnormal", 2)), 1, RULE, PROVENANCE)
    study = Study(str(header.get("StudyInstanceUID")), (encoded,))
    return encoded, report(study, DESCRIPTION).objects.get("sr")


def test_the_table_is_large_and_says_what_becomes_of_each_variant():
    assert len(VARIANTS) >= 48
    assert {variant.outcome for variant in VARIANTS.values()} == {OBJECTS, NO_OBJECTS, *REFUSED}


@pytest.mark.slow  # a study of every header: half a minute
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_gives_objects_or_is_refused_with_its_reason(name, tmp_path):
    header, _ = through_the_decoder(name, tmp_path)
    pixels, _ = answer("pixels", VARIANTS[name].write(tmp_path / "a.dcm", name))
    try:
        check_identity(header)
        check_scope(header, SCOPE)
    except ImageError as error:
        assert error.reason == VARIANTS[name].outcome
        return
    if "error" in pixels:
        assert pixels["error"]["reason"] == VARIANTS[name].outcome
        return
    encoded, report = encode(header)
    if VARIANTS[name].outcome == NO_OBJECTS:
        assert (encoded.objects, report) == ({}, None)
        return
    assert VARIANTS[name].outcome == OBJECTS
    assert hd.seg.segread(reread(encoded.objects["seg"])).number_of_segments == 2
    assert hd.sr.srread(reread(report)).content.get_planar_roi_measurement_groups()


@pytest.mark.parametrize("name", VARIANTS)
def test_what_was_changed_is_told_by_tag_and_never_by_value(name, tmp_path):
    _, changes = through_the_decoder(name, tmp_path)
    told = {(line.split()[-1], line.split()[-2]) for line in changes}
    expected = {("emptied", keyword) for keyword in VARIANTS[name].emptied}
    expected |= {("rewritten", keyword) for keyword in VARIANTS[name].rewritten}
    assert told == expected
    assert all(len(line.split()) == 3 for line in changes)


def texts(element: DataElement) -> list[str]:
    values = list(element.value) if element.VM > 1 else [element.value]
    return ["" if value is None else str(value).strip(" \0") for value in values]


def is_derived(text: str, source: str) -> bool:
    """Whether the letters and digits of a value, leading zeros aside, are among the source's, in their order."""
    with contextlib.suppress(UnicodeError):
        source += source.encode("latin-1").decode("utf-8")  # a name whose character set was not declared
    found = iter(source.upper())
    return all(character in found for character in text.lstrip("0").upper() if character.isalnum())


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_invented(name):
    source = VARIANTS[name].reread(name)
    copy, changes = normalise(source)
    rewritten = {line.split()[-2] for line in changes if line.endswith("rewritten")}
    for keyword in (*TYPE_2, *IF_PRESENT):
        if copy.get(keyword) in (None, ""):
            continue
        pairs = list(zip(texts(copy[keyword]), texts(source[keyword]), strict=keyword not in rewritten))
        if keyword in rewritten:
            assert all(is_derived(text, said) for text, said in pairs), keyword
        elif copy[keyword].VR in ("DS", "IS", "US"):
            assert all(float(text) == float(said) for text, said in pairs), keyword
        else:
            assert all(text == said for text, said in pairs), keyword


@pytest.mark.parametrize("name", VARIANTS)
def test_the_copy_is_stable_and_holds_only_what_is_needed(name):
    copy, _ = normalise(VARIANTS[name].reread(name))
    again, changes = normalise(Dataset.from_json(json.loads(copy.to_json())))
    assert (again.to_json(), changes) == (copy.to_json(), [])
    assert copy.SpecificCharacterSet == "ISO_IR 192"
    assert {"FrameOfReferenceUID", "PixelData", "PatientComments"}.isdisjoint(element.keyword for element in copy)
    assert not [element for element in copy.iterall() if element.tag.is_private]


@pytest.mark.parametrize("keyword", TYPE_2)
def test_a_missing_type_2_attribute_becomes_empty(keyword):
    copy, changes = normalise(radiograph(**{keyword: None}))
    assert keyword in copy
    assert not copy.get(keyword)
    assert changes == []


@pytest.mark.parametrize(
    ("name", "keyword", "value"),
    [
        ("acr_nema_date", "StudyDate", "20260131"),
        ("acr_nema_time", "StudyTime", "123059.5"),
        ("age_without_zeros", "PatientAge", "042Y"),
        ("name_with_empty_components", "PatientName", "DOE^JOHN"),
        ("lower_case", "PatientSex", "M"),
        ("orientation_lower_case", "PatientOrientation", ["L", "F"]),
        ("long_spacing", "ImagerPixelSpacing", [0.12012, 0.12012]),
        ("charset_missing_utf_8", "PatientName", "Müller^Jörg"),
        ("charset_missing_latin_1", "PatientName", "Müller^Jörg"),
        ("charset_misspelt", "PatientName", "Müller^Jörg"),
        ("korean", "PatientName", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("japanese", "PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("japanese_katakana", "PatientName", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        ("gbk_with_backslash_bytes", "PatientName", "乗^俓僜"),
        ("uid_trailing_nuls", "SeriesInstanceUID", "1.2.3.6"),
        ("windows_of_other_count", "WindowCenter", 2048),
        ("window_of_sixteen_digits", "WindowCenter", 2048),
        ("de_identified", "PatientIdentityRemoved", "YES"),
    ],
)
def test_what_says_the_same_is_kept(name, keyword, value, tmp_path):
    copy, _ = through_the_decoder(name, tmp_path)
    assert copy.get(keyword) == value


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Chest", "CHEST"),
        ("chest pa", "CHEST"),
        ("C-SPINE", "CSPINE"),
        ("LUMBAR SPINE LATERAL", "SPINE"),
        ("left wrist, two views", "WRIST"),
        ("SMITH JOHN, HAND", "HAND"),
    ],
)
def test_a_body_part_in_free_text_still_names_one(text, term):
    ds = radiograph(BodyPartExamined=None, AnatomicRegionSequence=None)
    put("BodyPartExamined", text)(ds)
    copy, changes = normalise(ds)
    assert (copy.BodyPartExamined, changes) == (term, ["(0018,0015) BodyPartExamined rewritten"])
    assert body_part(copy) == term


@pytest.mark.parametrize("text", ["SMITH", "SMITH^JOHN", "Handgelenk", "---", "WRISTS", "Müller", "UNKNOWN"])
@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ViewPosition"])
def test_what_is_no_defined_term_is_emptied(keyword, text):
    ds = radiograph()
    put(keyword, text)(ds)
    copy, changes = normalise(ds)
    assert keyword not in copy
    assert [line.split()[1:] for line in changes] == [[keyword, "emptied"]]


@pytest.mark.parametrize(
    ("text", "term"), [("ap", "AP"), ("A-P", "AP"), ("Lateral", "LAT"), ("oblique", "OBL"), ("RLO", "RLO"), ("", None)]
)
def test_a_view_is_a_term(text, term):
    ds = radiograph(ViewPosition=None)
    put("ViewPosition", text)(ds)
    assert normalise(ds)[0].get("ViewPosition") == term


def test_a_region_that_is_not_known_is_emptied_and_a_known_one_has_the_meaning_of_the_table():
    (item,) = radiograph().AnatomicRegionSequence
    item.CodeMeaning = "SMITH"
    copy, changes = normalise(radiograph(AnatomicRegionSequence=[item]))
    assert (copy.AnatomicRegionSequence[0].CodeMeaning, changes) == ("Wrist joint", [])
    item.CodeValue = "SMITH"
    copy, changes = normalise(radiograph(AnatomicRegionSequence=[item]))
    assert "AnatomicRegionSequence" not in copy
    assert changes == ["(0008,2218) AnatomicRegionSequence emptied"]


@pytest.mark.parametrize("text", ["SMITH", "hu"])
def test_a_unit_that_is_no_defined_term_counts_as_unspecified(text):
    copy, changes = normalise(radiograph(RescaleType=text))
    assert "RescaleType" not in copy
    assert changes == ["(0028,1054) RescaleType emptied"]


def test_descriptions_are_left_out_and_who_it_is_stays():
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = "113100", "DCM", "SMITH"
    private = Dataset()
    private.CodeValue, private.CodingSchemeDesignator, private.CodeMeaning = "113100", "99SMITH", "SMITH"
    texts = {"StudyDescription": "SMITH", "DeidentificationMethod": "SMITH", "PatientIdentityRemoved": "YES"}
    header, _ = normalise(radiograph(**texts, DeidentificationMethodCodeSequence=[private, method]))
    plain = without_descriptions(header)
    assert "SMITH" not in str(plain)
    assert plain.PatientIdentityRemoved == "YES"
    assert plain.DeidentificationMethodCodeSequence[0].CodeMeaning == "Basic Application Confidentiality Profile"
    assert (plain.PatientName, plain.PatientID) == (header.PatientName, header.PatientID)
    assert header.StudyDescription == "SMITH"  # the header itself is as it was
    header.DeidentificationMethodCodeSequence = [private]
    plain = without_descriptions(header)
    assert "PatientIdentityRemoved" not in plain
    assert "DeidentificationMethodCodeSequence" not in plain


@pytest.mark.parametrize("value", ["120000", "1200", "12", "120000.123456", "235960"])
def test_a_valid_time_is_kept(value):
    copy, changes = normalise(radiograph(StudyTime=value))
    assert (copy.StudyTime, changes) == (value, [])


def test_what_is_valid_is_kept_as_it_is():
    source = radiograph(InstanceNumber=7, PatientAge="042Y", ImagerPixelSpacing=["0.1201199999999", "0.12"])
    copy, changes = normalise(source)
    kept = (
        "InstanceNumber",
        "PatientAge",
        "ImagerPixelSpacing",
        "Rows",
        "ViewPosition",
        "StudyDate",
        "ImageLaterality",
    )
    for keyword in (*kept, "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleType", "PresentationLUTShape"):
        assert copy.get(keyword) == source.get(keyword)
    assert changes == []


def test_the_source_is_not_changed():
    ds = radiograph(FrameOfReferenceUID="1.2.3")
    ds.add_new(0x00091001, "LO", "private")
    before = ds.to_json()
    normalise(ds)
    assert ds.to_json() == before


def test_the_region_is_kept_only_if_it_is_coded():
    assert normalise(radiograph())[0].AnatomicRegionSequence[0].CodeValue == "74670003"
    assert "AnatomicRegionSequence" not in normalise(radiograph(AnatomicRegionSequence=[Dataset()]))[0]
    assert "AnatomicRegionSequence" not in normalise(radiograph(AnatomicRegionSequence=[]))[0]


SHOWN = ("cr", "dx", "monochrome1", "rescale", "voi_lut", "voi_lut_of_full_range", "modality_lut", "several_windows")
SHOWN += ("modality_lut_beside_rescale", "windows_of_other_count", "window_function", "long_description")


@pytest.mark.parametrize("name", SHOWN)
def test_the_copy_shows_the_image_as_the_source_does(name, tmp_path):
    """A presentation state is made from the copy alone."""
    copy, _ = through_the_decoder(name, tmp_path)
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    assert np.array_equal(render(stored, copy), render(stored, VARIANTS[name].reread(name)))


def test_of_a_look_up_table_only_what_shows_is_kept(tmp_path):
    copy, _ = through_the_decoder("voi_lut", tmp_path)
    (item,) = copy.VOILUTSequence
    assert [element.keyword for element in item] == ["LUTDescriptor", "LUTData"]
    copy, _ = through_the_decoder("modality_lut", tmp_path)
    assert copy.ModalityLUTSequence[0].ModalityLUTType == "US"


def test_rescale_and_modality_lut_exclude_each_other_and_windows_come_in_pairs(tmp_path):
    for name in VARIANTS:
        copy, _ = normalise(VARIANTS[name].reread(name))
        assert ("RescaleSlope" in copy) == ("RescaleIntercept" in copy)
        assert not {"RescaleSlope", "RescaleType"} & set(copy.dir()) or "ModalityLUTSequence" not in copy
        centres, widths = (np.atleast_1d(copy.get(keyword, [])) for keyword in ("WindowCenter", "WindowWidth"))
        assert len(centres) == len(widths)


@pytest.mark.parametrize(
    ("uid", "valid"),
    [("1.2.3", True), ("2.25.1", True), ("999.1", False), ("1.2.03", False), ("1", False), ("1." + "2" * 70, False)],
)
def test_an_image_with_an_invalid_uid_cannot_be_referred_to(uid, valid):
    assert is_referable(radiograph(SOPInstanceUID=uid)) is valid


KEYWORDS = sorted({*TYPE_2, *IF_PRESENT})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYWORDS), st.lists(st.text(max_size=80), min_size=1, max_size=3), st.booleans())
def test_any_text_is_kept_derived_or_refused(keyword, values, declared):
    try:
        kept = valid_values(values, keyword, declared)
    except ValueError:
        return
    assert kept == valid_values(kept, keyword, declared=True) or kept == []
    assert all(not isinstance(value, str) or "\\" not in value for value in kept)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYWORDS), st.binary(max_size=80), st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "GB18030"]))
def test_any_bytes_give_a_header_that_can_be_written(keyword, data, charset):
    variant = HeaderVariant((raw("SpecificCharacterSet", charset), raw(keyword, data)))
    copy, _ = normalise(variant.reread())
    there = Dataset.from_json(json.loads(copy.to_json()))
    buffer = BytesIO()
    there.save_as(buffer, implicit_vr=False, little_endian=True)
    assert normalise(there)[0].to_json() == copy.to_json()
