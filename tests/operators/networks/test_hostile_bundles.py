"""A bundle is data: whatever stands in it, and in checksums that were renewed beside it, nothing of it is executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from operators.networks.configuration import read_config
from operators.networks.fitted import check_description, parse_fitted
from operators.networks.loading import load_bundle, load_classifier
from operators.networks.verification import CHECKSUMS, LARGE_FILES
from operators.networks.weights import WEIGHTS, sha256
from operators.records.errors import BundleError
from operators.records.states import State
from training.fitting.operating_points import candidates
from training.learning.bundle_weights import write_checksums

INFERENCE, METADATA = "configs/inference.json", "configs/metadata.json"
TIMM = {"_target_": "timm.create_model", "model_name": "resnet18"}


class Opener:
    """An object whose pickle opens a file for writing when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.fixture
def cnn(tmp_path, bundles) -> Path:
    return Path(shutil.copytree(bundles / "msk_cnn", tmp_path / "msk_cnn"))


@pytest.fixture
def sam(tmp_path, bundles) -> Path:
    ignore = shutil.ignore_patterns("*.pt", "*.pth")
    return Path(shutil.copytree(bundles / "msk_sam", tmp_path / "msk_sam", ignore=ignore))


def change(bundle: Path, file: str, **entries: Any) -> None:
    """Change entries of a JSON file and renew the checksums, as whoever can write into the folder would."""
    content = json.loads((bundle / file).read_text("utf-8")) | entries
    (bundle / file).write_text(json.dumps(content), "utf-8")
    write_checksums(bundle)


def refused(bundle: Path, words: str = "", load: Any = load_classifier, **options: Any) -> str:
    """Load what must be refused, in one short line that names the bundle; return it."""
    with pytest.raises(BundleError, match=words or None) as ended:
        load(bundle, **options)
    text = str(ended.value)
    assert bundle.name in text
    assert "\n" not in text
    assert len(text) < 500
    return text


CALLS = {
    "a function of the system": {"_target_": "os.system", "command": "touch {mark}"},
    "eval": {"_target_": "builtins.eval", "source": "open('{mark}', 'w')"},
    "exec": {"_target_": "builtins.exec", "source": "open('{mark}', 'w')"},
    "a process": {"_target_": "subprocess.run", "args": ["touch", "{mark}"]},
    "pathlib": {"_target_": "pathlib.Path.touch", "self": "{mark}"},
    "pickle": {"_target_": "torch.load", "f": "{pickle}", "weights_only": False},
    "hub": {"_target_": "torch.hub.load", "repo_or_dir": "{mark}", "model": "x", "source": "local"},
    "another loader of ours": {"_target_": "operators.networks.load_bundle", "bundle_root": "{mark}"},
    "a module of ours": {"_target_": "operators.networks.loading.pickle.loads", "data": ""},
    "MONAI's loader": {"_target_": "LoadImage", "image_only": True},
    "MONAI's function": {"_target_": "Lambda", "func": "$print"},
    "MONAI's own": {"_target_": "monai.bundle.run", "config_file": "{mark}"},
    "an expression": "$__import__('pathlib').Path('{mark}').touch()",
    "an expression within": [1, {"key": "$__import__('pathlib').Path('{mark}').touch()"}],
    "an import": "$import os",
    "a macro": "%{mark}::key",
    "a reference to an expression": "@evil",
    "a reference into an entry": "@geometry#transforms#0",
    "a reference to itself": "@network_def",
    "nothing there": "@nowhere",
    "debug": {"_target_": "operators.networks.SmallCnn", "_mode_": "debug"},
    "callable": {"_target_": "operators.networks.SmallCnn", "_mode_": "callable"},
    "requires": {"_target_": "operators.networks.SmallCnn", "_requires_": ["@evil"]},
    "disabled": {"_target_": "operators.networks.SmallCnn", "_disabled_": True},
    "no name": {"_target_": ["os.system"]},
    "a name of length": {"_target_": "a\nb" * 10_000},
    "weights of others": TIMM | {"pretrained": True},
    "weights by address": TIMM | {"model_name": "hf-hub:someone/model"},
    "weights by folder": TIMM | {"model_name": "local-dir:{mark}"},
    "weights by file": TIMM | {"checkpoint_path": "{pickle}"},
    "weights by configuration": TIMM | {"pretrained_cfg": {"file": "{pickle}"}},
    "weights by reference": TIMM | {"checkpoint_path": "@path"},
    "SAM's weights": {"_target_": "segment_anything.build_sam_vit_b", "checkpoint": "{pickle}"},
    "an argument too many": {"_target_": "operators.networks.SmallCnn", "colour": "red"},
    "no network": {"_target_": "Identity"},
    "a number": 3,
    "null": None,
}


@pytest.mark.parametrize(
    ("attack", "place"),
    [
        (attack, place)
        for attack in CALLS
        for place in ("network_def", "preprocessing", "transforms")
        if place == "network_def" or attack != "no network"  # a transform
    ],
)
def test_nothing_that_a_configuration_names_is_called(cnn, tmp_path, attack, place):
    mark, stored = tmp_path / "mark", tmp_path / "stored.pth"
    stored.write_bytes(pickle.dumps(Opener(mark)))
    filled = json.dumps(CALLS[attack]).replace("{mark}", str(mark)).replace("{pickle}", str(stored))
    evil: Any = json.loads(filled)
    if place == "transforms":
        evil = {"_target_": "Compose", "transforms": [{"_target_": "Identity"}, evil]}
    key = "network_def" if place == "network_def" else "preprocessing"
    more = {"evil": f"$open('{mark}', 'w')", "path": str(stored), "imports": [f"$open('{mark}', 'w')", "$import os"]}
    change(cnn, INFERENCE, **more, **{key: evil})
    refused(cnn)
    assert not mark.exists()


def test_what_is_not_taken_is_not_looked_at(cnn, tmp_path):
    mark = tmp_path / "mark"
    more = {name: f"$open('{mark}', 'w')" for name in ("evil", "run", "initialize", "device")}
    change(cnn, INFERENCE, **more, imports=[f"$open('{mark}', 'w')", "$import nowhere"])
    load_classifier(cnn)
    assert not mark.exists()


def test_an_expression_s_error_has_the_remedy(sam):
    network = json.loads((sam / INFERENCE).read_text())["network_def"]
    change(sam, INFERENCE, network_def=network | {"embedding_size": "$@image_size // 8"})  # as 0.1 and 0.2 had it
    text = refused(sam, load=load_bundle)
    for word in ("network_def.embedding_size", "'$@image_size // 8'", "write its value", "training.export"):
        assert word in text


@pytest.mark.parametrize(
    "content", ["[]", "null", "3", '"text"', "{", "\xff", "[" * 100_000, '{"network_def": NaN}', ""], ids=ascii
)
@pytest.mark.parametrize("file", [INFERENCE, METADATA])
def test_what_is_no_json_object_is_refused(cnn, file, content):
    (cnn / file).write_bytes(content.encode("latin-1"))
    write_checksums(cnn)
    refused(cnn, file)


def test_an_overlay_is_whole_and_listed(sam):
    overlay = sam / "configs" / "mobile_sam.json"
    overlay.write_text('{"geometry#transforms#1#spatial_size": 64}')
    refused(sam, "mobile_sam.json", load_bundle, checkpoint="mobile_sam")
    write_checksums(sam)
    refused(sam, "a part of an entry", load_bundle, checkpoint="mobile_sam")
    lines = (sam / CHECKSUMS).read_text().splitlines(keepends=True)
    (sam / CHECKSUMS).write_text("".join(line for line in lines if "mobile_sam" not in line))
    refused(sam, "mobile_sam.json is not as SHA256SUMS lists it", load_bundle, checkpoint="mobile_sam")


def test_the_list_of_large_files_is_listed_itself(sam):
    listing = yaml.safe_load((sam / LARGE_FILES).read_text())
    (entry,) = [item for item in listing["large_files"] if "mobile_sam" in item["path"]]
    torch.save({}, sam / entry["path"])
    entry["hash_val"] = sha256(sam / entry["path"])
    (sam / LARGE_FILES).write_text(yaml.safe_dump(listing))
    refused(sam, LARGE_FILES, load_bundle, checkpoint="mobile_sam")


@pytest.mark.parametrize("content", ["", "- 3", "large_files: 3", "large_files: [{}]", "a: [", "large_files: [[]]"])
def test_a_damaged_list_of_large_files_is_named(sam, content):
    (sam / LARGE_FILES).write_text(content)
    write_checksums(sam)
    refused(sam, LARGE_FILES, load_bundle, checkpoint="mobile_sam")


@pytest.mark.parametrize("path", ["../stored.pth", "{folder}/stored.pth", "models/link.pth"])
def test_a_checkpoint_lies_in_its_bundle(sam, tmp_path, path):
    torch.save({}, tmp_path / "stored.pth")
    (sam / "models" / "link.pth").symlink_to(tmp_path / "stored.pth")
    entry = {"path": path.replace("{folder}", str(tmp_path)), "hash_val": sha256(tmp_path / "stored.pth")}
    shutil.copy(sam / "configs" / "mobile_sam.json", sam / "configs" / f"{Path(path).stem}.json")
    (sam / LARGE_FILES).write_text(yaml.safe_dump({"large_files": [entry]}))
    write_checksums(sam)
    refused(sam, "is a link or lies outside", load_bundle, checkpoint=Path(path).stem)


@pytest.mark.parametrize("name", ["models/mobile_sam.pt", WEIGHTS])
def test_weights_that_are_code_are_not_run(sam, tmp_path, name):
    mark = tmp_path / "mark"
    (sam / name).write_bytes(pickle.dumps(Opener(mark)))
    listing = yaml.safe_load((sam / LARGE_FILES).read_text())
    (entry,) = [item for item in listing["large_files"] if "mobile_sam" in item["path"]]
    entry["hash_val"] = sha256(sam / name)
    (sam / LARGE_FILES).write_text(yaml.safe_dump(listing))
    write_checksums(sam)
    refused(sam, "cannot be used", load_bundle, checkpoint="mobile_sam" if name != WEIGHTS else None)
    assert not mark.exists()


@pytest.mark.parametrize("stored", [[1, 2], {"a": 3}, {"a": "text"}])
def test_a_checkpoint_holds_tensors_alone(sam, stored):
    torch.save(stored, sam / "models" / "mobile_sam.pt")
    listing = yaml.safe_load((sam / LARGE_FILES).read_text())
    (entry,) = [item for item in listing["large_files"] if "mobile_sam" in item["path"]]
    entry["hash_val"] = sha256(sam / "models" / "mobile_sam.pt")
    (sam / LARGE_FILES).write_text(yaml.safe_dump(listing))
    write_checksums(sam)
    refused(sam, "no dictionary of tensors", load_bundle, checkpoint="mobile_sam")


@pytest.mark.parametrize("name", [WEIGHTS, INFERENCE, METADATA, CHECKSUMS])
def test_a_file_that_is_a_link_is_refused(cnn, tmp_path, name):
    shutil.move(cnn / name, tmp_path / "elsewhere")
    (cnn / name).symlink_to(tmp_path / "elsewhere")
    refused(cnn, "is a link or lies outside")


def test_a_folder_that_is_a_link_is_refused_and_a_bundle_that_is_one_is_not(cnn, tmp_path):
    (tmp_path / "link").symlink_to(cnn)
    load_classifier(tmp_path / "link")
    shutil.move(cnn / "models", tmp_path / "elsewhere")
    (cnn / "models").symlink_to(tmp_path / "elsewhere")
    refused(cnn, "is a link or lies outside")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "models/../../secret", "a\0b", "configs/../configs/x"])
def test_a_listed_file_lies_in_its_bundle(cnn, tmp_path, name):
    (tmp_path / "secret").write_text("x")
    with (cnn / CHECKSUMS).open("a") as listing:
        listing.write(f"{'0' * 64}  {name}\n")
    refused(cnn, "lies outside|is missing")


@pytest.mark.parametrize("line", ["", "abc", f"{'0' * 63}  x", f"{'A' * 64}  x", f"{'0' * 64} x"])
def test_damaged_checksums_are_refused(cnn, line):
    with (cnn / CHECKSUMS).open("a") as listing:
        listing.write(f"{line}\nabc\n")
    refused(cnn, CHECKSUMS)


def test_a_pipe_is_no_file(cnn):
    (cnn / WEIGHTS).unlink()
    os.mkfifo(cnn / WEIGHTS)
    refused(cnn, "is missing")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_are_finite_numbers(cnn, value):
    weights = load_file(cnn / WEIGHTS)
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point() and tensor.ndim > 1)
    weights[name].view(-1)[7] = value
    save_file(weights, cnn / WEIGHTS)
    write_checksums(cnn)
    assert name in refused(cnn, "no finite numbers")


NUMBERS = (
    *(f"operating_points.{level}.{point}" for level in ("image", "study") for point in ("rule_out", "rule_in")),
    *("operating_points.temperature", "operating_points.bias", "localization.threshold", "localization.expansion"),
    "localization.least_score",
)
NO_NUMBERS = ["0.5", None, [], {}, True, [0.5], 1e300, -1e300, 10**400, float("inf")]
SECTIONS = ("operating_points", "localization", "operating_points.image", "operating_points.study")
OTHERS = {
    "localization.map": [3, None, "heat", ["cam"], {}],
    "localization.boxes": [3, None, "round", ["peaks"]],
    "localization.cut": [3, None, "sharp"],
    "localization.stages": [3, None, "layer3", [3], [None], {"a": 1}],
    "localization.stages_used": [0, -1, 1.5, "2", None, True, 99],
    "localization.flips": ["yes", 1, None, []],
    "localization.scales": ["1", 1.0, None, ["1"], [True], [0], [-1], [1e9]],
    "version": [3, None, "", " ", [], {}, "1\n2", "1\\2", "é", "1" * 33, 0.1],
    "limits": [3, None, "text", [3], [None], [""], {}, ["x" * 1001]],
}
WRONG = [
    *((name, value) for name in NUMBERS for value in NO_NUMBERS),
    *((name, value) for name in SECTIONS for value in (3, None, "text", [])),
    *((name, value) for name, values in OTHERS.items() for value in values),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: ascii(value)[:30])
def test_metadata_of_another_kind_are_refused(bundles, name, value):
    metadata = json.loads((bundles / "msk_cnn" / METADATA).read_text("utf-8"))
    _set(metadata, name, value)
    with pytest.raises(BundleError, match="bundle msk_cnn") as ended:
        check_description("msk_cnn", metadata)
        parse_fitted("msk_cnn", metadata)
    text = str(ended.value)
    assert "\n" not in text
    assert len(text) < 500
    assert name.split(".")[-1].removesuffix("_used") in text or name.split(".")[0] in text or "no map" in text


@pytest.mark.parametrize(
    ("name", "value"), [("localization.stages", ["nowhere"]), ("limits", []), ("version", 3), ("operating_points", 3)]
)
def test_metadata_are_checked_when_a_bundle_is_loaded(cnn, name, value):
    metadata = json.loads((cnn / METADATA).read_text("utf-8"))
    _set(metadata, name, value)
    change(cnn, METADATA, **metadata)
    assert name in refused(cnn, r"metadata\.json")


@pytest.mark.parametrize("name", [name for name in NUMBERS if "bias" not in name and "least" not in name])
def test_a_number_that_lacks_is_named(bundles, name):
    metadata = json.loads((bundles / "msk_cnn" / METADATA).read_text("utf-8"))
    _set(metadata, name, ...)
    with pytest.raises(BundleError, match="training.fit") as ended:
        parse_fitted("msk_cnn", metadata)
    assert name in str(ended.value)


def test_a_threshold_that_no_probability_reaches_is_no_mistake(bundles):
    metadata = json.loads((bundles / "msk_cnn" / METADATA).read_text("utf-8"))
    *_, last = candidates(np.array([0.5, 1.0]))
    metadata["operating_points"]["image"] = {"rule_out": 0.2, "rule_in": float(last)}
    assert parse_fitted("msk_cnn", metadata).image_points.state(1.0) == State.DOUBT


@pytest.mark.parametrize("level", ["image", "study"])
def test_ruling_out_comes_before_ruling_in(bundles, level):
    metadata = json.loads((bundles / "msk_cnn" / METADATA).read_text("utf-8"))
    metadata["operating_points"][level] = {"rule_out": 0.8, "rule_in": 0.2}
    with pytest.raises(BundleError, match=f"{level}.rule_out is above rule_in"):
        parse_fitted("msk_cnn", metadata)


def _set(metadata: dict[str, Any], name: str, value: Any) -> None:
    """Set a value of the metadata, or with ``...`` remove it."""
    section, keys = metadata, name.split(".")
    for key in keys[:-1]:
        section = section.setdefault(key, {})
    section[keys[-1]] = value
    if value is ...:
        del section[keys[-1]]


def test_only_trusted_bundles_are_loaded(cnn):
    trusted = {"msk_cnn": sha256(cnn / CHECKSUMS)}
    load_classifier(cnn, trusted)
    refused(cnn, "none of those that app.yaml trusts", trusted={})
    change(cnn, METADATA, version="9.9.9")
    load_classifier(cnn)
    refused(cnn, "is not the one that app.yaml trusts", trusted=trusted)


def test_training_reads_a_configuration_by_the_same_rules(cnn, tmp_path):
    change(cnn, INFERENCE, network_def=f"$open('{tmp_path / 'mark'}', 'w')")
    with pytest.raises(BundleError, match="is an expression"):
        read_config(cnn).get_parsed_content("network_def")
    assert not (tmp_path / "mark").exists()
