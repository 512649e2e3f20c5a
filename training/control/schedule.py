"""When a training is validated: every so many epochs, and always after the last."""

from __future__ import annotations

from ignite.engine import CallableEventWithFilter, Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler


def epochs_due(interval: int) -> CallableEventWithFilter:
    """Return the event of every ``interval``-th epoch and of the last one."""

    def is_due(engine: Engine, epoch: int) -> bool:
        return epoch % interval == 0 or epoch == engine.state.max_epochs

    return Events.EPOCH_COMPLETED(event_filter=is_due)


def validations(first: int, last: int, interval: int) -> int:
    """Return how many validations are due in the epochs ``first`` to ``last``; the last one is validated."""
    return len({epoch for epoch in range(first, last + 1) if epoch % interval == 0} | {last}) if first <= last else 0


class Validation(ValidationHandler):
    """Handler of a trainer: validates every ``interval`` epochs and after the last, however few there are."""

    def __init__(self, validator: Evaluator, interval: int) -> None:
        super().__init__(interval, validator)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(epochs_due(self.interval), self)
