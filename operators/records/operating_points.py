"""How a network's output becomes a probability, and a probability a state."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from operators.records.states import State


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Probabilities fitted on validation data: below ``rule_out`` normal, at or above ``rule_in`` abnormal."""

    rule_out: float
    rule_in: float

    def state(self, probability: float) -> State:
        """Return normal, doubt or abnormal."""
        if probability < self.rule_out:
            return State.NORMAL
        return State.ABNORMAL if probability >= self.rule_in else State.DOUBT


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a network's logit becomes a probability: sigmoid(logit / ``temperature`` + ``bias``).

    Notes
    -----
    Temperature scaling: Guo et al., ICML 2017; with a bias it is Platt's scaling.
    """

    temperature: float
    bias: float = 0.0

    def probability(self, logit: float) -> float:
        """Return the probability [0, 1] of a logit."""
        return float(special.expit(logit / self.temperature + self.bias))

    def logit(self, probability: float) -> float:
        """Return the logit of a probability, the inverse of ``probability``; of 0 and 1 it is infinite."""
        return (float(special.logit(probability)) - self.bias) * self.temperature
