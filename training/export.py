"""A checkpoint -> the weights that a bundle ships: int8 or fp16 safetensors, checked and listed in SHA256SUMS.

``python -m training.export bundles/msk_resnet50 runs/msk_resnet50/best.pt --storage int8``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from operators.bundle import CHECKSUMS, SCALE, WEIGHTS, read_config, read_weights, sha256

LISTED = (WEIGHTS, "configs/inference.json", "configs/metadata.json")
NOT_LISTED = ("train", "evaluate", "multi_gpu")  # they change how a bundle is made, not what it computes


def compress(weights: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Return weights as they are stored.

    ``fp16`` halves every floating-point tensor. ``int8`` stores matrices and convolutions as int8 with one float32
    scale per output channel, so that value = integer x scale exactly, and the rest as float32.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            stored[name] = tensor.contiguous()
        elif storage == "fp16":
            stored[name] = tensor.half().contiguous()
        elif tensor.ndim < 2:
            stored[name] = tensor.float().contiguous()
        else:
            flat = tensor.float().flatten(1)
            scale = (flat.abs().amax(dim=1) / 127).clamp_min(1e-12)
            stored[name] = (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape).contiguous()
            stored[name + SCALE] = scale
    return stored


def write_weights(bundle_root: Path, checkpoint: Path, storage: str, key: str) -> None:
    """Write a checkpoint's network as the bundle's weights.

    Raises
    ------
    RuntimeError
        If the checkpoint is of another network.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = saved.get(key, saved)
    network = read_config(bundle_root).get_parsed_content("network_def")
    network.load_state_dict(weights, strict=True)
    weights = {
        name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    (bundle_root / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    save_file(compress(weights, storage), bundle_root / WEIGHTS)
    restored = read_weights(bundle_root / WEIGHTS)
    worst = max(float((restored[name] - tensor).abs().max()) for name, tensor in weights.items())
    size = (bundle_root / WEIGHTS).stat().st_size
    sys.stdout.write(f"{bundle_root / WEIGHTS}: {size / 1e6:.1f} MB, largest change of a weight {worst:.2g}\n")


def write_checksums(bundle_root: Path) -> None:
    """Write SHA256SUMS of every file that changes what the bundle computes."""
    configs = (path.name for path in (bundle_root / "configs").glob("*.json") if not path.name.startswith(NOT_LISTED))
    names = sorted({*LISTED, *(f"configs/{name}" for name in configs)})
    lines = [f"{sha256(bundle_root / name)}  {name}\n" for name in names if (bundle_root / name).is_file()]
    (bundle_root / CHECKSUMS).write_text("".join(lines), "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write the weights of a bundle, or with no checkpoint only its checksums."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="a training checkpoint; none: checksums only")
    parser.add_argument("--storage", choices=["fp16", "int8"], default="fp16")
    parser.add_argument("--key", default="network", help="name of the network in the checkpoint")
    options = parser.parse_args(arguments)
    if options.checkpoint is not None:
        write_weights(options.bundle, options.checkpoint, options.storage, options.key)
    write_checksums(options.bundle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
