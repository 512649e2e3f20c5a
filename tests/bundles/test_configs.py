"""The bundles as MONAI sees them: complete, consistent, and what their metadata say."""

from __future__ import annotations

import json
import pydoc
import shutil
from pathlib import Path

import monai.bundle
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from jsonschema import validate
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

from operators.networks.configuration import read_config
from operators.networks.loading import load_bundle, load_classifier
from tests.bundles.metadata_schema import SCHEMA
from training.export import main as export
from training.learning.losses import MapGuidedLoss
from training.phantoms import main as write_phantoms

ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())
GUIDED = ["msk_densenet169", "msk_efficientnet_b3", "msk_resnet50"]
CLASSIFIERS = ["msk_cnn", "msk_densenet169", "msk_efficientnet_b3", "msk_random_baseline", "msk_resnet50"]
REQUIRED_FILES = (
    "LICENSE",
    "SHA256SUMS",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/train.json",
    "docs/README.md",
    "docs/data_license.txt",
    "models/model.safetensors",
)
LARGEST = 25_000_000  # bytes of a weights file in git


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_complete(name):
    root = ROOT / "bundles" / name
    assert [file for file in REQUIRED_FILES if not (root / file).is_file()] == []
    metadata = json.loads((root / "configs" / "metadata.json").read_text("utf-8"))
    assert metadata["version"] in metadata["changelog"]
    assert metadata["limits"]
    assert not list(root.rglob("*.py"))
    assert (root / "models" / "model.safetensors").stat().st_size <= LARGEST


@pytest.mark.parametrize("name", BUNDLES)
def test_metadata_pass_monai_s_own_check_with_the_required_part_of_its_schema(name, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA), "utf-8")  # what is there is not downloaded
    verify_metadata(meta_file=str(ROOT / "bundles" / name / "configs" / "metadata.json"), filepath=str(schema))
    with pytest.raises(Exception, match="required"):
        validate({}, SCHEMA)


@pytest.mark.parametrize("name", BUNDLES)
def test_every_target_can_be_imported(name):
    locator = ConfigParser().locator
    for path in (ROOT / "bundles" / name / "configs").glob("*.json"):
        for target in targets(json.loads(path.read_text("utf-8"))):
            found = pydoc.locate(target) if "." in target else locator.get_component_module_name(target)
            assert found is not None, target


@pytest.mark.parametrize("name", BUNDLES)
def test_what_the_application_reads_names_no_training(name):
    for path in (ROOT / "bundles" / name / "configs").glob("*.json"):
        if not path.name.startswith(("train", "evaluate", "multi_gpu")):
            assert "training." not in path.read_text("utf-8"), path.name


def targets(config):
    if isinstance(config, dict):
        if "_target_" in config:
            yield config["_target_"]
        for value in config.values():
            yield from targets(value)
    elif isinstance(config, list):
        for value in config:
            yield from targets(value)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_takes_and_gives_what_its_metadata_say(name):
    root = ROOT / "bundles" / name / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(root / "metadata.json"),
        config_file=str(root / "inference.json"),
        device="cpu",
        n=4,
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_preprocessing_makes_what_the_metadata_say(name):
    picture = np.random.default_rng(0).random((300, 211)).astype(np.float32)
    bundle = load_classifier(ROOT / "bundles" / name)
    image = bundle.preprocess(picture)
    parsed = read_config(ROOT / "bundles" / name).get_parsed_content("preprocessing")
    assert np.array_equal(np.asarray(image), np.asarray(parsed(picture)))
    expected = bundle.metadata["network_data_format"]["inputs"]["image"]
    assert image.shape[0] == expected["num_channels"]
    for side, wanted in zip(image.shape[1:], expected["spatial_shape"], strict=True):
        assert side % 32 == 0 if isinstance(wanted, str) else side == wanted
    low, high = expected["value_range"]
    assert low <= float(image.min())
    assert float(image.max()) <= high


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_operating_points_are_fitted(name):
    points = load_classifier(ROOT / "bundles" / name).metadata["operating_points"]
    for level in ("image", "study"):
        assert 0 < points[level]["rule_out"] <= points[level]["rule_in"] < 1
    assert points["temperature"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_torchscript_and_onnx_compute_the_same(name, tmp_path):
    files = ["--torchscript", str(tmp_path / "network.ts"), "--onnx", str(tmp_path / "network.onnx")]
    listing = (ROOT / "bundles" / name / "SHA256SUMS").read_bytes()
    assert export([str(ROOT / "bundles" / name), *files]) == 0
    assert (ROOT / "bundles" / name / "SHA256SUMS").read_bytes() == listing
    bundle = load_bundle(ROOT / "bundles" / name)
    script = torch.jit.load(str(tmp_path / "network.ts"))
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for shape in ((200, 333), (160, 90)):
        image = bundle.preprocess(random.random(shape).astype(np.float32))[None].as_subclass(torch.Tensor)
        with torch.inference_mode():
            expected = bundle.network(image).numpy()
            assert script(image).numpy() == pytest.approx(expected, abs=1e-4)
        assert session.run(None, {"image": image.numpy()})[0] == pytest.approx(expected, abs=1e-4)


def test_large_files_name_their_hash():
    listing = yaml.safe_load((ROOT / "bundles" / "msk_sam" / "large_files.yml").read_text("utf-8"))["large_files"]
    assert len(listing) == 4
    assert all(len(entry["hash_val"]) == 64 and entry["hash_type"] == "sha256" for entry in listing)


def config(name, *configs, **settings):
    parser = ConfigParser()
    parser.read_config([str(ROOT / "bundles" / name / "configs" / f"{config}.json") for config in configs])
    parser.update({"bundle_root": str(ROOT / "bundles" / name), **settings})
    return parser


@pytest.mark.parametrize("name", GUIDED)
def test_the_map_s_weights_are_settings(name):
    losses = [
        config(name, "train", **settings).get_parsed_content("train#loss")
        for settings in ({}, {"map_weight": 0.0, "pointing_weight": 0.25})
    ]
    weights = [(loss.map_weight, loss.pointing_weight) for loss in (*losses, MapGuidedLoss())]
    assert weights == [(1.0, 0.0), (0.0, 0.25), (1.0, 0.0)]


@pytest.mark.parametrize("name", [*GUIDED, "msk_cnn"])
def test_parts_of_a_classifier_can_be_frozen(name):
    part = "classifier" if name != "msk_cnn" else "features"
    settings = {"device": "cpu", "frozen": [part]}
    network = config(name, "train", **settings).get_parsed_content("network")
    kept = {name.split(".")[0] for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert kept == {part}
    with pytest.raises(RuntimeError) as caught:
        config(name, "train", **settings | {"frozen": ["absent"]}).get_parsed_content("network")
    assert "--frozen absent" in str(caught.value.__cause__)


def test_the_second_stage_adds_pointing_to_the_first():
    loss = config("msk_resnet50", "train", "train_localization").get_parsed_content("train#loss")
    assert (loss.map_weight, loss.pointing_weight) == (1.0, 0.5)


@pytest.mark.parametrize("checkpoint", ["sam_vit_b", "sam_vit_l", "sam_vit_h", "mobile_sam"])
def test_fine_tuning_takes_the_published_model_s_own_size(checkpoint):
    parser = config("msk_sam", "train", "train_decoder", checkpoint=checkpoint)
    assert parser.get_parsed_content("image_size") == 1024
    assert parser.get_parsed_content("frozen") == ["image_encoder", "prompt_encoder"]
    assert checkpoint in parser.get_parsed_content("output_dir")


@pytest.fixture
def small_sam(tmp_path):
    """The bundle with one more configuration, ``small``, as small as it gets; its weights, its data."""
    root = tmp_path / "msk_sam"
    shutil.copytree(ROOT / "bundles" / "msk_sam" / "configs", root / "configs")
    inference = json.loads((root / "configs" / "inference.json").read_text("utf-8"))
    network = inference["network_def"] | {"embed_dim": 32, "mlp_dim": 32, "embedding_size": 8}
    network["image_encoder"]["encoder"]["model_name"] = "mobilenetv2_035"
    network["image_encoder"]["embed_dim"] = 32
    (root / "configs" / "small.json").write_text(json.dumps({"image_size": 64, "network_def": network}), "utf-8")
    torch.manual_seed(0)
    weights = read_config(root, "small").get_parsed_content("network_def").state_dict()
    torch.save(weights, tmp_path / "published.pth")
    assert write_phantoms([str(tmp_path / "data"), "--count", "20", "--seed", "3"]) == 0
    return root, weights


@pytest.mark.slow
def test_fine_tuning_changes_the_mask_decoder_alone(small_sam, tmp_path):
    root, weights = small_sam
    monai.bundle.run(
        config_file=[str(root / "configs" / f"{name}.json") for name in ("train", "train_decoder")],
        bundle_root=str(root),
        checkpoint="small",
        initial_checkpoint=str(tmp_path / "published.pth"),
        dataset_dir=str(tmp_path / "data"),
        output_dir=str(tmp_path / "run"),
        device="cpu",
        amp=False,
        epochs=1,
        batch_size=8,
        learning_rate=0.05,
        validation_interval=1,
        loader_workers=0,
    )
    for file, rounding in (("checkpoint.pt", 0.0), ("best.pt", 1e-6)):  # the second is an average over steps
        state = torch.load(tmp_path / "run" / file, weights_only=True)["network"]
        same = {name: torch.allclose(tensor, weights[name], rounding, rounding) for name, tensor in state.items()}
        assert {name.split(".")[0] for name in same if not same[name]} == {"mask_decoder"}, file
