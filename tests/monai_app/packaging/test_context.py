"""The build context: every file accounted for, nothing that does not belong there, manifests as specified."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement

from monai_app import __version__
from monai_app.packaging.__main__ import main
from monai_app.packaging.context import LEFT_OUT, used_bundles
from monai_app.packaging.requirements import read_pins
from tests.monai_app.application import ROOT
from tests.monai_app.packaging.map_schema import APPLICATION_MANIFEST, PACKAGE_MANIFEST


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("map") / "context"
    assert main(["context", "--folder", str(folder)]) == 0
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sources(*packages: str) -> set[str]:
    found = (path for package in packages for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_every_file_is_accounted_for(context):
    left_out = tuple(f"{folder}/" for folder in LEFT_OUT)
    application = {name for name in sources("monai_app", "operators") if not name.startswith(left_out)}
    models = {f"{name}/{file}" for name in used_bundles(ROOT / "app.yaml") for file in bundle_files(name)}
    assert files(context / "app") == application | {"__main__.py"}
    assert files(context / "models") == models
    rest = {name for name in files(context) if not name.startswith(("app/", "models/"))}
    assert rest == {
        *("Containerfile", "app.yaml", "tools", "build/finish.py", "map/app.json", "map/pkg.json"),
        *("pip/requirements.txt", "pip/sbom.txt", "docs/LICENSE", "docs/README.md"),
        *(f"docs/{name}.md" for name in used_bundles(ROOT / "app.yaml")),
    }


def bundle_files(name: str) -> set[str]:
    listed = (ROOT / "bundles" / name / "SHA256SUMS").read_text("utf-8").split()[1::2]
    return {*listed, "SHA256SUMS", "LICENSE", "docs/README.md", "docs/data_license.txt"}


def test_what_is_left_out_is_not_needed(context):
    """The modules of the application are imported where nothing but the context is on the path."""
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sorted(files(context / "app"))
        if name.endswith(".py") and not name.endswith("__main__.py") and name != "monai_app/container/entry.py"
    ]
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from monai_app.runtime import prepare; prepare(restart=False)\n"
        "import importlib\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "import operators; assert operators.__file__.startswith(sys.argv[1])\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('training', 'tests')]\n"
    )
    command = [sys.executable, "-I", "-B", "-W", "ignore", "-c", program, str(context / "app"), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_no_secret_no_machine_and_no_training(context):
    for name in files(context):
        if name.endswith(".safetensors"):
            continue
        text = (context / name).read_text("utf-8")
        assert str(ROOT) not in text, name
        assert str(Path.home()) + "/" not in text, name
        assert not re.search(r"(password|secret|api_key|token)\s*[:=]\s*['\"]\w+", text, re.IGNORECASE), name
        if name.startswith("app/"):
            assert not re.search(r"^\s*(from|import) (training|tests)\b", text, re.MULTILINE), name


def test_the_manifests_are_as_specified(context):
    application = json.loads((context / "map" / "app.json").read_text("utf-8"))
    package = json.loads((context / "map" / "pkg.json").read_text("utf-8"))
    jsonschema.validate(application, APPLICATION_MANIFEST)
    jsonschema.validate(package, PACKAGE_MANIFEST)
    assert application["version"] == package["version"] == __version__
    assert (package["resources"]["gpu"], package["resources"]["memory"]) == (0, "6Gi")
    hashes = {model["name"]: model["sha256"] for model in package["models"]}
    assert hashes == {
        name: hashlib.sha256((ROOT / "bundles" / name / "SHA256SUMS").read_bytes()).hexdigest()
        for name in used_bundles(ROOT / "app.yaml")
    }


def test_requirements_are_pins_of_constraints(context):
    lines = (context / "pip" / "requirements.txt").read_text("utf-8").splitlines()
    pins = read_pins((ROOT / "constraints.txt").read_text("utf-8"))
    assert set(lines) <= set(pins.values())
    names = {Requirement(line).name.lower() for line in lines}
    assert {"torch", "monai", "highdicom", "holoscan-cu13", "monai-deploy-app-sdk"} <= names
    assert not names & {"pytest", "onnx", "triton", "tensorboard", "scikit-learn", "mypy", "ruff"}
    extras = {Requirement(text).name.lower() for text in distribution("osteomap").requires if "extra" not in text}
    assert extras <= names | {"osteomap"}


def test_the_cuda_variant_keeps_what_gpus_need(tmp_path):
    assert main(["context", "--folder", str(tmp_path), "--variant", "cuda", "--bundles", "msk_cnn", "msk_sam"]) == 0
    assert json.loads((tmp_path / "map" / "pkg.json").read_text("utf-8"))["platformConfig"] == "dgpu"
    assert "triton==" in (tmp_path / "pip" / "requirements.txt").read_text("utf-8")
    assert "finish.py cuda" in (tmp_path / "Containerfile").read_text("utf-8")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["msk_cnn", "msk_sam"]


def test_two_contexts_of_one_commit_are_equal(context, tmp_path):
    assert main(["context", "--folder", str(tmp_path / "again")]) == 0
    assert files(context) == files(tmp_path / "again")
    for name in files(context):
        assert (context / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_bundle_that_does_not_exist(tmp_path, capsys):
    assert main(["context", "--folder", str(tmp_path), "--bundles", "msk_none"]) == 2
    error = capsys.readouterr().err
    assert "no bundle 'msk_none'; there are msk_cnn, " in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["context", "--folder", str(tmp_path / "file" / "context")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_stock_packager_takes_the_staged_folder(context):
    """Up to the point where Docker is needed: ``monai-deploy package`` makes the same manifests and files of it."""
    program = """
import json, sys
from pathlib import Path
from holoscan_cli import __main__ as cli
from holoscan_cli.packager import platforms
from holoscan_cli.packager.arguments import PackagingArguments
from holoscan_cli.packager.container_builder import PythonAppBuilder
platforms.image_exists = lambda name: True
context, work = Path(sys.argv[1]), Path(sys.argv[2])
source = str(work / "artifacts.json")
flags = ["-c", "app.yaml", "-m", "models", "-t", "osteomap:1", "--platform", "x86_64", "--source", source]
sys.argv = ["monai-deploy", "package", "app", *flags]
arguments = PackagingArguments(cli.parse_args(sys.argv), str(work))
builder = PythonAppBuilder(arguments.build_parameters, str(work))
print(json.dumps([arguments.application_manifest.data, arguments.package_manifest.data], default=str))
"""
    work = context.parent / "stock"
    work.mkdir()
    image = "example/holoscan:1"
    artifacts = {
        "4.2.0": {
            "holoscan": {
                "debian-version": "4.2.0.1-1",
                "wheel-version": "4.2.0",
                "base-images": {"dgpu": image},
                "build-images": {"dgpu": {"x64-workstation": image}, "igpu": {}, "cpu": {"x64-workstation": image}},
            },
            "health-probes": {"linux/amd64": "file:///none"},
        }
    }
    (work / "artifacts.json").write_text(json.dumps(artifacts))
    command = [sys.executable, "-B", "-W", "ignore", "-c", program, str(context), str(work)]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    application, package = json.loads(done.stdout.splitlines()[-1])
    ours = json.loads((context / "map" / "app.json").read_text("utf-8"))
    assert application["environment"] == ours["environment"]
    assert package["models"] == {name: f"/opt/holoscan/models/{name}" for name in used_bundles(ROOT / "app.yaml")}
    assert files(work / "app") == files(context / "app")
    assert files(work / "models") == files(context / "models")
