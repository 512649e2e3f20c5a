"""The weights of a bundle, int8 or fp16 safetensors, the checksums of its files, and its zip for plain MONAI."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from monai.bundle import ckpt_export
from safetensors.torch import save_file
from torch import Tensor

from operators.networks.configuration import read_config
from operators.networks.loading import load_bundle
from operators.networks.verification import CHECKSUMS, LARGE_FILES
from operators.networks.weights import SCALE, WEIGHTS, read_weights, sha256
from training.datasets.errors import InputError
from training.learning.checkpoints import load_weights, read_network

PYTORCH_WEIGHTS = "models/model.pt"  # what MONAI itself loads; bundles of --zoo alone have the two
TORCHSCRIPT = "models/model.ts"
LISTED = (WEIGHTS, PYTORCH_WEIGHTS, TORCHSCRIPT, LARGE_FILES, "configs/inference.json", "configs/metadata.json")
NOT_LISTED = ("train", "evaluate", "multi_gpu")  # they change how a bundle is made, not what it computes


def compress(weights: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Return weights as they are stored.

    ``fp16`` halves matrices and convolutions, ``int8`` stores them as int8 with one float32 scale per output channel,
    so that value = integer x scale exactly. The rest, small and of a wide range (variances), stays float32.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            stored[name] = tensor.contiguous()
        elif tensor.ndim < 2:
            stored[name] = tensor.float().contiguous()
        elif storage == "fp16":
            stored[name] = tensor.half().contiguous()
        else:
            flat = tensor.float().flatten(1)
            scale = (flat.abs().amax(dim=1) / 127).clamp_min(1e-12)
            stored[name] = (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape).contiguous()
            stored[name + SCALE] = scale
    return stored


def write_weights(bundle_root: Path, checkpoints: Sequence[Path], storage: str, key: str) -> None:
    """Write a checkpoint's network, or the mean of several, as the bundle's weights; expanded former ones are removed.

    Raises
    ------
    InputError
        If a checkpoint is of another network.

    Notes
    -----
    The mean of a network before and after it was trained on with another recipe: Wortsman et al., CVPR 2022 (WiSE-FT).
    """
    weights = mean_weights([read_network(checkpoint, key) for checkpoint in checkpoints])
    network = read_config(bundle_root).get_parsed_content("network_def")
    load_weights(network, weights, checkpoints[0])
    weights = {
        name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    (bundle_root / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    for former in (bundle_root / PYTORCH_WEIGHTS, bundle_root / TORCHSCRIPT):
        if former.resolve() not in [checkpoint.resolve() for checkpoint in checkpoints]:
            former.unlink(missing_ok=True)
    save_file(compress(weights, storage), bundle_root / WEIGHTS)
    restored = read_weights(bundle_root / WEIGHTS)
    worst = max(float((restored[name] - tensor).abs().max()) for name, tensor in weights.items())
    size = (bundle_root / WEIGHTS).stat().st_size
    sys.stdout.write(f"{bundle_root / WEIGHTS}: {size / 1e6:.1f} MB, largest change of a weight {worst:.2g}\n")


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of networks' weights; counters are the first's. Raise InputError if their tensors differ."""
    first = states[0]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise InputError("the checkpoints are of different networks; give checkpoints of one")
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def require_bundle(bundle_root: Path) -> None:
    """Raise InputError unless a folder is a bundle."""
    if not (bundle_root / "configs" / "metadata.json").is_file():
        raise InputError(f"{bundle_root}: no bundle; give one of bundles/, or one that training.export has made")


def write_checksums(bundle_root: Path) -> None:
    """Write SHA256SUMS of every file that changes what the bundle computes."""
    configs = (path.name for path in (bundle_root / "configs").glob("*.json") if not path.name.startswith(NOT_LISTED))
    names = sorted({*LISTED, *(f"configs/{name}" for name in configs)})
    lines = [f"{sha256(bundle_root / name)}  {name}\n" for name in names if (bundle_root / name).is_file()]
    (bundle_root / CHECKSUMS).write_text("".join(lines), "utf-8")


def write_zoo_archive(bundle_root: Path, archive: Path) -> None:
    """Write a verified bundle as ``<its name>/...`` into a zip.

    Beside the bundle's files it holds ``models/model.pt``, the state dictionary as float32, and ``models/model.ts``,
    which MONAI's own ``ckpt_export`` makes of it, with metadata and configuration. ``SHA256SUMS`` lists both.

    Raises
    ------
    InputError
        If the archive exists or is no zip.
    BundleError
        If the bundle cannot be used.
    """
    if archive.suffix != ".zip" or archive.exists():
        raise InputError(f"{archive}: " + ("exists" if archive.exists() else "is no .zip") + "; name a new .zip file")
    network = load_bundle(bundle_root).network
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".zoo-") as scratch:
        folder = Path(scratch) / bundle_root.resolve().name
        shutil.copytree(bundle_root, folder, ignore=shutil.ignore_patterns("*.pt", "*.pth", "*.ts", CHECKSUMS))
        weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        torch.save(weights, folder / PYTORCH_WEIGHTS)
        logging.getLogger("monai.bundle.scripts").setLevel(logging.WARNING)
        ckpt_export(
            "network_def",
            filepath=str(folder / TORCHSCRIPT),
            ckpt_file=str(folder / PYTORCH_WEIGHTS),
            meta_file=str(folder / "configs" / "metadata.json"),
            config_file=str(folder / "configs" / "inference.json"),
            bundle_root=str(folder),
        )
        write_checksums(folder)
        made = shutil.make_archive(str(Path(scratch) / "archive"), "zip", root_dir=scratch, base_dir=folder.name)
        Path(made).replace(archive)
    sys.stdout.write(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB\n")
