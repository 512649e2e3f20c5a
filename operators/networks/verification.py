"""The files of a bundle are what its ``SHA256SUMS`` says, and lie in its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from operators.records.errors import BundleError

CHECKSUMS = "SHA256SUMS"
METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
WEIGHTS = "models/model.safetensors"
LARGE_FILES = "large_files.yml"
_SHA256 = re.compile("[0-9a-f]{64}")


def sha256(file: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(bundle_root: Path, trusted: Mapping[str, str] | None = None) -> dict[str, str]:
    """Compare the files of a bundle with its ``SHA256SUMS`` and return {file: sha256}.

    Parameters
    ----------
    trusted
        The sha256 of the ``SHA256SUMS`` of every bundle that may be loaded, by name; None: of any. Whoever can change
        a bundle's files can renew its ``SHA256SUMS``, but not this.

    Raises
    ------
    BundleError
        If the bundle, a file or a checksum is missing or different, a file is a link or lies elsewhere, or the bundle
        is not a trusted one.
    """
    name = bundle_root.name
    listing = _file(bundle_root, CHECKSUMS)
    if not listing.is_file():
        remedy = (
            "name a bundle's folder (bundle_root; of the application the folder above it, -m / HOLOSCAN_MODEL_PATH)"
        )
        raise BundleError(f"bundle {name}: no {CHECKSUMS} in {bundle_root}; {remedy}")
    content = listing.read_bytes()
    if trusted is not None and hashlib.sha256(content).hexdigest() != trusted.get(name):
        fault = "is not the one" if name in trusted else "is none of those"
        remedy = "restore it, or trust it there"
        raise BundleError(f"bundle {name} {fault} that app.yaml trusts (models: trusted); {remedy}")
    checksums = _parse(name, content)
    for file in sorted({WEIGHTS, METADATA, INFERENCE} | set(checksums)):
        if not _file(bundle_root, file).is_file():
            raise BundleError(f"bundle {name}: {file} is missing; restore the bundle")
        if sha256(bundle_root / file) != checksums.get(file):
            raise BundleError(f"bundle {name}: {file} does not match its sha256; restore the bundle")
    return checksums


def read_verified(bundle_root: Path, file: str, checksums: Mapping[str, str]) -> bytes:
    """Return the content of a file, of which just these bytes were compared with the checksum.

    Raises
    ------
    BundleError
        If the checksum is missing or different.
    """
    try:
        content = _file(bundle_root, file).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"bundle {bundle_root.name}: {file} is missing; restore the bundle") from error
    if hashlib.sha256(content).hexdigest() != checksums.get(file):
        remedy = "restore the bundle, or run training.export on it if the change is yours"
        raise BundleError(f"bundle {bundle_root.name}: {file} is not as {CHECKSUMS} lists it; {remedy}")
    return content


def parse_json(bundle: str, name: str, data: bytes) -> dict[str, Any]:
    """Return the JSON object in a file of a bundle.

    Raises
    ------
    BundleError
        If it holds none, or a number that is not finite.
    """
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"bundle {bundle}: {name} is not valid JSON; restore the bundle") from error
    if not isinstance(content, dict):
        raise BundleError(f"bundle {bundle}: {name} is no JSON object; restore the bundle")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def large_file(bundle_root: Path, checkpoint: str, checksums: Mapping[str, str]) -> tuple[Path, str]:
    """Return the file and the sha256 of a published checkpoint, which is yet to be compared with it.

    Raises
    ------
    BundleError
        If the bundle names no such checkpoint, or it was not fetched.
    """
    name = bundle_root.name
    try:
        listing = yaml.safe_load(read_verified(bundle_root, LARGE_FILES, checksums))["large_files"]
        found = [(str(entry["path"]), str(entry["hash_val"])) for entry in listing]
    except (yaml.YAMLError, ValueError, TypeError, LookupError) as error:
        raise BundleError(f"bundle {name}: {LARGE_FILES} is damaged; restore the bundle") from error
    path, digest = next((each for each in found if Path(each[0]).name.startswith(checkpoint)), ("", ""))
    if not path:
        raise BundleError(f"bundle {name}: {LARGE_FILES} names no checkpoint {checkpoint}")
    file = _file(bundle_root, path)
    if not file.is_file():
        raise BundleError(f"bundle {name}: {path} is missing; fetch it: python -m training.download {checkpoint}")
    return file, digest


def _file(bundle_root: Path, name: str) -> Path:
    """Return a file of a bundle; raise BundleError if the name or a link leads elsewhere."""
    file = bundle_root / name
    try:
        inside = not Path(name).is_absolute() and file.resolve() == bundle_root.resolve() / name
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        inside = False
    if not inside:
        fault = "is a link or lies outside the bundle"
        raise BundleError(f"bundle {bundle_root.name}: {ascii(name)[:100]} {fault}; put the file itself into its place")
    return file


def _parse(bundle: str, content: bytes) -> dict[str, str]:
    checksums: dict[str, str] = {}
    try:
        for line in content.decode("utf-8").rstrip("\n").split("\n"):
            digest, name = line.split("  ", 1)
            if not _SHA256.fullmatch(digest) or name in checksums:
                raise ValueError("no sha256, or a file twice")
            checksums[name] = digest
    except ValueError as error:
        raise BundleError(f"bundle {bundle}: {CHECKSUMS} is damaged; restore the bundle") from error
    return checksums
