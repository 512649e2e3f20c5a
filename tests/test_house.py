"""The rules of the house: who may import whom, how large a room may be, what no shipped file may hold.

Every rule is about folders and holds for whatever lies in them, however deep.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("monai_app", "operators", "training")
# A folder imports only those before it.
ROOMS: Mapping[str, Sequence[str]] = {
    "operators": (
        *("records", "reading", "networks", "classification", "localization", "segmentation"),
        *("drawing", "encoding", "reporting", "pipeline", "image_files", "deploy"),
    ),
    "training": (
        *("datasets", "batches", "learning", "control", "weights", "evaluation", "fitting", "localization"),
        "monai_label",
    ),
}
JOINERS = ("pipeline", "deploy", "image_files")  # what joins stages; a stage never looks at a later one
STAGES = ("reading", "classification", "localization", "segmentation", "encoding", "reporting")
COMMANDS = (
    "monai_app.__main__",
    "monai_app.command",
    "monai_app.command.__main__",
    "monai_app.command.check",
    "monai_app.command.models",
    "monai_app.conformance.__main__",
    "monai_app.packaging.__main__",
    "training.monai_label.__main__",
)
EXITS = ("operators.reading.decoder_process", "operators.image_files.errors")  # what is run; what configurations call
MODULES_PER_FOLDER = 12


def modules(package: str = "*") -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, path) of every module, in all folders below."""
    for name in PACKAGES if package == "*" else (package,):
        for path in sorted((ROOT / name).rglob("*.py")):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield dotted.removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports; of ``from package import module`` the module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {_module_of(node.module, alias.name) for alias in node.names}
    return found


def _module_of(module: str, name: str) -> str:
    inner = ROOT.joinpath(*module.split("."), name)
    return f"{module}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else module


def room(module: str) -> str:
    """Return the room of a dotted name, or an empty string for what lies at the root of its package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS.get(parts[0], ()) else ""


def commands() -> set[str]:
    """Return the modules that are run: those at the root of training, and the application's own."""
    return {name for name, path in modules("training") if path.parent == ROOT / "training"} - {"training"} | set(
        COMMANDS
    )


@pytest.mark.parametrize("package", ROOMS)
def test_every_folder_has_a_place_in_the_order(package):
    folders = {path.name for path in (ROOT / package).iterdir() if path.is_dir() and any(path.glob("*.py"))}
    files = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert folders | (files if package == "operators" else set()) == set(ROOMS[package])


@pytest.mark.parametrize("package", ROOMS)
def test_a_folder_imports_only_those_before_it(package):
    order = ROOMS[package]
    for name, path in modules(package):
        if room(name):
            allowed = set(order[: order.index(room(name)) + 1])
            used = {room(module) for module in imports(path) if module.startswith(f"{package}.")}
            assert used <= allowed, f"{name} imports {used - allowed}"


def test_only_what_joins_stages_imports_several():
    for name, path in modules("operators"):
        if room(name) in STAGES:
            used = {room(module) for module in imports(path)} & set(STAGES) - {room(name)}
            assert used <= {"reading", "encoding"}, f"{name} imports {used}"


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {name: {module for module in imports(path) if module.split(".")[0] in PACKAGES} for name, path in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    public = {name for name, path in modules() if path.name == "__init__.py"}  # they only hand names on
    for name in graph.keys() - public:
        graph[name] -= public
    for name in graph:
        visit(name, ())


def test_only_hosts_meet_holoscan():
    for name, path in modules():
        if not name.startswith(("monai_app", "operators.deploy")):
            met = [module for module in imports(path) if module.split(".")[0] == "holoscan" or "monai.deploy" in module]
            assert not met, name


def test_monai_stays_where_bundles_are_read():
    for name, path in modules("operators"):
        if room(name) not in ("networks", "image_files", "deploy"):
            assert not {"monai", "ignite"} & {module.split(".")[0] for module in imports(path)}, name


def test_the_application_runs_without_what_only_inference_needs():
    for name, path in modules():
        if name.startswith(("monai_app", "operators")) and room(name) != "image_files":
            assert not {room(module) for module in imports(path)} & {"image_files"}, name
            assert not {"ignite", "nibabel"} & {module.split(".")[0] for module in imports(path)}, name


def test_the_application_never_imports_training_and_nobody_imports_the_application():
    for name, path in modules():
        packages = {module.split(".")[0] for module in imports(path)}
        assert name.startswith("training") or "training" not in packages, name
        assert name.startswith("monai_app") or "monai_app" not in packages, name


def test_nobody_imports_a_command():
    for name, path in modules():
        assert not imports(path) & commands() - {name, name.removesuffix(".__main__")}, name


def test_rooms_keep_their_size():
    for name, path in modules():
        assert len(path.read_text("utf-8").splitlines()) <= 300, name
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) if docstring else 0)
                assert lines <= 50, f"{name}.{node.name}"


def test_folders_keep_their_size():
    folders = {path.parent for _, path in modules()}
    for folder in folders:
        count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        assert count <= MODULES_PER_FOLDER, f"{folder.relative_to(ROOT)}: {count} modules"


def test_no_room_is_called_after_nothing():
    empty = {"utils", "helpers", "common", "misc", "types", "inspect", "io", "logging"}
    for name, path in modules():
        assert not {path.stem, path.parent.name} & empty, name


def test_every_folder_says_what_it_is_for():
    for folder in {path.parent for _, path in modules()}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))), folder


def test_shipped_code_holds_no_assert_print_or_pickle():
    for name, path in modules():
        tree = ast.parse(path.read_text("utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)], name
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"print", "eval", "exec"}, name
        assert not {"pickle", "joblib", "dill"} & {module.split(".")[0] for module in imports(path)}, name


def test_the_stages_raise_errors_and_never_end_the_program():
    for name, path in modules("operators"):
        if name not in EXITS:
            assert not re.search(r"SystemExit|sys\.exit", path.read_text("utf-8")), name


def test_no_file_names_a_registry_or_a_machine():
    machine = re.compile(r"index-url|/" + r"work/|/" + r"root/|/" + r"home/")
    for path in [*ROOT.glob("*.*"), *ROOT.glob("Makefile"), *ROOT.glob(".ci/*"), *(path for _, path in modules())]:
        if path.is_file() and path.suffix != ".png" and path.name != ".git":  # which is a file in a worktree
            assert not machine.search(path.read_text("utf-8")), path.name
