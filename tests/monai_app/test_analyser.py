"""The application in memory: the objects of the graph, models that are loaded once, any source, several callers."""

from __future__ import annotations

import dataclasses
import gc
import io
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from monai_app import open_analyser
from monai_app.analyser import Analyser
from monai_app.settings import SettingsError, read_settings
from monai_app.settings.sections import ModelSettings
from operators import pipeline
from operators.networks.verification import CHECKSUMS
from operators.networks.weights import sha256
from operators.records.errors import AnalysisCancelledError, BundleError
from operators.records.study import Study
from tests.monai_app.application import ROOT, run
from tests.phantoms import radiograph, save, source_image, stored_phantom
from training.demo import EXPECTED
from training.demo import write as write_demo

CLOCK = ("DA", "TM", "DT")


@pytest.fixture(scope="module")
def analyser():
    with open_analyser() as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder / "in")
    for number in (1, 2):
        save(
            radiograph(f"two views {number}", study="two views", InstanceNumber=number), folder / "in" / f"{number}.dcm"
        )
    (folder / "in" / "notes.txt").write_text("no image")
    return folder / "in"


def without_time(ds: Dataset) -> Dataset:
    """Return a data set whose dates and times are empty."""
    for element in ds.iterall():
        if element.VR in CLOCK:
            element.value = None
    return ds


@pytest.mark.slow
def test_the_graph_and_the_analyser_make_equal_objects(analyser, demo, tmp_path):
    of_graph = run(demo, tmp_path / "graph")
    assert of_graph.code == 0
    for study in analyser.analyse(demo):
        study.save(tmp_path / "plain")
    plain = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.dcm"))
    assert plain == sorted(path.relative_to(of_graph.output) for path in of_graph.objects)
    assert len(plain) >= 9
    for name in plain:
        first, second = (without_time(dcmread(folder / name)) for folder in (of_graph.output, tmp_path / "plain"))
        assert first == second, name


@pytest.mark.slow
def test_a_study_says_what_the_command_line_writes(analyser, demo, tmp_path):
    studies = {study.images[0].file: study for study in analyser.analyse(demo) if len(study.images) == 1}
    assert {name: study.state for name, study in studies.items()} == EXPECTED
    (image,) = studies["fracture.dcm"].images
    rows, columns = dcmread(demo / "fracture.dcm").pixel_array.shape
    assert image.heatmap.shape == image.pixels.shape == image.masks[0].shape == (rows, columns)
    assert len(image.boxes) == len(image.scores) == len(image.masks) == len(image.predicted_iou) >= 1
    assert not image.masks[0].flags.writeable
    assert set(image.objects) == {"seg", "heatmap", "sc", "gsps"}
    assert studies["fracture.dcm"].objects["sr"].StudyInstanceUID == studies["fracture.dcm"].study_instance_uid
    assert studies["fracture.dcm"].probability == image.probability
    declined = studies["chest.dcm"].images[0]
    assert (declined.reason, declined.probability, declined.boxes) == ("body_part_out_of_scope", None, ())
    written = studies["fracture.dcm"].save(tmp_path)
    assert {path.name for path in written} == {"sr.dcm", "seg_1.dcm", "heatmap_1.dcm", "sc_1.dcm", "gsps_1.dcm"}


@pytest.mark.slow
def test_nothing_is_written_unless_it_is_saved(analyser, demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    list(analyser.analyse(demo / "normal.dcm"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_results_outlive_the_analyser_and_leave_nothing(analyser, demo, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Analyser(analyser.models, analyser.settings) as short:
        (study,) = short.analyse(demo / "fracture.dcm")
    (image,) = study.images
    seg, masks = image.objects["seg"], image.masks
    assert image.pixels.shape == image.heatmap.shape == masks[0].shape
    assert study.save(tmp_path / "out")
    del study, image
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert int(np.unpackbits(np.frombuffer(seg.PixelData, np.uint8)).sum()) == sum(int(mask.sum()) for mask in masks)


def test_images_are_taken_through_the_chain_one_after_the_other():
    order, images = [], tuple(source_image() for _ in range(3))

    def stage(name):
        return pipeline.ImageStage(name, "a", "b", lambda image: order.append((images.index(image), name)) or image)

    def report(study, _cancelled):
        order.append("report")
        return study

    chain = (stage("first"), stage("second"), pipeline.StudyStage("report", "b", "c", report))
    assert pipeline.run(Study("1", images), chain).images == images
    assert order == [(index, name) for index in range(3) for name in ("first", "second")] + ["report"]


@pytest.mark.slow
def test_paths_bytes_files_and_data_sets_give_the_same_result(analyser, demo):
    path = demo / "fracture.dcm"
    ds = dcmread(path)
    bare = Dataset(ds)  # as a program builds it: without file meta information
    assert not hasattr(bare, "file_meta")
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), ds, bare, [path], (ds,)]
    results = [list(analyser.analyse(source)) for source in sources]
    assert all(len(studies) == 1 for studies in results)
    first = results[0][0]
    for (study,) in results[1:]:
        assert study.probability == first.probability
        assert study.images[0].boxes == first.images[0].boxes
        assert np.array_equal(study.images[0].masks[0], first.images[0].masks[0])
        assert study.objects["sr"].SOPInstanceUID == first.objects["sr"].SOPInstanceUID


@pytest.mark.slow
def test_bad_input_costs_itself_only(analyser, demo, tmp_path):
    impossible = dcmread(demo / "normal.dcm")
    impossible.Rows = "many"
    sources = [b"junk", b"\0" * 128 + b"DICM\x08\x00", tmp_path / "absent.dcm", impossible, demo / "normal.dcm"]
    images = [image for study in analyser.analyse(sources) for image in study.images]
    assert [image.state for image in images].count("normal") == 1
    assert [image.state for image in images].count("failed") == 3  # junk is no DICOM file and is ignored
    with pytest.raises(FileNotFoundError, match="absent"):
        analyser.analyse(tmp_path / "absent.dcm")
    with pytest.raises(TypeError, match="int"):
        analyser.analyse(7)
    for wrong, kind in (([7], "int"), ([None], "NoneType"), (io.StringIO("text"), "file that gives str")):
        with pytest.raises(TypeError, match=f"cannot analyse a {kind}"):
            list(analyser.analyse(wrong))


@pytest.mark.slow
def test_the_time_of_a_study_is_that_of_its_own_analysis(analyser, demo, monkeypatch):
    times = iter(np.arange("2026-01-01T10:00:00", "2026-01-01T20:00:00", 3600, dtype="datetime64[s]").tolist())
    monkeypatch.setattr("monai_app.analyser.now", lambda: next(times))
    studies = list(analyser.analyse(demo))
    hours = [study.objects["sr"].ContentTime[:2] for study in studies]
    assert hours == [f"{10 + index}" for index in range(len(studies))]
    assert [study.analysed_at.hour for study in studies] == list(range(10, 10 + len(studies)))
    made = {
        study.analysed_at.hour: [ds for image in study.images for ds in image.objects.values()] for study in studies
    }
    assert sum(map(len, made.values())) >= 6
    for hour, objects in made.items():
        assert {ds.ContentTime[:2] for ds in objects if "ContentTime" in ds} <= {str(hour)}


@pytest.mark.slow
def test_an_analysis_can_be_cancelled(analyser, demo):
    cancel = threading.Event()
    studies = analyser.analyse(demo, cancel=cancel)
    next(studies)
    cancel.set()
    with pytest.raises(AnalysisCancelledError):
        next(studies)
    assert next(analyser.analyse(demo / "normal.dcm")).state == "normal"  # the analyser goes on


@pytest.mark.slow
def test_a_cancelled_study_stops_before_its_next_image(analyser, demo, monkeypatch):
    cancel, classified = threading.Event(), []
    real = pipeline.classify_together

    def count(*arguments, **words):
        classified.append(1)
        cancel.set()
        return real(*arguments, **words)

    monkeypatch.setattr(pipeline, "classify_together", count)
    with pytest.raises(AnalysisCancelledError):
        list(analyser.analyse([demo / "1.dcm", demo / "2.dcm"], cancel=cancel))
    assert len(classified) == 1


@pytest.mark.slow
def test_several_threads_get_the_results_of_one(analyser, demo):
    alone = {study.study_instance_uid: study.probability for study in analyser.analyse(demo)}
    found: list[dict[str, float]] = []

    def work() -> None:
        found.append({study.study_instance_uid: study.probability for study in analyser.analyse(demo)})

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 3


@pytest.mark.slow
def test_a_decoder_that_died_is_started_again(analyser, demo):
    assert next(analyser.analyse(demo / "normal.dcm")).state == "normal"
    analyser.decoder._child.kill()
    analyser.decoder._child.wait()
    assert next(analyser.analyse(demo / "normal.dcm")).state == "normal"


@pytest.mark.slow
def test_a_closed_analyser_says_so(analyser, demo):
    closed = Analyser(analyser.models, analyser.settings)
    waiting = closed.analyse(demo)
    closed.close()
    with pytest.raises(RuntimeError, match="closed"):
        closed.analyse(demo)
    with pytest.raises(RuntimeError, match="closed"):
        next(waiting)


def test_a_bundle_that_the_settings_do_not_trust_is_refused(bundles):
    """The segmenter too: every bundle that is loaded is looked up."""
    digests = {name: sha256(bundles / name / CHECKSUMS) for name in ("msk_resnet50", "msk_sam")}
    for trusted in ({}, digests | {"msk_resnet50": "0" * 64}, {"msk_resnet50": digests["msk_resnet50"]}):
        settings = dataclasses.replace(read_settings(), models=ModelSettings(trusted))
        with pytest.raises(BundleError, match="models: trusted"):
            open_analyser(settings=settings)
    with open_analyser(settings=dataclasses.replace(read_settings(), models=ModelSettings(digests))) as analyser:
        assert analyser.models.segmenter.name == "msk_sam"


def test_models_and_settings_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(BundleError, match="msk_resnet50"):
        open_analyser(tmp_path)
    with pytest.raises(SettingsError, match="absent.yaml"):
        open_analyser(settings=tmp_path / "absent.yaml")


@pytest.fixture
def small_analyser(tmp_path):
    """An analyser whose classifier costs little, so that many studies do."""
    settings = (ROOT / "app.yaml").read_text("utf-8").replace("bundle: msk_resnet50", "bundle: msk_cnn")
    (tmp_path / "app.yaml").write_text(settings)
    with open_analyser(settings=tmp_path / "app.yaml") as opened:
        yield opened


@pytest.mark.slow
def test_a_late_study_costs_what_the_second_did(small_analyser):
    networks = {id(bundle.network) for bundle in (*small_analyser.models.classifiers, small_analyser.models.segmenter)}
    seconds, peaks = [], []
    for number in range(60):
        started = time.perf_counter()
        list(small_analyser.analyse(radiograph(str(number), study=str(number))))
        seconds.append(time.perf_counter() - started)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # MiB
    after = {id(bundle.network) for bundle in (*small_analyser.models.classifiers, small_analyser.models.segmenter)}
    assert after == networks
    assert peaks[-1] - peaks[20] < 16  # by then the libraries' own caches are full
    assert np.median(seconds[-10:]) < 2 * np.median(seconds[1:11])


@pytest.mark.slow
def test_an_image_of_a_large_study_costs_no_memory(small_analyser, tmp_path):
    def peak_of(images: int) -> float:
        stored = np.repeat(np.repeat(stored_phantom(3, "gap"), 10, axis=0), 10, axis=1)  # 1600 x 1280
        for number in range(images):
            path = tmp_path / str(images) / f"{number}.dcm"
            save(radiograph(f"{images} {number}", study=str(images), stored=stored), path)
        (study,) = small_analyser.analyse(tmp_path / str(images))
        assert len(study.images) == images
        assert study.images[-1].probability is not None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB

    few, many = peak_of(4), peak_of(24)
    assert many - few < 60  # picture and heat map of one of them take 16


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("statement", ["import monai_app.settings", "import monai_app.command", "import monai_app"])
def test_settings_and_help_need_neither_torch_nor_holoscan(statement):
    heavy = "('torch', 'monai', 'holoscan', 'timm')"
    in_a_new_process(f"{statement}; import sys; assert not [name for name in {heavy} if name in sys.modules]")


def test_help_and_version_answer_without_torch():
    code = (
        "import sys\nfrom monai_app.command import main\ntry:\n    main(['{flag}'])\nexcept SystemExit as ended:\n"
        "    assert ended.code == 0\nassert 'torch' not in sys.modules\n"
    )
    assert "examples:" in in_a_new_process(code.format(flag="--help"))
    assert in_a_new_process(code.format(flag="--version")).startswith("osteomap 0.")
