"""A checkpoint -> the weights that a bundle ships: int8 or fp16 safetensors, checked and listed in SHA256SUMS.

``python -m training.export bundles/msk_resnet50 runs/msk_resnet50/best.pt --storage int8``; with ``--output FOLDER``
into a copy of the bundle, with ``--config paper`` into a copy that computes what ``configs/paper.json`` says; with
``--torchscript FILE`` or ``--onnx FILE`` for engines that know no MONAI; with ``--zoo FILE.zip`` as MONAI's model zoo
has it, with weights that plain MONAI loads.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from operators.networks.configuration import read_config
from operators.networks.loading import load_bundle
from operators.networks.verification import CHECKSUMS
from training.datasets.errors import InputError, or_exit
from training.learning.bundle_weights import require_bundle, write_checksums, write_weights, write_zoo_archive
from training.learning.history import HISTORY
from training.weights.origin import RECORD, record_training, write_card

OF_WEIGHTS = (HISTORY, "failures.png", "localization.*")  # in docs/: figures of the weights, which a copy lacks


def copy_bundle(bundle_root: Path, output: Path, config: str | None) -> None:
    """Copy a bundle without its weights; ``configs/<config>.json`` is merged into the copy's ``inference.json``.

    What was fitted to the weights stays behind: the application refuses the copy until ``training.fit`` has run on it.

    Raises
    ------
    InputError
        If the output exists or the bundle has no such configuration.
    """
    if output.exists():
        raise InputError(f"{output} exists; name a new folder")
    overlay = bundle_root / "configs" / f"{config}.json"
    if config is not None and not overlay.is_file():
        raise InputError(f"{overlay} does not exist; a configuration of this bundle is wanted")
    left_out = ("model.safetensors", "*.pt", "*.ts", CHECKSUMS, *OF_WEIGHTS)
    shutil.copytree(bundle_root, output, ignore=shutil.ignore_patterns(*left_out))
    if config is not None:
        file = output / "configs" / "inference.json"
        merged = json.loads(file.read_text("utf-8")) | json.loads(overlay.read_text("utf-8"))
        file.write_text(json.dumps(merged, indent=4) + "\n", "utf-8")
    file = output / "configs" / "metadata.json"
    metadata = json.loads(file.read_text("utf-8"))
    metadata["operating_points"] = {}
    metadata["eval_metrics"] = {}
    metadata.pop("finding", None)
    metadata.pop(RECORD, None)
    if config is not None:
        metadata["network_data_format"]["inputs"]["image"] |= _input_format(output)
    file.write_text(json.dumps(metadata, indent=4) + "\n", "utf-8")


def _input_format(bundle_root: Path) -> dict[str, Any]:
    """Return what the network's input is after another pre-processing: its channels, and its size where it is fixed."""
    preprocess = read_config(bundle_root).get_parsed_content("preprocessing")
    pictures = [np.linspace(0, 1, 96 * 64).reshape(96, 64), np.linspace(0, 1, 300 * 400).reshape(300, 400)]
    shapes = [preprocess(picture.astype(np.float32)).shape for picture in pictures]
    channels = shapes[0][0]
    known = {
        "num_channels": channels,
        "channel_def": {str(n): "radiograph" for n in range(channels)},
        "value_range": [],
    }
    return known | ({"spatial_shape": list(shapes[0][1:])} if shapes[0] == shapes[1] else {})


def write_engine(bundle_root: Path, torchscript: Path | None, onnx: Path | None) -> None:
    """Write a bundle's network, (batch, channels, height, width) -> logit (batch, 1), as TorchScript or as ONNX."""
    if torchscript is None and onnx is None:
        return
    bundle = load_bundle(bundle_root)
    picture = np.linspace(0, 1, 96 * 64, dtype=np.float32).reshape(96, 64)
    image = bundle.preprocess(picture)[None].as_subclass(torch.Tensor)
    for file in (torchscript, onnx):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    if torchscript is not None:
        with warnings.catch_warnings():  # PyTorch advises against TorchScript, which is what was asked for
            warnings.filterwarnings("ignore", "`torch.jit.script` is", FutureWarning)
            torch.jit.script(bundle.network).save(str(torchscript))  # type: ignore[no-untyped-call]
    if onnx is not None:
        sizes = bundle.metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
        free = [0] + [axis + 2 for axis, size in enumerate(sizes) if isinstance(size, str)]
        torch.onnx.export(
            bundle.network,
            (torch.cat([image, image]),),  # a batch of one would be taken for the only size
            str(onnx),
            input_names=["image"],
            output_names=["pred"],
            dynamic_shapes=(dict.fromkeys(free, torch.export.Dim.DYNAMIC),),
            external_data=False,
            verbose=False,
        )


def main(arguments: list[str] | None = None) -> int:
    """Write the weights of a bundle, or with no checkpoint only its checksums."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "checkpoints", type=Path, nargs="*", help="a training checkpoint, or several: their mean; none: checksums only"
    )
    parser.add_argument("--storage", choices=["fp16", "int8"], default="fp16")
    parser.add_argument("--key", default="network", help="name of the network in the checkpoint")
    parser.add_argument("--output", type=Path, help="write a copy of the bundle here and leave the bundle alone")
    parser.add_argument("--config", help="with --output: an overlay of inference.json, such as paper")
    parser.add_argument("--torchscript", type=Path, help="write the network as TorchScript")
    parser.add_argument("--onnx", type=Path, help="write the network as ONNX")
    parser.add_argument(
        "--zoo",
        type=Path,
        metavar="FILE.zip",
        help="write the bundle with model.pt and model.ts, for plain MONAI",
    )
    or_exit(export, parser.parse_args(arguments))
    return 0


def export(options: argparse.Namespace) -> None:
    """Write what the options ask for."""
    require_bundle(options.bundle)
    bundle = options.output or options.bundle
    if options.output is not None:
        copy_bundle(options.bundle, options.output, options.config)
    if options.checkpoints:
        write_weights(bundle, options.checkpoints, options.storage, options.key)
        record_training(bundle, options.checkpoints)
        if options.output is not None:
            write_card(bundle, options.bundle.resolve().name)
    if options.zoo is None or options.checkpoints or options.output is not None:
        write_checksums(bundle)  # a zip alone is made of a bundle that is as its checksums say
    write_engine(bundle, options.torchscript, options.onnx)
    if options.zoo is not None:
        write_zoo_archive(bundle, options.zoo)


if __name__ == "__main__":
    sys.exit(main())
