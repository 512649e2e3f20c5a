"""Mutants are the same for the same seed, and each is accounted for; the many run by ``make fuzz`` and in CI."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import run
from tests.fuzz.figures import SEED, interval, page, problems
from tests.fuzz.mutations import KINDS, SYNTAXES, mutants


def test_mutants_are_those_of_their_seed():
    first, again, other = ([mutant.file for mutant in mutants(54, seed)] for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == len(first)
    chosen = list(mutants(360, SEED))
    assert {mutant.kind for mutant in chosen} == set(KINDS)
    assert {mutant.seed.syntax for mutant in chosen} == set(SYNTAXES)
    assert all(mutant.file != mutant.seed.file for mutant in chosen)


@pytest.mark.slow
def test_every_mutant_is_accounted_for():
    tally = run(mutants(90, SEED))
    assert problems(tally, 90) == []
    assert page(tally, 90, SEED).count("\n| ") > len(SYNTAXES)


def test_the_interval_is_that_of_wilson():
    low, high = interval(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)
    assert interval(0, 0) == (0.0, 1.0)
