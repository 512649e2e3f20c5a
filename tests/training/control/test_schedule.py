"""When a training is validated."""

from __future__ import annotations

import pytest
from ignite.engine import Engine

from training.control.schedule import epochs_due, validations


@pytest.mark.parametrize(
    ("epochs", "interval", "due"),
    [(2, 4, [2]), (4, 4, [4]), (5, 4, [4, 5]), (8, 4, [4, 8]), (3, 1, [1, 2, 3]), (1, 9, [1])],
)
def test_the_last_epoch_is_always_validated(epochs, interval, due):
    seen = []
    trainer = Engine(lambda *_: None)
    trainer.add_event_handler(epochs_due(interval), lambda: seen.append(trainer.state.epoch))
    trainer.run([0, 1], max_epochs=epochs)
    assert seen == due
    assert validations(1, epochs, interval) == len(due)
    assert validations(epochs + 1, epochs, interval) == 0
    for first in range(1, epochs + 1):
        assert validations(first, epochs, interval) == len([epoch for epoch in due if epoch >= first])
