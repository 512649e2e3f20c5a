"""The edge of a program: bad input is one line, a bug is a traceback with a hint."""

from __future__ import annotations

import traceback

import pytest

from operators.records.errors import BundleError
from training.datasets.errors import BUG, InputError, or_exit
from training.datasets.manifest import ManifestError


def fail(error):
    raise error


def test_what_a_function_returns_comes_through():
    assert or_exit(max, 1, 2) == 2


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.pt: not a checkpoint\nmore"), "error: a.pt: not a checkpoint"),
        (ManifestError("row 3"), "error: row 3"),
        (BundleError("bundle x"), "error: bundle x"),
        (FileNotFoundError("no such file"), "error: no such file"),
        (TimeoutError(), "error: TimeoutError"),
    ],
)
def test_bad_input_is_one_line(error, line):
    with pytest.raises(SystemExit) as stopped:
        or_exit(fail, error)
    assert stopped.value.code == line
    assert stopped.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("bad axis"), KeyError("network")])
def test_a_bug_looks_like_a_bug(error):
    with pytest.raises(type(error)) as raised:
        or_exit(fail, error)
    assert BUG in "".join(traceback.format_exception(raised.value))
