"""A study in mercure's folders, in its own file formats, -> objects that mercure sends on, and its result.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from monai_app.container.mercure import TaskError, merged_settings, module_settings, notification
from tests.monai_app.application import ROOT
from tests.phantoms import radiograph, save


def task(settings: object, *, several: bool = False) -> dict[str, object]:
    """Return a task.json as mercure 0.3 and 0.4 write it (their tests/test_processor.py)."""
    step = {
        "module_name": "osteomap",
        "module_config": {
            **{"docker_tag": "osteomap:0.2.0", "additional_volumes": "", "environment": "", "docker_arguments": ""},
            **{"settings": {}, "contact": "", "comment": "", "constraints": "", "resources": ""},
        },
        "settings": settings,
        "retain_input_images": "False",
    }
    return {
        "id": "b2f1b2a0-8dfd-11ef-a1a7-0242ac120002",
        "info": {
            **{"uid": "1.2.3", "action": "process", "applied_rule": "catchall", "uid_type": "series"},
            **{"triggered_rules": {"catchall": True}, "mrn": "CANARY", "acc": "CANARY", "mercure_version": "0.4.0"},
        },
        "dispatch": {},
        "process": [step, {**step, "module_name": "other", "settings": {}}] if several else step,
        "study": {},
    }


def write_task(folder: Path, content: object) -> Path:
    path = folder / "task.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize("several", [False, True])
def test_the_settings_of_the_module_are_sections_of_app_yaml(several, tmp_path):
    changes = module_settings(write_task(tmp_path, task({"outputs": {"pdf": True}}, several=several)))
    settings = merged_settings(ROOT / "app.yaml", changes)
    assert settings["outputs"]["pdf"] is True
    assert settings["outputs"]["gsps"] is True
    assert settings["classification"]["bundle"] == "msk_resnet50"


@pytest.mark.parametrize("settings", ["", {}, [], None])
def test_a_module_without_settings_runs_with_those_of_the_image(settings, tmp_path):
    assert module_settings(write_task(tmp_path, task(settings))) == {}
    assert module_settings(tmp_path / "none.json") == {}


@pytest.mark.parametrize("settings", ["outputs", ["outputs"], {"pdf": True}])
def test_other_settings_are_refused(settings, tmp_path):
    with pytest.raises(TaskError, match=r"sections of app\.yaml"):
        module_settings(write_task(tmp_path, task(settings)))


def test_a_task_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "task.json").write_text("{")
    with pytest.raises(TaskError, match="cannot be read"):
        module_settings(tmp_path / "task.json")


def test_only_what_somebody_should_look_at_asks_for_a_message():
    none = dict.fromkeys(("abnormal", "doubt", "normal", "declined", "failed"), 0)
    assert notification(none | {"normal": 2, "declined": 1}) == {
        "text": "OsteoMAP, research use only: 2 normal, 1 declined",
        "requested": False,
    }
    assert notification(none | {"abnormal": 1})["requested"]
    assert notification(none | {"failed": 1})["requested"]


@pytest.mark.slow
def test_a_study_goes_in_and_objects_come_out(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    target.mkdir()
    image = radiograph("a")
    save(image, source / f"{image.SeriesInstanceUID}#{image.SOPInstanceUID}.dcm")
    (source / f"{image.SeriesInstanceUID}#{image.SOPInstanceUID}.tags").write_text("{}")
    settings = {"classification": {"bundle": "msk_random_baseline", "check_turned": False}, "outputs": {"gsps": False}}
    write_task(source, task(settings))
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    environment = os.environ | {
        **{"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(target), "PYTHONPATH": str(ROOT)},
        **{"HOLOSCAN_CONFIG_PATH": str(ROOT / "app.yaml")},
    }
    command = [sys.executable, "-W", "ignore", "-m", "monai_app.container.mercure"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "CANARY" not in done.stderr
    result = json.loads((target / "result.json").read_text("utf-8"))
    names = {output["file"] for output in result["studies"][0]["outputs"]}
    assert names == {path.name for path in target.glob("*.dcm")}
    assert not any(path.is_dir() for path in target.iterdir())
    assert not any("gsps" in name for name in names)
    assert {dcmread(target / name).StudyInstanceUID for name in names} == {image.StudyInstanceUID}
    assert result["__mercure_notification"]["text"].startswith("OsteoMAP, research use only: 1 ")
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_without_mercures_variables_it_says_so(tmp_path):
    command = [sys.executable, "-m", "monai_app.container.mercure"]
    environment = {"PYTHONPATH": str(ROOT), "MERCURE_IN_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "MERCURE_OUT_DIR names no folder" in done.stderr
