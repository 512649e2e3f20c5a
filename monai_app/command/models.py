"""``osteomap models``: which bundles are there, whether their files are as listed, and what they were fitted for."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError, safe_open

from monai_app.settings.configuration_file import embedded_models
from operators.networks.fitted import check_description, parse_fitted
from operators.networks.verification import CHECKSUMS, METADATA, WEIGHTS, parse_json, read_verified, sha256, verify
from operators.records.errors import BundleError

_DTYPES = {"I8": "int8", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "I64": "int64"}


def main(arguments: list[str] | None = None) -> int:
    """List the bundles of a folder; return 2 if there is none or one cannot be used, otherwise 0."""
    parser = argparse.ArgumentParser(
        prog="osteomap models",
        description="List the bundles of a folder: version, checksums, finding, operating points and how the weights "
        "are stored. Every file is compared with its checksum. Exit code 2: there is none, or one cannot be used.",
    )
    parser.add_argument(
        "-m", "--model", type=Path, metavar="MODELS", help="folder of bundles; default: the embedded ones"
    )
    options = parser.parse_args(arguments)
    folder = options.model or Path(os.environ.get("HOLOSCAN_MODEL_PATH") or embedded_models())
    bundles = sorted(path.parent for path in folder.glob(f"*/{CHECKSUMS}"))
    if not bundles:
        sys.stderr.write(f"osteomap models: no bundle in {folder}; check -m / HOLOSCAN_MODEL_PATH\n")
        return 2
    code = 0
    for bundle in bundles:
        try:
            lines = _description(bundle)
        except BundleError as error:
            lines, code = [f"{bundle.name}  cannot be used", f"error: {error}"], 2
        sys.stdout.write("\n  ".join(lines) + "\n")
    return code


def _description(bundle: Path) -> list[str]:
    """Return the lines about a bundle.

    Raises
    ------
    BundleError
        If a file is not as listed, or the metadata cannot be used.
    """
    checksums = verify(bundle)
    metadata = parse_json(bundle.name, METADATA, read_verified(bundle, METADATA, checksums))
    check_description(bundle.name, metadata)
    lines = [f"{bundle.name}  {metadata['version']}", f"{'task':<18}{metadata.get('task', 'not told')}"]
    if "operating_points" in metadata:
        fitted = parse_fitted(bundle.name, metadata)
        finding = fitted.finding
        lines.append(f"{'finding':<18}{finding.meaning} ({finding.scheme_designator} {finding.value})")
        for level, points in (("image", fitted.image_points), ("study", fitted.study_points)):
            told = f"normal below {points.rule_out:.4f}, abnormal from {points.rule_in:.4f}"
            lines.append(f"{level + ' points':<18}{told}")
    return [
        *lines,
        f"{'weights':<18}{(bundle / WEIGHTS).stat().st_size / 1e6:.1f} MB, {_storage(bundle)}",
        f"{'sha256':<18}{checksums[WEIGHTS]}",
        f"{'to be trusted as':<18}{sha256(bundle / CHECKSUMS)}",
        f"{'files':<18}{len(checksums)}, all as {CHECKSUMS} lists them",
    ]


def _storage(bundle: Path) -> str:
    """Return how the values of the weights are stored, by their kinds, most values first."""
    counts: Counter[str] = Counter()
    try:
        with safe_open(bundle / WEIGHTS, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                tensor = file.get_slice(name)
                number = 1
                for side in tensor.get_shape():
                    number *= side
                counts[tensor.get_dtype()] += number
    except SafetensorError as error:
        raise BundleError(f"bundle {bundle.name}: {WEIGHTS} is damaged; restore the bundle") from error
    total = counts.total()
    shares = [f"{_DTYPES.get(kind, kind)} {number / total:.1%}" for kind, number in counts.most_common()]
    return ", ".join(shares) or "empty"
