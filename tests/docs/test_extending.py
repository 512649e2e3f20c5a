"""The recipes of docs/extending.md, followed as they are written in a copy of the repository.

What each promises is checked there: by the test of the recipe itself and by ``promised_<recipe>.py`` in this folder.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.docs.recipes import PAGE, ROOT, Copy, recipe
from tests.phantoms import radiograph, save, stored_phantom
from training.datasets.dataset import read_dataset

HEADINGS = ("## A classifier", "## An output object", "## An activation map", "### As a reader")


@pytest.fixture
def copy(tmp_path) -> Copy:
    (tmp_path / "repository").mkdir()
    return Copy.at(tmp_path / "repository")


# --- what every block must be


def test_the_recipes_are_those_that_are_followed_here():
    titles = re.findall(r"^## (.*)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert titles == ["A classifier", "An output object", "An activation map", "A data set"]


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_block_can_be_read(heading):
    for step in recipe(heading):
        for code in step.code("python"):
            ast.parse(as_statement(code))
        for code in step.code("yaml"):
            assert yaml.safe_load(code)
        for code in step.code("json"):
            assert json.loads("{" + code + "}")
        assert all(step.commands)


def as_statement(code: str) -> str:
    """Make an entry of a table a statement, and leave out what stands for the other entries."""
    code = code.replace("    ...\n", "")
    return "{" + code + "}" if re.match(r"\"\w+\": ", code) else code


# --- the recipes


@pytest.mark.slow
def test_an_output_object(copy):
    module, row, switch, test, _ = recipe("## An output object")
    copy.write(module.file, *module.code("python"))
    function, table = row.code("python")
    copy.add_import(row.file, function)
    copy.extend(row.file, table, before='    ObjectKind(\n        *("sr"')
    copy.set(*switch.code("yaml"))
    copy.write(test.file, *test.code("python"))
    copy.check_style(module.file, row.file, test.file)
    copy.test(test.file, "tests/docs/promised_output_object.py")


@pytest.mark.slow
def test_an_activation_map(copy):
    method, name, use, test, measure = recipe("## An activation map")
    function, table = method.code("python")
    copy.insert(method.file, function + "\n\n", before=table.splitlines()[0])
    copy.extend(method.file, table)
    copy.extend(name.file, *name.code("python"))
    copy.set(*use.code("yaml"))
    copy.extend(test.file, *test.code("python"))
    copy.insert(measure.file, *measure.code("python"), before='"cam_2_stages"')
    copy.check_style(method.file, name.file, test.file, measure.file)
    copy.test(test.file, "tests/docs/promised_activation_map.py", "-k", "xgrad_cam or promised")


@pytest.mark.slow
def test_a_data_set(copy):
    reader, register, test, _ = recipe("### As a reader")
    copy.write(reader.file, *reader.code("python"))
    imports, lines = register.code("python")
    copy.add_import(register.file, imports)
    copy.insert(register.file, lines, before='what = "no data set in a known form"')  # part of the error
    copy.insert(register.file, '"folders normal/ and abnormal/ of PNG files; "\n', before='"a CSV with columns')
    copy.write(test.file, *test.code("python"))
    copy.check_style(reader.file, register.file, test.file)
    copy.test(test.file, "tests/docs/promised_data_set.py")


def test_a_manifest(tmp_path):
    """The manifest that the page shows, beside images of the names that it holds."""
    _, _, rest = PAGE.read_text("utf-8").partition("### As a manifest\n")
    shown = re.search(r"```csv\n(.*?)```", rest, re.DOTALL)[1]
    (tmp_path / "manifest.csv").write_text(shown, "utf-8")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in re.findall(rf"{folder}/(\d+\.png)", shown):
            Image.new("L", (200, 220), 1).save(tmp_path / folder / name)
    one, two = read_dataset(tmp_path)
    assert (one.label, one.split, one.group, one.body_part) == (1, "train", "patient1", "wrist")
    assert (two.label, two.split, two.group, two.boxes) == (0, "train", "patient2", ())


QUICK = {
    **{"epochs": 1, "images_per_epoch": 48, "batch_size": 4, "crop_size": 64, "learning_rate": 0.002},
    **{"validation_interval": 1, "loader_workers": 0, "amp": False, "cache_dir": "runs/cache"},
}


SMALL_IMAGES = """
"geometry": {
    "_target_": "Compose",
    "transforms": [
        {"_target_": "EnsureChannelFirst", "channel_dim": "no_channel"},
        {"_target_": "Resize", "spatial_size": 128, "size_mode": "longest", "mode": "area"},
        {"_target_": "DivisiblePad", "k": 32, "method": "end"}
    ]
}
"""


def write_noisy_patches(folder: Path, count: int = 40) -> None:
    """Write a data set that is learned in seconds: what is abnormal has a patch of noise."""
    rows = ["file,label,split,boxes_xyxy"]
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for number in range(count):
        pixels = np.tile(np.linspace(40, 120, 128), (128, 1)) + random.normal(0, 2, (128, 128))
        abnormal, boxes = number % 2 == 1, "[]"
        if abnormal:
            top, left = random.integers(8, 56, 2)
            pixels[top : top + 64, left : left + 64] += random.normal(0, 60, (64, 64))
            boxes = f"[[{left}, {top}, {left + 64}, {top + 64}]]"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        label, split = ("abnormal" if abnormal else "normal"), ("val" if number % 6 < 2 else "train")
        rows.append(f'{number}.png,{label},{split},"{boxes}"')
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")


@pytest.mark.slow
def test_a_classifier(copy):
    """Every command of the recipe, with small images and a short training on data that are learned in that time."""
    make, network, describe, train, fit, use, test = recipe("## A classifier")
    copy.run(*make.command("training.export"))
    copy.merge(network.file, *network.code("json"))
    copy.merge(network.file, SMALL_IMAGES)
    copy.merge(describe.file, *describe.code("json"))

    training, export = train.command("monai.bundle"), train.commands[-1]
    write_noisy_patches(copy.root / training[training.index("--dataset_dir") + 1])
    quick = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]
    copy.run(*training, *quick)
    copy.run(*export)
    copy.run(*fit.command("training.fit"))

    for words in use.commands[:-1]:
        assert words == ["cp", "-r", "bundles/msk_sam", "models/"]
        (copy.root / "models" / "msk_sam").symlink_to(ROOT / "bundles" / "msk_sam")
    copy.set(*use.code("yaml"))
    save(radiograph("a", stored=stored_phantom(3, "gap"), BitsStored=12, HighBit=11), copy.root / "IN" / "a.dcm")
    copy.run(*use.commands[-1])
    result = json.loads((copy.root / "OUT" / "result.json").read_text("utf-8"))
    assert [model["bundle"] for model in result["models"]] == ["msk_resnet18", "msk_sam"]
    ((image,),) = (study["images"] for study in result["studies"])
    assert image["state"] in ("normal", "doubt", "abnormal")
    assert 0 <= image["probability"] <= 1

    copy.write("tests/bundles/test_msk_resnet18.py", *test.code("python"))
    copy.check_style("tests/bundles/test_msk_resnet18.py")
    copy.test("tests/bundles/test_msk_resnet18.py")
