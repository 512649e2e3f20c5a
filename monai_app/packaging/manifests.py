"""The two manifests of a MONAI Application Package, made with the classes of ``holoscan_cli``.

Notes
-----
MONAI Application Package Specification, Application Manifest and Package Manifest
(https://github.com/Project-MONAI/monai-deploy/blob/main/guidelines/monai-application-package.md). Where
``holoscan_cli`` 4.2 and the specification differ, both forms are given: ``output.format`` beside ``output.formats``.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monai_app.packaging.errors import PackagingError

COMMAND = '["/opt/holoscan/venv/bin/python", "/opt/holoscan/app"]'
CHECKSUMS = "SHA256SUMS"


def manifests(settings: Path, models: Path, variant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``app.json`` and ``pkg.json``.

    Parameters
    ----------
    settings
        ``app.yaml``: title, version, formats and resources.
    models
        The folder with the bundles that are packaged; each is listed with the sha256 of its ``SHA256SUMS``.
    variant
        ``cpu`` or ``cuda``.

    Raises
    ------
    PackagingError
        If the settings lack what the manifests need.
    """
    from holoscan_cli.common.exceptions import InvalidApplicationConfigurationError  # noqa: PLC0415 - a second to import
    from holoscan_cli.packager.config_reader import ApplicationConfiguration  # noqa: PLC0415
    from holoscan_cli.packager.models import Models  # noqa: PLC0415
    from holoscan_cli.packager.parameters import PackageBuildParameters  # noqa: PLC0415

    logging.getLogger("packager").setLevel(logging.WARNING)
    parameters = PackageBuildParameters()
    parameters._data["command"] = COMMAND  # its only setter wants the interpreter that the stock image has
    parameters.models = Models().build(models)
    configuration = ApplicationConfiguration()
    try:
        configuration.read(settings)
        application = configuration.populate_app_manifest(parameters).data
        package = configuration.populate_package_manifest(parameters).data
    except (InvalidApplicationConfigurationError, OSError) as error:
        raise PackagingError(f"{settings.name}: {error}") from error
    return _complete_application(application), _complete_package(package, models, variant)


def _complete_application(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add what the specification asks for: type, SDK, output format, and the probe of a container that is kept."""
    manifest |= {"type": "application", "sdk": "monai-deploy", "sdkVersion": version("monai-deploy-app-sdk")}
    for key in ("input", "output"):
        manifest[key]["path"] = str(manifest[key]["path"])
        if not manifest[key]["formats"]:
            raise PackagingError(f"app.yaml: application: {key}-formats is missing")
    manifest["output"]["format"] = {"type": "file", "formats": manifest["output"]["formats"]}
    manifest["timeout"] = 0
    probe = {"type": "command", "command": ["/var/holoscan/tools", "health"], "initialDelaySeconds": 1}
    manifest["readiness"] = manifest["liveness"] = probe | {
        "periodSeconds": 30,
        "timeoutSeconds": 10,
        "failureThreshold": 3,
    }
    return manifest


def _complete_package(manifest: dict[str, Any], models: Path, variant: str) -> dict[str, Any]:
    """List the models as the specification does, with their hashes."""
    manifest["models"] = [
        {"name": name, "path": name, "sha256": hashlib.sha256((models / name / CHECKSUMS).read_bytes()).hexdigest()}
        for name in sorted(manifest["models"])
    ]
    manifest["platformConfig"] = {"cpu": "cpu", "cuda": "dgpu"}[variant]  # holoscan_cli's words
    return manifest
