"""The bundles as those of MONAI's model zoo: its zip, its own checks, and the calls of its tutorials.

What the zoo's CI asks of a bundle (``ci/verify_bundle.py`` of Project-MONAI/model-zoo) is asked of each of ours. It
downloads the schema of the metadata, which no package holds; ``metadata_schema`` has its required part.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import monai
import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

from operators.networks.loading import load_bundle
from tests.bundles.metadata_schema import SCHEMA
from training.export import main as export

ROOT = Path(__file__).resolve().parent.parent.parent
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BUNDLES)
def archive(request, tmp_path_factory) -> Path:
    """The zip of a bundle, as ``training.export --zoo`` writes it."""
    archive = tmp_path_factory.mktemp("zoo") / f"{request.param}.zip"
    assert export([str(ROOT / "bundles" / request.param), "--zoo", str(archive)]) == 0
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    return archive


@pytest.fixture(scope="module")
def downloaded(archive) -> Path:
    """The bundle's folder, after ``monai.bundle.download`` of the zip."""
    folder = archive.parent / "models"
    monai.bundle.download(name=archive.stem, url=archive.as_uri(), bundle_dir=str(folder), progress=False)
    return folder / archive.stem


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shipped(archive) -> torch.nn.Module:
    return load_bundle(ROOT / "bundles" / archive.stem).network


def image_of(bundle: Path) -> torch.Tensor:
    """An input of the network as the metadata describe it."""
    described = json.loads((bundle / "configs" / "metadata.json").read_text("utf-8"))["network_data_format"]
    image = described["inputs"]["image"]
    sides = [side if isinstance(side, int) else 96 for side in image["spatial_shape"]]
    low, high = image["value_range"]
    return low + (high - low) * torch.rand(1, image["num_channels"], *sides, generator=torch.manual_seed(3))


def test_a_downloaded_bundle_gives_the_shipped_network(downloaded, shipped):
    image = image_of(downloaded)
    with torch.no_grad():
        expected = shipped(image)
        for kind in ("train", "inference"):
            network = monai.bundle.load(
                downloaded.name, bundle_dir=str(downloaded.parent), workflow_type=kind, device="cpu"
            )
            assert torch.allclose(network.eval()(image), expected, atol=1e-4), kind
        script, metadata, _ = monai.bundle.load(
            downloaded.name, bundle_dir=str(downloaded.parent), load_ts_module=True, device="cpu"
        )
        assert torch.allclose(script(image), expected, atol=1e-4)
    assert metadata["version"] == load_bundle(downloaded).version


def test_plain_monai_reads_the_weights_into_a_network_of_the_configuration(downloaded, shipped):
    parser = ConfigParser()
    parser.read_config(str(downloaded / "configs" / "inference.json"))
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(downloaded / "models" / "model.pt", weights_only=True))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in shipped.state_dict().items())


def test_a_downloaded_bundle_passes_the_zoo_s_checks_but_for_the_schema_of_which_only_the_required_part_is_here(
    downloaded, tmp_path
):
    configs = downloaded / "configs"
    needed = ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md")
    assert [file for file in needed if not (downloaded / file).is_file()] == []
    metadata = json.loads((configs / "metadata.json").read_text("utf-8"))
    assert metadata["version"] in metadata["changelog"]
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA), "utf-8")  # what is there is not downloaded
    verify_metadata(meta_file=str(configs / "metadata.json"), filepath=str(tmp_path / "schema.json"))
    whole = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    verify_net_in_out("network_def", **whole, device="cpu", bundle_root=str(downloaded))
    monai.bundle.ckpt_export(
        "network_def",
        **whole,
        filepath=str(tmp_path / "verify_model.ts"),
        ckpt_file=str(downloaded / "models" / "model.pt"),
        bundle_root=str(downloaded),
    )
    torch.jit.load(tmp_path / "verify_model.ts")


def test_the_zip_is_the_bundle_and_its_expanded_weights(archive):
    name = archive.stem
    with zipfile.ZipFile(archive) as opened:
        files = {file.removeprefix(f"{name}/") for file in opened.namelist() if not file.endswith("/")}
    own = {str(path.relative_to(ROOT / "bundles" / name)) for path in (ROOT / "bundles" / name).rglob("*.*")}
    own = {file for file in own if not file.endswith((".pt", ".pth", ".ts"))}
    assert own - files == set()
    assert files - own == {"models/model.pt", "models/model.ts", "SHA256SUMS", "LICENSE"}


def test_expanded_weights_that_are_not_the_bundle_s_are_refused(tmp_path):
    """Who trains model.pt must not go on with the old safetensors unnoticed."""
    archive = tmp_path / "random.zip"
    export([str(ROOT / "bundles" / "msk_random_baseline"), "--zoo", str(archive)])
    shutil.unpack_archive(archive, tmp_path)
    torch.save({"other": torch.ones(1)}, tmp_path / "msk_random_baseline" / "models" / "model.pt")
    workflow = monai.bundle.ConfigWorkflow(
        str(tmp_path / "msk_random_baseline" / "configs" / "inference.json"), workflow_type="infer"
    )
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert "model.pt does not match its sha256" in str(caught.value.__cause__)


def test_new_weights_take_the_place_of_expanded_ones(tmp_path):
    shutil.copytree(ROOT / "bundles" / "msk_cnn", tmp_path / "mine")
    weights = load_bundle(tmp_path / "mine").network.state_dict()
    trained = tmp_path / "mine" / "models" / "model.pt"
    trained.with_suffix(".ts").write_bytes(b"of the former weights")
    torch.save({name: tensor + 1 if name.endswith("bias") else tensor for name, tensor in weights.items()}, trained)
    assert export([str(tmp_path / "mine"), str(trained)]) == 0
    assert trained.is_file()
    assert not (tmp_path / "mine" / "models" / "model.ts").exists()
    found = load_bundle(tmp_path / "mine").network.state_dict()
    assert all(torch.equal(found[name], weights[name] + 1) for name in weights if name.endswith("bias"))
    assert export([str(tmp_path / "mine"), str(ROOT / "bundles" / "msk_cnn" / "models" / "model.safetensors")]) == 0
    assert not trained.exists()


def test_a_bundle_that_was_changed_is_not_exported(tmp_path):
    shutil.copytree(ROOT / "bundles" / "msk_random_baseline", tmp_path / "copy")
    with (tmp_path / "copy" / "configs" / "metadata.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(SystemExit, match="does not match its sha256"):
        export([str(tmp_path / "copy"), "--zoo", str(tmp_path / "copy.zip")])
    assert not (tmp_path / "copy.zip").exists()


@pytest.mark.parametrize("name", ["taken.zip", "folder"])
def test_an_archive_is_never_written_over(name, tmp_path):
    (tmp_path / "taken.zip").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"name a new \.zip file"):
        export([str(ROOT / "bundles" / "msk_random_baseline"), "--zoo", str(tmp_path / name)])
