"""The rules of the house: who may import whom, how large a room may be, what no shipped file may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("monai_app", "operators", "training")
BASE = {
    "baselines",
    "codes",
    "errors",
    "geometry",
    "networks",
    "provenance",
    "records",
    "study",
}  # what plain stages may use
PLAIN = {
    "activation_maps",
    "automatic_masks",
    "burned_picture",
    "classification",
    "contours",
    "dicom_gsps",
    "dicom_heatmap",
    "dicom_objects",
    "dicom_pdf",
    "dicom_report",
    "dicom_sc",
    "dicom_seg",
    "dicom_source",
    "dicom_sr",
    "feature_views",
    "localization",
    "outputs",
    "picture_drawing",
    "pictures",
    "prompts",
    "radiographs",
    "report",
    "report_pdf",
    "report_words",
    "sam",
    "segmentation",
    "series",
    "source_luts",
    "source_values",
    "sr_groups",
    "sr_image_library",
    "sr_references",
    "sr_summary",
    "studies",
}
EDGES = {"bundle", "codecs", "decoding", "dicom_file", "stage_operator"}  # files, bytes and Holoscan
# What ``inference.json`` names beside the application's stages: image files in, NIfTI out, by nibabel and ignite. A
# package of the application holds neither, so nothing of the application may import these modules.
INFERENCE = {"image_file", "image_grid", "image_list", "prediction", "prediction_writer"}
# A plain module may build on these plain modules; the arrows run one way.
BUILDS_ON = {
    "automatic_masks": {"sam"},
    "burned_picture": {"contours"},
    "classification": {"activation_maps", "feature_views"},
    "dicom_gsps": {"contours", "series", "source_luts"},
    "dicom_heatmap": {"dicom_seg", "series"},
    "dicom_objects": {"dicom_gsps", "dicom_heatmap", "dicom_sc", "dicom_seg", "dicom_source"},
    "dicom_pdf": {"sr_references"},
    "dicom_report": {"dicom_pdf", "dicom_sr", "report", "report_pdf"},
    "dicom_sc": {"burned_picture", "series"},
    "dicom_seg": {"series"},
    "dicom_source": {"source_luts", "source_values"},
    "dicom_sr": {"sr_groups", "sr_image_library", "sr_references", "sr_summary"},
    "feature_views": {"activation_maps"},
    "localization": {"activation_maps"},
    "outputs": {"dicom_source"},
    "picture_drawing": {"pictures"},
    "pictures": {"contours"},
    "report": {"outputs", "pictures", "report_words"},
    "report_pdf": {"outputs", "picture_drawing", "pictures", "report", "report_words"},
    "sam": {"prompts"},
    "segmentation": {"automatic_masks", "prompts", "sam"},
    "source_luts": {"source_values"},
    "sr_references": {"dicom_source"},
    "sr_summary": {"dicom_source", "sr_references"},
    "studies": {"radiographs"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def own(path: Path, package: str) -> set[str]:
    """The modules of one of our packages that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}


def test_every_operator_module_has_a_place():
    names = {path.stem for path in (ROOT / "operators").glob("*.py")} - {"__init__"}
    operators = {name for name in names if name.endswith("_operator")}
    assert names == BASE | PLAIN | EDGES | INFERENCE | operators
    twins = {name.removesuffix("_operator") for name in operators} - {"stage", "result"}
    assert twins <= PLAIN


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_plain_module_builds_on_the_base_only(name):
    path = ROOT / "operators" / f"{name}.py"
    assert own(path, "operators") <= BASE | BUILDS_ON.get(name, set())
    assert not {"holoscan", "monai"} & {module.split(".")[0] for module in imports(path)}


def test_the_base_has_no_way_back():
    order = ["errors", "codes", "geometry", "networks", "baselines", "records", "study", "provenance"]
    for name in BASE:
        allowed = set(order[: order.index(name)])
        assert own(ROOT / "operators" / f"{name}.py", "operators") <= allowed, name


def test_the_application_runs_without_what_only_inference_needs():
    for name, path in modules():
        package, module = name.split(".", 1)
        if package == "monai_app" or (package == "operators" and module not in INFERENCE):
            assert not own(path, "operators") & INFERENCE, name
            assert not {"ignite", "nibabel"} & {imported.split(".")[0] for imported in imports(path)}, name


def test_only_adapters_meet_holoscan():
    for name, path in modules():
        if not name.endswith("_operator") and name not in ("monai_app.app", "monai_app.run", "monai_app.command"):
            assert not [
                module
                for module in imports(path)
                if module.split(".")[0] == "holoscan" or module.startswith("monai.deploy")
            ], name


def test_adapters_are_thin():
    for path in (ROOT / "operators").glob("*_operator.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 60, path.name


def test_the_application_never_imports_training_and_nobody_imports_the_application():
    for name, path in modules():
        if not name.startswith("training"):
            assert not own(path, "training"), name
        if not name.startswith("monai_app"):
            assert not own(path, "monai_app"), name


def test_rooms_keep_their_size():
    for name, path in modules():
        assert len(path.read_text("utf-8").splitlines()) <= 300, name
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) if docstring else 0)
                assert lines <= 50, f"{name}.{node.name}"


def test_no_room_is_called_after_nothing():
    for name, path in modules():
        assert path.stem not in {"utils", "helpers", "common", "misc", "types", "inspect", "io", "logging"}, name


def test_shipped_code_holds_no_assert_print_or_pickle():
    for name, path in modules():
        tree = ast.parse(path.read_text("utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)], name
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"print", "eval", "exec"}, name
        assert not {"pickle", "joblib", "dill"} & {module.split(".")[0] for module in imports(path)}, name


def test_no_file_names_a_registry_or_a_machine():
    machine = re.compile(r"index-url|/" + r"work/|/" + r"root/|/" + r"home/")
    for path in [*ROOT.glob("*.*"), *ROOT.glob("Makefile"), *ROOT.glob(".ci/*"), *(path for _, path in modules())]:
        if path.is_file() and path.suffix != ".png":
            assert not machine.search(path.read_text("utf-8")), path.name
