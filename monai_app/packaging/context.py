"""The build context: what the application needs and nothing else, in one folder.

::

    Containerfile         how the image is made
    app/                  __main__.py, monai_app, operators -> /opt/holoscan/app
    app.yaml              -> /var/holoscan/app.yaml
    models/<bundle>/      what SHA256SUMS lists, and the licence -> /opt/holoscan/models
    map/                  app.json, pkg.json -> /etc/holoscan
    docs/                 LICENSE, README.md, the model cards -> /opt/holoscan/docs
    pip/                  requirements.txt, sbom.txt: every package with its version
    build/                what runs during the build only
    tools                 the entry point -> /var/holoscan/tools
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_app import __version__
from monai_app.packaging.errors import PackagingError
from monai_app.packaging.manifests import CHECKSUMS, manifests
from monai_app.packaging.requirements import runtime_requirements
from monai_app.settings import read_settings

PACKAGES = ("monai_app", "operators")
LEFT_OUT = ("monai_app/packaging", "monai_app/conformance", "operators/image_files")  # nothing of an analysis
SUFFIXES = (".py", ".json", ".html")
MAIN = '''\
"""The packaged application: ``python /opt/holoscan/app``."""

import sys

from monai_app.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''


def write_context(root: Path, folder: Path, bundles: Iterable[str], variant: str, revision: str) -> None:
    """Write the build context; a folder that is there is replaced.

    Parameters
    ----------
    root
        The checkout.
    folder
        Where the context goes.
    bundles
        Names of bundles; empty for those that ``app.yaml`` names.
    variant
        ``cpu`` or ``cuda``.
    revision
        The commit, for the image's labels.

    Raises
    ------
    PackagingError
        If a bundle does not exist or is not as its SHA256SUMS says, or the folder cannot be written.
    """
    if not (root / "constraints.txt").is_file():
        raise PackagingError("the container is made from a checkout of the repository; this is an installed package")
    names = list(bundles) or used_bundles(root / "app.yaml")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _copy(folder / "app", ((path.relative_to(root), path) for path in _application_files(root)))
        (folder / "app" / "__main__.py").write_text(MAIN, "utf-8")
        for name in names:
            _copy(folder / "models" / name, ((p.relative_to(b), p) for b, p in _bundle_files(root / "bundles" / name)))
        shutil.copyfile(root / "app.yaml", folder / "app.yaml")
        _write_documents(root, folder / "docs", names)
        _write_manifests(folder, variant)
        _write_build_files(root, folder, variant, revision)
    except OSError as error:
        raise PackagingError(f"{folder}: cannot be written ({error.strerror}); free space or name another") from error


def used_bundles(settings_file: Path) -> list[str]:
    """Return the names of the bundles that the settings use."""
    settings = read_settings(settings_file)
    classifiers = settings.classification.bundle
    return [*([classifiers] if isinstance(classifiers, str) else classifiers), settings.segmentation.bundle]


def _application_files(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in SUFFIXES and not name.startswith(tuple(f"{folder}/" for folder in LEFT_OUT)):
                yield path


def _bundle_files(bundle: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (bundle, file) for what is verified when the bundle is loaded, and for its licence and card."""
    if not (bundle / CHECKSUMS).is_file():
        known = ", ".join(sorted(path.parent.name for path in bundle.parent.glob(f"*/{CHECKSUMS}")))
        raise PackagingError(f"no bundle {bundle.name!r}; there are {known}")
    listed = [line.split(maxsplit=1)[1] for line in (bundle / CHECKSUMS).read_text("utf-8").splitlines() if line]
    for name in (CHECKSUMS, "LICENSE", "docs/README.md", "docs/data_license.txt", *listed):
        if not (bundle / name).is_file():
            raise PackagingError(f"bundle {bundle.name}: {name} is missing; check the bundle out again")
        yield bundle, bundle / name


def _copy(folder: Path, files: Iterable[tuple[Path, Path]]) -> None:
    for name, path in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _write_documents(root: Path, folder: Path, bundles: Iterable[str]) -> None:
    folder.mkdir()
    for name in ("LICENSE", "README.md"):
        shutil.copyfile(root / name, folder / name)
    for name in bundles:
        shutil.copyfile(root / "bundles" / name / "docs" / "README.md", folder / f"{name}.md")


def _write_manifests(folder: Path, variant: str) -> None:
    (folder / "map").mkdir()
    for name, manifest in zip(("app", "pkg"), manifests(folder / "app.yaml", folder / "models", variant), strict=True):
        (folder / "map" / f"{name}.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _write_build_files(root: Path, folder: Path, variant: str, revision: str) -> None:
    """Write requirements, entry point, Containerfile and what runs during the build."""
    here = Path(__file__).parent
    (folder / "pip").mkdir()
    (folder / "build").mkdir()
    requirements = runtime_requirements(root / "constraints.txt", variant)
    (folder / "pip" / "requirements.txt").write_text("\n".join(requirements) + "\n", "utf-8")
    shutil.copyfile(here / "sbom.txt", folder / "pip" / "sbom.txt")
    shutil.copyfile(here / "finish.py", folder / "build" / "finish.py")
    shutil.copyfile(root / "monai_app" / "container" / "entry.py", folder / "tools")
    (folder / "tools").chmod(0o755)
    templates = Environment(  # noqa: S701 - no HTML
        loader=PackageLoader("monai_app.packaging", "."), undefined=StrictUndefined, keep_trailing_newline=True
    )
    text = templates.get_template("Containerfile.j2").render(
        version=__version__,
        revision=revision,
        variant=variant,
        sdk=_pin(requirements, "monai-deploy-app-sdk"),
        holoscan=_pin(requirements, "holoscan-cu13"),
    )
    (folder / "Containerfile").write_text(text, "utf-8")


def _pin(requirements: Iterable[str], name: str) -> str:
    return next(line.partition("==")[2] for line in requirements if line.partition("==")[0] == name)
