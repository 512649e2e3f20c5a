"""``osteomap``: what is typed is what the application is given."""

from __future__ import annotations

import pytest

from monai_app.command import main as osteomap


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in"], "osteomap IN OUT"),
        (["in", "out", "-i", "other"], "IN and OUT, or -i and -o"),
        (["in", "out", "x"], "IN OUT"),
    ],
)
def test_a_command_that_is_wrong_is_refused_with_its_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        osteomap(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_folders_may_stand_without_flags(monkeypatch):
    given = []
    monkeypatch.setattr("monai_app.runtime.prepare", lambda: None)
    monkeypatch.setattr("monai_app.run.run", lambda argv: given.append(argv[1:]) or 0)
    assert osteomap(["in", "out", "-l", "DEBUG"]) == osteomap(["-i", "in", "-o", "out", "-l", "DEBUG"]) == 0
    assert given == [["-i", "in", "-o", "out", "-l", "DEBUG"]] * 2
