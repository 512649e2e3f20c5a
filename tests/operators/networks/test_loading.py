"""A bundle is verified before it is used: one flipped byte anywhere is an error that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydicom.sr.coding import Code
from safetensors.torch import save_file
from segment_anything import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l

from operators.networks.fitted import parse_fitted
from operators.networks.loading import load_bundle, load_classifier
from operators.networks.sam_networks import build_mobile_sam
from operators.networks.verification import LARGE_FILES, verify
from operators.networks.weights import WEIGHTS, read_weights, sha256
from operators.records.codes import ABNORMALITY
from operators.records.errors import BundleError
from tests.phantoms import stored_phantom
from training.learning.bundle_weights import compress, write_checksums


@pytest.fixture
def copy(tmp_path, bundles) -> Path:
    folder = tmp_path / "msk_sam"
    shutil.copytree(bundles / "msk_sam", folder, ignore=shutil.ignore_patterns("*.pt", "*.pth"))
    return folder


def test_the_embedded_bundles_are_whole(bundles):
    for folder in bundles.iterdir():
        checksums = verify(folder)
        assert set(checksums) >= {WEIGHTS, "configs/metadata.json", "configs/inference.json"}
        assert (folder / WEIGHTS).stat().st_size <= 25_000_000


@pytest.mark.parametrize("name", [WEIGHTS, "configs/metadata.json", "configs/inference.json", "SHA256SUMS"])
def test_one_flipped_byte_is_found(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match="msk_sam"):
        load_bundle(copy)


@pytest.mark.parametrize("name", [WEIGHTS, "configs/metadata.json", "SHA256SUMS"])
def test_a_missing_file_is_found(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match="msk_sam"):
        load_bundle(copy)


def test_a_missing_bundle_says_where_to_look(tmp_path):
    with pytest.raises(BundleError, match="HOLOSCAN_MODEL_PATH"):
        load_bundle(tmp_path / "absent")


@pytest.mark.parametrize("name", ["msk_cnn", "msk_resnet50"])
def test_a_bundle_of_version_0_1_still_loads(tmp_path, bundles, name):
    """Its configuration is that of the release, which names modules that have moved since."""
    folder = shutil.copytree(bundles / name, tmp_path / name)
    shutil.copy(Path(__file__).with_name(f"{name}_0_1_inference.json"), folder / "configs" / "inference.json")
    write_checksums(folder)
    old, new = load_classifier(folder), load_classifier(bundles / name)
    image = new.preprocess(stored_phantom().astype(np.float32) / 65535)
    assert torch.equal(old.preprocess(stored_phantom().astype(np.float32) / 65535), image)
    with torch.inference_mode():
        assert torch.equal(old.network(image[None]), new.network(image[None]))


def with_finding(metadata: dict[str, Any], finding: object) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "finding"} | {"finding": finding}


def test_a_classifier_names_its_finding_as_a_code(bundles):
    metadata = json.loads((bundles / "msk_cnn" / "configs" / "metadata.json").read_text("utf-8"))
    assert parse_fitted("msk_cnn", metadata).finding == Code("72704001", "SCT", "Fracture")
    old = {key: value for key, value in metadata.items() if key != "finding"}
    assert parse_fitted("msk_cnn", old).finding == ABNORMALITY


@pytest.mark.parametrize(
    "finding",
    [
        None,
        "fracture",
        {},
        {"code": "1", "scheme": "SCT"},
        {"code": 72704001, "scheme": "SCT", "meaning": "Fracture"},
        {"code": "1", "scheme": "S" * 17, "meaning": "Fracture"},
        {"code": "1", "scheme": "SCT", "meaning": "Frac\\ture"},
        {"code": "1", "scheme": "SCT", "meaning": "Frac\nture"},
        {"code": "1", "scheme": "SCT", "meaning": " "},
        {"code": "1", "scheme": "SCT", "meaning": "F" * 41},
    ],
)
def test_a_finding_that_is_no_code_is_refused(bundles, finding):
    metadata = json.loads((bundles / "msk_cnn" / "configs" / "metadata.json").read_text("utf-8"))
    with pytest.raises(BundleError, match=r"metadata\.json cannot be used \(finding"):
        parse_fitted("msk_cnn", with_finding(metadata, finding))


def test_weights_of_another_network_are_an_error(copy):
    save_file({"a": torch.zeros(2)}, copy / WEIGHTS)
    write_checksums(copy)
    with pytest.raises(BundleError, match="cannot be used"):
        load_bundle(copy)


def test_int8_storage_is_integer_times_scale(tmp_path):
    torch.manual_seed(0)
    weights = {"conv": torch.randn(8, 4, 3, 3), "bias": torch.randn(8), "dead": torch.zeros(2, 3)}
    save_file(compress(weights, "int8"), tmp_path / "w.safetensors")
    restored = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(restored["bias"], weights["bias"])
    assert torch.equal(restored["dead"], weights["dead"])
    step = weights["conv"].flatten(1).abs().amax(1) / 127
    assert ((restored["conv"] - weights["conv"]).abs().flatten(1).amax(1) <= step / 2 + 1e-7).all()
    save_file(compress(restored, "int8"), tmp_path / "again.safetensors")
    assert torch.allclose(read_weights(tmp_path / "again.safetensors")["conv"], restored["conv"], atol=1e-7)


def test_a_checkpoint_that_was_not_fetched_says_how(copy):
    with pytest.raises(BundleError, match=r"python -m training\.download sam_vit_b"):
        load_bundle(copy, "sam_vit_b")


def test_a_checkpoint_with_another_hash_is_refused(copy):
    torch.save({}, copy / "models" / "mobile_sam.pt")
    with pytest.raises(BundleError, match="sha256"):
        load_bundle(copy, "mobile_sam")


def stand_in(copy: Path, checkpoint: str, network: torch.nn.Module) -> None:
    """Put a randomly initialised state dict where the published one would be."""
    listing = yaml.safe_load((copy / LARGE_FILES).read_text())
    (entry,) = [item for item in listing["large_files"] if Path(item["path"]).name.startswith(checkpoint)]
    torch.save(network.state_dict(), copy / entry["path"])
    entry["hash_val"] = sha256(copy / entry["path"])
    (copy / LARGE_FILES).write_text(yaml.safe_dump(listing))
    write_checksums(copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checkpoint", "build"),
    [
        ("mobile_sam", build_mobile_sam),
        ("sam_vit_b", build_sam_vit_b),
        ("sam_vit_l", build_sam_vit_l),
        ("sam_vit_h", build_sam_vit_h),
    ],
)
def test_published_checkpoints_load_through_the_bundle(copy, checkpoint, build):
    published = build()
    stand_in(copy, checkpoint, published)
    bundle = load_bundle(copy, checkpoint)
    assert bundle.network.image_encoder.img_size == 1024
    name, tensor = next(iter(published.mask_decoder.state_dict().items()))
    assert torch.equal(bundle.network.mask_decoder.state_dict()[name], tensor)
    assert bundle.preprocess(torch.zeros(300, 200).numpy()).shape == (3, 1024, 683)
