"""``app.yaml``: every mistake is named before any data is read."""

from __future__ import annotations

import re

import pytest
import torch
import yaml

from monai_app import __version__
from monai_app.rules import box_rule, map_rule, scope
from monai_app.settings import CONFIG_VARIABLE, ROOT, SettingsError, read_settings
from monai_app.settings.manifest import quantity
from operators.records.codes import BODY_PARTS
from operators.records.reasons import DoubtReason
from operators.records.rules import BoxRule, MapRule
from tests.phantoms import tiny_bundle

SHIPPED = yaml.safe_load((ROOT / "app.yaml").read_text())
MURA = {"ELBOW", "FINGER", "FOREARM", "HAND", "HUMERUS", "SHOULDER", "WRIST"}


@pytest.fixture
def configured(tmp_path, monkeypatch):
    def write(change):
        content = yaml.safe_load((ROOT / "app.yaml").read_text())
        change(content)
        (tmp_path / "app.yaml").write_text(yaml.safe_dump(content))
        monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "app.yaml"))
        return read_settings()

    return write


def test_the_shipped_configuration_is_valid():
    settings = read_settings()
    assert set(settings.radiographs.body_parts) >= MURA
    assert set(settings.radiographs.body_parts) <= set(BODY_PARTS)
    assert SHIPPED["application"]["version"] == __version__
    assert SHIPPED["application"]["input-formats"]


@pytest.mark.parametrize(
    ("named", "bundles"),
    [("msk_a", ("msk_a",)), (["msk_a"], ("msk_a",)), (["msk_b", "msk_a"], ("msk_b", "msk_a"))],
)
def test_classifiers_are_one_name_or_a_list(configured, named, bundles):
    assert configured(lambda content: content["classification"].update(bundle=named)).classification.bundles == bundles


def test_every_reason_for_doubt_can_be_accepted(configured):
    settings = configured(
        lambda content: content["classification"].update(accepted_doubts=[str(reason) for reason in DoubtReason])
    )
    assert scope(settings).accepted_doubts == tuple(DoubtReason)


def test_a_section_that_is_new_may_be_absent(configured):
    assert configured(lambda content: content.pop("models")).models.trusted is None


def test_another_file_can_be_named(configured):
    assert configured(lambda content: content["localization"].update(maximum_boxes=7)).localization.maximum_boxes == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(unknown={}), "unknown key 'unknown'"),
        (lambda c: c["report"].update(colour="red"), "report: unknown key 'colour'"),
        (lambda c: c["report"].pop("pictures"), "report: key 'pictures' is missing"),
        (lambda c: c.pop("segmentation"), "key 'segmentation' is missing"),
        (
            lambda c: c["classification"].update(accepted_doubts=["all"]),
            "classification: accepted_doubts must be one of body_part_absent",
        ),
        (lambda c: c["report"].update(pictures="many"), "report: pictures: 'many' is not int"),
        (lambda c: c["report"].update(pictures=True), "not int"),
        (lambda c: c["report"].update(pictures=-1), "report: pictures must be from 0 to"),
        (lambda c: c["radiographs"].update(body_parts="HAND"), "not a list of words"),
        (lambda c: c["radiographs"].update(body_parts=["NOSE"]), "'NOSE'"),
        (lambda c: c["radiographs"].update(decoder_timeout_s=0), "radiographs: decoder_timeout_s must be from"),
        (lambda c: c["localization"].update(boxes="round"), "localization: boxes must be one of peaks, components"),
        (lambda c: c["localization"].update(threshold=1.5), "localization: threshold must be from"),
        (lambda c: c["localization"].update(threshold=0), "threshold"),
        (lambda c: c["localization"].update(map="heat"), "localization: map must be one of cam"),
        (lambda c: c["localization"].update(cut="sharp"), "localization: cut must be one of fraction, otsu"),
        (lambda c: c["localization"].update(stages=0), "localization: stages must be from 1"),
        (lambda c: c["localization"].update(scales=[]), "scales names no scale"),
        (lambda c: c["localization"].update(scales=[1, 9]), "localization: scales must be from 0.25 to 4"),
        (lambda c: c["localization"].update(scales=["large"]), "is not a list of numbers"),
        (lambda c: c["localization"].update(scales=1.0), "is not a list of numbers"),
        (lambda c: c["localization"].update(flips="yes"), "'yes' is not bool"),
        (lambda c: c["localization"].update(overlap=0), "localization: overlap must be from"),
        (lambda c: c["localization"].update(minimum_score=2), "minimum_score"),
        (lambda c: c["localization"].update(most=3), "key 'most' is now called 'maximum_boxes'"),
        (lambda c: c["localization"].update(least_score=0.3), "key 'least_score' is now called 'minimum_score'"),
        (lambda c: c["outputs"].update(video=True), "outputs: unknown key 'video'"),
        (lambda c: c["outputs"].update(sc="yes"), "outputs: sc: 'yes' is not bool"),
        (lambda c: c["outputs"].update(viewer_geometry=True), "outputs: key 'viewer_geometry' is gone"),
        (lambda c: c["outputs"].update(compression="zip"), "outputs: compression must be one of none, rle, jpeg_ls"),
        (lambda c: c["outputs"].update(compression=True), "outputs: compression: True is not str"),
        (lambda c: c["outputs"].update(copy_descriptions="yes"), "outputs: copy_descriptions: 'yes' is not bool"),
        (lambda c: c["segmentation"].update(prompt="circle"), "segmentation: prompt must be one of box, box_centre"),
        (lambda c: c["segmentation"].update(votes=0), "segmentation: votes must be from 1"),
        (lambda c: c["segmentation"].update(masks="all"), "segmentation: masks must be one of one, best_of_three"),
        (lambda c: c["segmentation"].update(zoom=0), "zoom"),
        (lambda c: c["segmentation"].update(checkpoint="sam_vit_x"), "checkpoint must be one of sam_vit_b"),
        (lambda c: c["segmentation"].update(zoom=0.5), "zoom"),
        (lambda c: c["radiographs"].update(body_parts=[]), "body_parts names no body part"),
        (lambda c: c["radiographs"].update(decoder_memory_mib=64), "decoder_memory_mib must be from 256"),
        (lambda c: c["radiographs"].update(body_parts="x\ny" * 1000), "is not a list of words"),
        (lambda c: c["classification"].update(bundle="../x"), "folder name"),
        (lambda c: c["classification"].update(bundle=["msk_a", "../x"]), "folder name"),
        (lambda c: c["classification"].update(bundle=["msk_a", "msk_b", "msk_a"]), "names a classifier twice"),
        (lambda c: c["classification"].update(bundle=[]), "names no classifier"),
        (lambda c: c["classification"].update(bundle=""), "folder name"),
        (lambda c: c["classification"].update(bundle=[""]), "folder name"),
        (lambda c: c["classification"].update(bundle=None), "classification: bundle: None is not"),
        (lambda c: c["classification"].update(bundle=3), "classification: bundle: 3 is not"),
        (lambda c: c["classification"].update(bundle=["msk_a", 3]), "not a list of words"),
        (lambda c: c["localization"].update(threshold=[0.5]), "localization: threshold: [0.5] is not float"),
        (lambda c: c.update(report=[]), "report: not a mapping"),
        (lambda c: c.update(models=None), "models: not a mapping"),
        (lambda c: c.update(models={}), "models: key 'trusted' is missing"),
        (lambda c: c["models"].update(trusted=["msk_a"]), "models: trusted: ['msk_a'] is not a mapping of words"),
        (lambda c: c["models"].update(trusted={"msk_a": 3}), "is not a mapping of words"),
        (lambda c: c["models"].update(trusted={"msk_a": "abc"}), "64 hexadecimal digits"),
        (lambda c: c["classification"].update(bundle="a\\b"), "folder name"),
        (lambda c: c["resources"].update(memory="lots"), "resources: memory: 'lots' is no quantity of memory"),
        (lambda c: c["resources"].update(memory=0), "resources: memory: 0 is no quantity"),
        (lambda c: c["resources"].update(memory=True), "resources: memory: True is no quantity"),
        (lambda c: c["resources"].update(cpu="two"), "resources: cpu: 'two' is no whole number"),
        (lambda c: c["resources"].update(disk=3), "resources: unknown key 'disk'; known are cpu, gpu, memory"),
        (lambda c: c.update(resources=["cpu"]), "resources: not a mapping"),
        (lambda c: c["application"].update(title=""), "application: title: '' is no text"),
        (lambda c: c["application"].update({"input-formats": "dicom"}), "'dicom' is no list of words"),
        (lambda c: c["classification"].update(bundle=".."), "folder name"),
    ],
)
def test_a_mistake_is_named(configured, change, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        configured(change)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("  memory: 6Gi", "  memory: lots", "memory: "),
        ("  smallest_side: 64", "  smallest_side: -64", "smallest_side: "),
        ("  bundle: msk_sam", "  bundle: ../msk_sam", None),
        ("  threshold: null", "  threshold: high", "threshold: "),
        ("  pictures: 200", "  picture: 200", "picture: "),
        ("report:", "reports:", "reports:"),
        ("  pdf: false", "  pdf: false: true", "pdf: false:"),
        ("  pdf: false", "  pdf: [false", None),
        ("  pdf: false", "  pdf: \x07", "\x07"),
        ("  pdf: false", "  pdf: false\n  pdf: false", None),
    ],
)
def test_a_mistake_is_told_with_line_and_column(tmp_path, old, new, place):
    text = (ROOT / "app.yaml").read_text().replace(old, new, 1)
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(SettingsError) as ended:
        read_settings(tmp_path / "app.yaml")
    told = re.search(r"line (\d+), column (\d+)", str(ended.value))
    if place is None:
        assert told or "folder name" in str(ended.value)
        return
    line, column = int(told[1]), int(told[2])
    assert place.split(":")[0] in text.splitlines()[line - 1][column - 1 :] or "mapping values" in str(ended.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("6Gi", 6 * 2**30), ("512Mi", 2**29), ("2GB", 2 * 10**9), (1024, 1024), ("1.5Ki", 1536)]
)
def test_quantities_of_memory_are_read_as_packages_name_them(text, expected):
    assert quantity(text) == expected


NUMBERS = [
    (section, key)
    for section, values in SHIPPED.items()
    if section not in ("application", "resources")
    for key, value in values.items()
    if (isinstance(value, int | float) and not isinstance(value, bool)) or key in ("threshold", "expansion", "stages")
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1, 10**30, 1e300], ids=str)
@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_a_number_that_is_none_or_out_of_all_proportion_is_refused_in_one_line(configured, section, key, value):
    with pytest.raises(SettingsError, match=f"{section}: {key}") as ended:
        configured(lambda content: content[section].update({key: value}))
    assert "\n" not in str(ended.value)
    assert len(str(ended.value)) < 500


@pytest.mark.parametrize(
    ("old", "new"),
    [("  patient_data: false", "  patient_data: false\n  patient_data: true"), ("report:", "report: {}\nreport:")],
)
def test_a_key_that_stands_twice_is_refused(tmp_path, old, new):
    """YAML takes the last: what a reader sees first would not count."""
    (tmp_path / "app.yaml").write_text((ROOT / "app.yaml").read_text().replace(old, new))
    with pytest.raises(SettingsError, match="stands twice") as ended:
        read_settings(tmp_path / "app.yaml")
    assert "line " in str(ended.value)


def test_what_is_left_open_was_fitted_and_what_is_said_counts(configured):
    fitted = {"threshold": 0.3, "expansion": 0.1, "boxes": "peaks", "flips": True, "stages": ["layer3"]}
    bundle = tiny_bundle(torch.nn.Identity(), None, localization=fitted)
    assert map_rule(read_settings(), bundle) == MapRule(flips=True)
    assert box_rule(read_settings(), bundle) == BoxRule("peaks", 0.3, 0.1)
    chosen = {"flips": False, "map": "layer_cam", "stages": 2, "scales": [0.5, 1], "threshold": 0.6, "maximum_boxes": 1}
    settings = configured(lambda content: content["localization"].update(chosen))
    assert map_rule(settings, bundle) == MapRule("layer_cam", 2, False, (0.5, 1))
    assert box_rule(settings, bundle) == BoxRule("peaks", 0.6, 0.1, 1)
    with pytest.raises(SettingsError, match="3 asked for, bundle tiny names 2"):
        map_rule(configured(lambda content: content["localization"].update(stages=3)), bundle)


@pytest.mark.parametrize(
    "content", ["- a list", "a: [", "\x00", "[" * 5000, "", "a: 1\n---\nb: 2", "a: !!python/name:os.system"]
)
def test_what_is_no_configuration_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "app.yaml").write_text(content)
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "app.yaml"))
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path))):
        read_settings()


def test_a_missing_file_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsError, match=CONFIG_VARIABLE):
        read_settings()
