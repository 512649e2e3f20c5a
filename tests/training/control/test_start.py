"""What is told before a training, while it runs and after it."""

from __future__ import annotations

import csv
import dataclasses
import logging
import re
from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointSaver
from torch.utils.data import DataLoader

from training.control import progress
from training.control.plan import Plan, announce
from training.control.progress import Progress, duration
from training.control.resuming import resume
from training.control.schedule import Validation
from training.control.start import start
from training.datasets.errors import InputError
from training.datasets.manifest import ImageRecord
from training.learning.checkpoints import BEST
from training.learning.history import HISTORY, History


def record(number, split, label, study):
    return ImageRecord(Path(f"{number}.png"), split, label, f"group {study}", f"study {study}")


RECORDS = [record(0, "train", 0, 0), record(1, "train", 1, 1), record(2, "train", 1, 1), record(3, "val", 0, 2)]


class Score:
    """A metric that is always the same."""

    def attach(self, evaluator):
        evaluator.add_event_handler("EPOCH_COMPLETED", lambda: evaluator.state.metrics.update(score=0.5))


def built(folder, epochs=2, interval=4, loss=torch.nn.functional.mse_loss, saves=True):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1)
    data = [{"image": torch.rand(3), "label": torch.rand(1)} for _ in range(8)]
    loader = DataLoader(data, batch_size=2)
    device = torch.device("cpu")
    best = CheckpointSaver(
        str(folder), {"network": network}, save_key_metric=True, key_metric_name="score", key_metric_filename=BEST,
        key_metric_save_state=True,
    )  # fmt: skip
    handlers = [Score(), best] if saves else [Score()]
    evaluator = SupervisedEvaluator(device, loader, network, val_handlers=handlers, decollate=False)
    handlers = [Validation(evaluator, interval), History([evaluator], str(folder)), Progress([evaluator], 2)]
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    trainer = SupervisedTrainer(
        device, epochs, loader, network, optimizer, loss, train_handlers=handlers, decollate=False
    )
    resume(trainer, {"network": network, "optimizer": optimizer}, best, folder, (interval, 10))
    return trainer, [evaluator], Plan(epochs, 8, 2, (interval, 10), str(folder))


def history(folder):
    with (folder / HISTORY).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("epochs", "interval"), [(2, 4), (5, 4), (1, 9)])
def test_a_short_training_leaves_a_model_its_curve_and_a_checkpoint(epochs, interval, tmp_path, capsys):
    start(*built(tmp_path, epochs, interval), dry_run=False)
    assert {BEST, HISTORY, "checkpoint.pt"} <= {path.name for path in tmp_path.iterdir()}
    rows = history(tmp_path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    assert [row["score"] for row in rows if row["score"]] == ["0.5"] * len(
        {epoch for epoch in range(1, epochs + 1) if epoch % interval == 0} | {epochs}
    )
    assert rows[-1]["score"] == "0.5"
    out = capsys.readouterr().out
    assert re.search(r"^time +about \d+ s", out, re.MULTILINE)
    assert str(tmp_path / BEST) in out
    before = (tmp_path / BEST).read_bytes()
    start(*built(tmp_path, epochs, interval), dry_run=False)  # the same command again
    assert "nothing is left to do" in capsys.readouterr().out
    assert (tmp_path / BEST).read_bytes() == before
    assert history(tmp_path) == rows


def test_a_training_without_a_model_is_an_error(tmp_path):
    with pytest.raises(InputError, match="made no model"):
        start(*built(tmp_path, saves=False), dry_run=False)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    with pytest.raises(InputError, match="loss is nan in step 1"):
        start(*built(tmp_path, loss=lambda *_: torch.tensor(float("nan"), requires_grad=True)), dry_run=False)
    assert not (tmp_path / BEST).exists()


def test_a_dry_run_changes_nothing(tmp_path, capsys):
    trainer, evaluators, plan = built(tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    start(trainer, evaluators, plan, dry_run=True)
    out = capsys.readouterr().out
    assert re.search(r"dry run: \(2, 3\) a batch, loss \d\.\d+; nothing was trained", out)
    assert "time" in out
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())
    assert not list(tmp_path.iterdir())


def test_an_interrupted_training_says_how_to_go_on(tmp_path, capsys):
    trainer, evaluators, plan = built(tmp_path)

    def interrupt():
        raise KeyboardInterrupt

    trainer.add_event_handler("ITERATION_COMPLETED", interrupt)
    with pytest.raises(SystemExit) as stopped:
        start(trainer, evaluators, plan, dry_run=False)
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().out


def test_the_history_keeps_what_comes_before_the_place_where_a_training_goes_on(tmp_path):
    start(*built(tmp_path, epochs=4, interval=2), dry_run=False)
    rows = history(tmp_path)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    content["trainer"]["iteration"] = 8  # as after the second epoch
    torch.save(content, tmp_path / "checkpoint.pt")
    start(*built(tmp_path, epochs=4, interval=2), dry_run=False)
    assert history(tmp_path)[:2] == rows[:2]
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2", "3", "4"]
    seconds = [float(row["seconds"]) for row in history(tmp_path)]
    assert seconds == sorted(seconds)


# --- the plan


def test_the_plan_counts_what_will_be_done(capsys):
    announce(Plan(3, 17, 4, (2, 10), "runs/x"), "data/x", RECORDS)
    out = capsys.readouterr().out
    assert "train: 3 images of 2 studies, 2 abnormal; val: 1 images of 1 studies, 0 abnormal" in out
    assert "3 epochs of 4 steps of 4 crops: 48 crops" in out
    assert "2 in all" in out
    assert "runs/x/best.pt" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [({"epochs": 0}, "--epochs 0"), ({"samples": 3}, "lower --batch_size"), ({"schedule": (0, 1)}, "interval 0")],
)
def test_a_plan_with_nothing_to_do_is_an_error(change, message):
    with pytest.raises(InputError, match=message):
        announce(dataclasses.replace(Plan(3, 17, 4, (2, 10), "runs/x"), **change), "data/x", RECORDS)


# --- progress


def test_without_a_terminal_there_are_lines_with_rate_loss_and_remaining_time(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        start(*built(tmp_path), dry_run=False)
    lines = [entry.getMessage() for entry in caplog.records if entry.name == "training.control.progress"]
    steps = [line for line in lines if line.startswith("epoch")]
    assert len(steps) == 8
    assert re.fullmatch(r"epoch 2 of 2, step 3 of 4, loss \d\.\d{4}, [\d.e+]+ images/s, \d+ s left", steps[6])
    assert any(line.startswith("validation after epoch 2") for line in lines)


def test_lines_are_rare(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        start(*built(tmp_path), dry_run=False)
    assert not [entry for entry in caplog.records if entry.name == "training.control.progress"]
    assert [entry.getMessage() for entry in caplog.records if entry.name == "training.learning.history"]


def test_on_a_terminal_there_is_a_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    start(*built(tmp_path), dry_run=False)
    bar = capsys.readouterr().err
    for part in (r"epoch \d of 2", r"loss \d\.\d+", "images/s", r"of 8", "left"):
        assert re.search(part, bar)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (720, "12 min"), (3590, "1 h 0 min"), (6400, "1 h 47 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
