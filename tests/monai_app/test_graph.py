"""The graph in this process: every operator emits, a lost study is told, and a run can follow another."""

from __future__ import annotations

import pytest
import yaml

from monai_app import run as application
from operators import pipeline
from operators.reporting import output_folder as outputs
from operators.reporting.output_folder import study_folder
from tests.monai_app.application import ROOT, Run
from tests.phantoms import radiograph, save

pytestmark = pytest.mark.slow  # each runs the application


@pytest.fixture
def studies(tmp_path):
    for name in ("a", "b", "c"):
        save(radiograph(name), tmp_path / "in" / f"{name}.dcm")
    save(radiograph("chest", BodyPartExamined="CHEST", AnatomicRegionSequence=[]), tmp_path / "in" / "chest.dcm")
    return tmp_path / "in"


def run(source, output) -> Run:
    return Run(application.run(["osteomap", "-i", str(source), "-o", str(output)]), "", output)


def test_two_runs_in_one_process(studies, tmp_path):
    first, second = run(studies, tmp_path / "one"), run(studies, tmp_path / "two")
    assert (first.code, second.code) == (0, 0)
    assert first.result["studies"] == second.result["studies"]
    assert first.result["counts"]["studies"] == 4
    assert all(value >= 0 for value in first.result["seconds"].values())


@pytest.mark.parametrize("place", [(application, "write_study"), (pipeline, "encode_study")], ids=["end", "stage"])
def test_a_mistake_of_ours_costs_one_study_and_its_text_is_not_printed(studies, tmp_path, monkeypatch, capfd, place):
    real, calls = getattr(*place), []

    def sometimes(*args):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("SMITH")
        return real(*args)

    monkeypatch.setattr(*place, sometimes)
    done = run(studies, tmp_path / "out")
    assert (done.code, done.result["exit_code"]) == (3, 3)
    assert (done.result["counts"]["images"], done.result["counts"]["failed"]) == (4, 1)
    assert [image["reason"] for image in done.images.values()].count("internal_error") == 1
    printed = capfd.readouterr()
    assert "SMITH" not in printed.out + printed.err


def test_an_operator_that_fails_ends_the_run_and_neither_loses_a_study_nor_prints_a_text(
    studies, tmp_path, monkeypatch, capfd
):
    def fail(*_):
        raise RuntimeError("SMITH")

    monkeypatch.setattr(pipeline.ImageStage, "__call__", fail)
    done = run(studies, tmp_path / "out")
    assert (done.code, done.result["exit_code"]) == (1, 1)
    assert done.result["counts"]["failed"] == done.result["counts"]["images"] == 4
    assert {image["reason"] for image in done.images.values()} == {"internal_error"}
    printed = capfd.readouterr()
    assert "SMITH" not in printed.out + printed.err


def test_a_scheduler_that_ends_at_once_loses_no_study(studies, tmp_path, monkeypatch, capfd):
    real, calls = application.OsteoMapApp.run, []

    def sometimes(self):
        calls.append(1)
        if len(calls) == 1:
            next(self.studies)  # a study that was read and went no further
            self.compose()
        else:
            real(self)

    monkeypatch.setattr(application.OsteoMapApp, "run", sometimes)
    done = run(studies, tmp_path / "out")
    assert done.code == 0
    assert done.result["counts"]["studies"] == 4
    assert "ended before the first study was delivered" in capfd.readouterr().err


def test_an_artefact_that_disappears_is_noticed(studies, tmp_path, monkeypatch):
    add = application.RunReport.add

    def lose(self, reported, summary):
        done = add(self, reported, summary)
        folder = study_folder(reported.study.study_instance_uid)
        (self.output / folder / "sr.dcm").unlink()
        return done

    monkeypatch.setattr(application.RunReport, "add", lose)
    assert run(studies, tmp_path / "out").code == 1


def test_what_an_earlier_run_left_is_replaced(studies, tmp_path):
    output = tmp_path / "out"
    first = run(studies, output)
    folder = output / first.result["studies"][0]["folder"]
    (folder / "seg_7.dcm").write_bytes(b"stale")
    (folder / "notes.txt").write_text("mine")
    again = run(studies, output)
    assert not (folder / "seg_7.dcm").exists()
    assert (folder / "notes.txt").exists()
    assert first.result["studies"] == again.result["studies"]


@pytest.mark.parametrize("moment", ["list_files", "_Run._run_graph"])
def test_a_killed_run_does_not_seem_to_have_ended(studies, tmp_path, monkeypatch, moment):
    output = tmp_path / "out"
    assert run(studies, output).code == 0
    monkeypatch.setattr(f"monai_app.run.{moment}", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        application.run(["osteomap", "-i", str(studies), "-o", str(output)])
    assert not [path for path in output.iterdir() if path.is_file()]


def test_a_full_disk_is_said_in_one_line(studies, tmp_path, monkeypatch, capfd):
    def full(*_):
        raise OSError(28, "No space left on device")

    real = outputs._write_object

    def full_at_the_report(ds, output, name):
        return full() if name.endswith("sr.dcm") else real(ds, output, name)

    monkeypatch.setattr(outputs, "_write_object", full_at_the_report)
    done = run(studies, tmp_path / "out")
    assert done.code == 1
    assert "No space left on device" in capfd.readouterr().err
    assert done.objects == []  # neither half a study nor what an earlier run left


def test_models_in_each_other_s_place_end_with_2(studies, tmp_path, monkeypatch, capfd):
    settings = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
    for change in (
        {"classification": settings["classification"] | {"bundle": "msk_sam"}},
        {"segmentation": settings["segmentation"] | {"bundle": "msk_resnet50"}},
        {"segmentation": settings["segmentation"] | {"bundle": "msk_resnet50", "checkpoint": "sam_vit_b"}},
    ):
        (tmp_path / "app.yaml").write_text(yaml.safe_dump(settings | change))
        monkeypatch.setenv("HOLOSCAN_CONFIG_PATH", str(tmp_path / "app.yaml"))
        assert application.run(["osteomap", "-i", str(studies), "-o", str(tmp_path / "out")]) == 2
        assert "bundle msk_" in capfd.readouterr().err


def test_the_input_is_no_output(studies, capfd):
    assert application.run(["osteomap", "-i", str(studies), "-o", str(studies)]) == 2
    assert "-o" in capfd.readouterr().err


def test_a_stage_that_fails_on_one_image_costs_that_image(studies, tmp_path, monkeypatch):
    real, calls = pipeline.classify_together, []

    def sometimes(radiograph, bundles, rule, **words):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return real(radiograph, bundles, rule, **words)

    monkeypatch.setattr(pipeline, "classify_together", sometimes)
    done = run(studies, tmp_path / "out")
    assert done.code == 3
    assert [image["reason"] for image in done.images.values()].count("internal_error") == 1
