"""Every option of a training is in docs/training.md, with the default that its configuration has and a meaning."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from training.control.options import HEADING, MEANINGS, main, options_section, training_options

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PAGE = ROOT / "docs" / "training.md"
BUNDLES = [path.parent.parent.name for path in sorted((ROOT / "bundles").glob("*/configs/train.json"))]


def test_the_page_has_the_options_of_the_configurations():
    assert options_section(ROOT / "bundles") in PAGE.read_text("utf-8"), (
        "python -m training.control.options docs/training.md"
    )


@pytest.mark.parametrize("name", BUNDLES)
def test_every_key_with_a_plain_value_is_on_the_page(name):
    _, _, section = PAGE.read_text("utf-8").partition(f"{HEADING}\n")
    listed = set(re.findall(r"^\| `--(\w+)` \|", section, re.MULTILINE))
    for path in (ROOT / "bundles" / name / "configs").glob("train*.json"):
        for key, value in json.loads(path.read_text("utf-8")).items():
            if isinstance(value, (bool, int, float)) and "#" not in key:
                assert key in listed, f"{path.name}: {key}"


def test_no_meaning_is_left_of_an_option_that_is_gone():
    found = {key for name in BUNDLES for keys in training_options(ROOT / "bundles" / name).values() for key in keys}
    assert set(MEANINGS) == found


def test_an_option_without_a_meaning_is_an_error(tmp_path):
    shutil.copytree(ROOT / "bundles" / "msk_cnn" / "configs", tmp_path / "msk_cnn" / "configs")
    shutil.copytree(ROOT / "bundles" / "msk_sam" / "configs", tmp_path / "msk_sam" / "configs")
    file = tmp_path / "msk_cnn" / "configs" / "train.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"momentum": 0.9}), "utf-8")
    with pytest.raises(KeyError, match="momentum"):
        options_section(tmp_path)


def test_the_command_renews_the_section_and_leaves_the_rest(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{HEADING}\n\nold\n\n### Old\n\n## After\n\ntext\n", "utf-8")
    for _ in range(2):
        assert main([str(page)]) == 0
    section = options_section(ROOT / "bundles")
    assert page.read_text("utf-8") == f"# Page\n\n{section}\n## After\n\ntext\n"
    page.write_text("# Page\n", "utf-8")
    with pytest.raises(SystemExit, match="no section"):
        main([str(page)])
    assert main([]) == 0
    assert capsys.readouterr().out == section
