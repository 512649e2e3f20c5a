"""A training that was stopped, and is started again by the same command."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.handlers import CheckpointSaver

from training.control.resuming import CHECKPOINT, resume
from training.datasets.errors import InputError
from training.learning.checkpoints import BEST, PlainNumbers, load_network


def training(folder, scores, minutes=10, epochs=4):
    """A training of three steps an epoch that scores ``scores``; returns trainer, network and validated epochs."""
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    batches = [{"image": torch.ones(1, 2), "label": torch.ones(1, 1)}] * 3
    trainer = SupervisedTrainer(torch.device("cpu"), epochs, batches, network, optimizer, torch.nn.MSELoss())
    best = CheckpointSaver(
        str(folder), {"network": network, "optimizer": optimizer}, save_key_metric=True, key_metric_name="score",
        key_metric_filename=BEST, key_metric_save_state=True,
    )  # fmt: skip
    validated = []

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate():
        validated.append(trainer.state.epoch)
        trainer.state.metrics["score"] = np.float32(scores[trainer.state.epoch - 1])  # as scikit-learn gives it

    PlainNumbers().attach(trainer)
    best.attach(trainer)
    resume(trainer, {"network": network, "optimizer": optimizer}, best, folder, (1, minutes))
    return trainer, network, validated


def test_a_killed_training_goes_on_and_keeps_its_best(tmp_path):
    scores = [0.5, 0.9, 0.7, 0.8]
    trainer, network, epochs = training(tmp_path, scores)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), trainer.terminate)
    trainer.run()
    assert epochs == [1, 2, 3]
    kept = network.weight.clone()
    best = (tmp_path / BEST).read_bytes()
    load_network([torch.nn.Linear(2, 1)], tmp_path / BEST)

    trainer, network, epochs = training(tmp_path, scores)
    starts = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: starts.append(network.weight.clone()))
    trainer.run()
    assert epochs == [4]
    assert torch.equal(starts[0], kept)
    assert (tmp_path / BEST).read_bytes() == best  # .8 after the kill does not replace .9 before it


def killed(step):
    def kill():
        raise SystemExit("killed")

    return {"event_name": Events.ITERATION_COMPLETED(once=step), "handler": kill}


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_training_killed_within_an_epoch_goes_on_with_the_next_step(step, tmp_path):
    trainer, network, _ = training(tmp_path, [0.5, 0.6], minutes=0, epochs=2)
    weights = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: weights.append(network.weight.clone()))
    trainer.add_event_handler(**killed(step))
    with pytest.raises(SystemExit):
        trainer.run()
    trainer, network, validated = training(tmp_path, [0.5, 0.6], minutes=0, epochs=2)
    steps, starts = [], []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: starts.append(network.weight.clone()))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: steps.append(trainer.state.iteration))
    trainer.run()
    # the last step of an epoch is saved with its validation, so that a killed validation is made up for
    last = 2 if step == 3 else step
    assert steps == list(range(last + 1, 7))
    assert torch.equal(starts[0], weights[last - 1])
    assert validated == ([1, 2] if step < 4 else [2])
    assert (tmp_path / BEST).is_file()


def test_nothing_is_saved_within_an_epoch_before_its_time(tmp_path):
    trainer, _, _ = training(tmp_path, [0.5] * 4, minutes=10)
    trainer.add_event_handler(**killed(2))
    with pytest.raises(SystemExit):
        trainer.run()
    assert not list(tmp_path.glob("*.pt"))


def test_a_training_goes_on_with_its_own_network_only(tmp_path):
    trainer, _, _ = training(tmp_path, [0.1, 0.2, 0.3, 0.4])
    trainer.run()
    newest = tmp_path / CHECKPOINT
    content = torch.load(newest, weights_only=True)
    torch.save(content | {"network": torch.nn.Linear(5, 1).state_dict()}, newest)
    with pytest.raises(InputError, match="another network"):
        training(tmp_path, [0.1, 0.2, 0.3, 0.4])


def test_a_training_that_ended_early_is_complete(tmp_path):
    trainer, _, _ = training(tmp_path, [0.1, 0.2, 0.3, 0.4])
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), trainer.terminate)
    trainer.run()
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    torch.save(content | {"stopped_early": True}, tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="complete training.*--initial_checkpoint"):
        training(tmp_path, [0.1, 0.2, 0.3, 0.4])


def test_the_result_of_another_training_is_not_written_over(tmp_path):
    torch.save({"network": {}}, tmp_path / BEST)
    with pytest.raises(InputError, match="another --output_dir"):
        training(tmp_path, [0.1, 0.2, 0.3, 0.4])


def test_how_much_is_done_is_known_before_the_start(tmp_path):
    trainer, _, _ = training(tmp_path, [0.1, 0.2, 0.3, 0.4])
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), trainer.terminate)
    trainer.run()
    assert training(tmp_path, [0.1, 0.2, 0.3, 0.4])[0].state.iteration == 6
