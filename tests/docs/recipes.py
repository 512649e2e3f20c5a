"""The recipes of docs/extending.md as data, and a copy of the repository that they are followed in."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "extending.md"
COPIED = ("monai_app", "operators", "tests", "training", "app.yaml", "pyproject.toml")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step of a recipe: what it says, and its blocks of code as (language, code)."""

    text: str
    blocks: tuple[tuple[str, str], ...]

    @property
    def file(self) -> str:
        """The file that the step changes: the first that it names."""
        return next(name for name in re.findall(r"`([^`\s]+)`", self.text) if name.endswith((".py", ".json", ".yaml")))

    def code(self, language: str) -> list[str]:
        """Return the blocks of a language; those without one are command lines."""
        return [code for name, code in self.blocks if name == language]

    def command(self, program: str) -> list[str]:
        """Return the one command line that holds a word."""
        (words,) = (words for words in self.commands if program in words)
        return words

    @property
    def commands(self) -> list[list[str]]:
        """The command lines, each as its words."""
        lines = [line for code in self.code("") for line in code.replace("\\\n", " ").splitlines()]
        return [shlex.split(line, comments=True) for line in lines if line.strip()]


def recipe(heading: str) -> list[Step]:
    """Return the steps below a heading, to the next one."""
    page = PAGE.read_text("utf-8")
    _, found, rest = page.partition(f"{heading}\n")
    assert found, f"docs/extending.md has no {heading!r}"
    section = re.split(r"^#{2,3} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    steps = re.split(r"^\d+\. (?=\*\*)", section, flags=re.MULTILINE)[1:]
    assert steps, f"{heading!r} has no step"
    return [
        Step(FENCE.sub("", step), tuple((name, textwrap.dedent(code)) for name, code in FENCE.findall(step)))
        for step in steps
    ]


@dataclass(frozen=True, slots=True)
class Copy:
    """What a user changes: a copy of the repository. The bundles are those of the repository and are only read."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> Copy:
        """Make a copy in an empty folder."""
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            else:
                shutil.copy(ROOT / name, root / name)
        (root / "bundles").symlink_to(ROOT / "bundles")
        return cls(root)

    def write(self, file: str, code: str) -> None:
        """Write a new file."""
        path = self.root / file
        assert not path.exists(), f"{file} is there already"
        assert path.parent.is_dir(), f"{file}: no such folder"
        path.write_text(code, "utf-8")

    def insert(self, file: str, code: str, before: str) -> None:
        """Insert code before the one place where lines start with ``before``, as far to the right as they do."""
        text = (self.root / file).read_text("utf-8")
        (place,) = re.finditer(rf"^( *){re.escape(before)}", text, re.MULTILINE)
        code = textwrap.indent(code, place[1])
        (self.root / file).write_text(text[: place.start()] + code + text[place.start() :], "utf-8")

    def add_import(self, file: str, code: str) -> None:
        """Insert an import among those of the same package, in their order."""
        package = code.partition(".")[0]
        lines = (self.root / file).read_text("utf-8").splitlines()
        self.insert(file, code, next(line for line in lines if line.startswith(f"{package}.") and line > code))

    def extend(self, file: str, code: str, before: str = "") -> None:
        """Add the entries of a block ``TABLE = {``, ``...``, entries, ``}`` to that table, last or before another."""
        head, *inside, end = code.splitlines(keepends=True)
        entries = "".join(line for line in inside if line.strip(" ,\n") != "...")
        text = (self.root / file).read_text("utf-8")
        place = text.index(f"\n{before or end}", text.index(head)) + 1
        (self.root / file).write_text(text[:place] + entries + text[place:], "utf-8")

    def set(self, code: str, file: str = "app.yaml") -> None:
        """Set the keys of a block of settings, which keep their place; new ones come first in their section."""
        text = (self.root / file).read_text("utf-8")
        for section, keys in yaml.safe_load(code).items():
            head, body = re.split(rf"^{section}:.*\n", text, flags=re.MULTILINE)
            header = text[len(head) : len(text) - len(body)]
            for key, value in keys.items():
                line = f"  {key}: {json.dumps(value)}\n"
                ours, rest = re.match(r"((?:[ #].*\n|\n)*)([\s\S]*)", body).groups()
                changed, count = re.subn(rf"^  {key}:.*\n", line, ours, flags=re.MULTILINE)
                body = (changed if count else line + ours) + rest
            text = head + header + body
        (self.root / file).write_text(text, "utf-8")

    def merge(self, file: str, code: str) -> None:
        """Set the keys of a block that shows a part of a JSON file."""
        path = self.root / file
        content = json.loads(path.read_text("utf-8"))
        shown = json.loads("{" + code + "}")
        assert shown.keys() <= content.keys(), f"{file} lacks {shown.keys() - content.keys()}"
        path.write_text(json.dumps(content | shown, indent=4) + "\n", "utf-8")

    def run(self, *command: str) -> str:
        """Run a command in the copy, with its packages, and return what it wrote; it must succeed."""
        program = (sys.executable,) if command[0] == "python" else (str(Path(sys.executable).parent / command[0]),)
        if shutil.which(program[0]) is None:
            program = (command[0],)
        done = subprocess.run(
            [*program, *command[1:]],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, " ".join(command) + "\n" + done.stdout + done.stderr
        return done.stdout

    def check_style(self, *files: str) -> None:
        """``make lint`` but for the types."""
        self.run("python", "-m", "ruff", "check", "--no-cache", *files)
        self.run("python", "-m", "ruff", "format", "--no-cache", "--check", *files)

    def test(self, *files: str) -> str:
        """Run tests in the copy."""
        return self.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
