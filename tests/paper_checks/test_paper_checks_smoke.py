"""Every card at smoke scale, and planted faults that turn the right cards red."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import sde_sgd as ss
from paper_checks._card import Verdict
from paper_checks._context import Context, Laws, folded
from paper_checks._expected import EXPECTED, read_expected
from paper_checks._papers import CARDS

pytestmark = pytest.mark.script
KNOWN = read_expected(EXPECTED, "smoke")
BY_ID = {card.id: card for card in CARDS}
_remembered: dict[Any, ss.Result] = {}
_shared: dict[str, ss.SweepResult] = {}


@dataclass(frozen=True)
class Remembering(Context):
    """Runs a process once: a law with a fault changes some runs of a card and leaves the others."""

    def run(self, name, process, **options):
        leaves, structure = jax.tree.flatten(process)
        key = jax.random.key_data(self.key_for(name)).tobytes()
        mark = (key, str(structure), *(np.asarray(leaf).tobytes() for leaf in leaves))
        if mark not in _remembered:
            _remembered[mark] = super().run(name, process, **options)
        return _remembered[mark]


def outcome_of(card_id, **laws):
    """As `python -m paper_checks --scale smoke` with seed 0 finds it."""
    card, seed = BY_ID[card_id], jax.random.key(0)
    shared = {} if laws else _shared
    key = folded(seed, card.id)
    return card.check(Remembering("smoke", key, Laws(**laws), seed_key=seed, shared=shared))


@pytest.mark.parametrize("card_id", list(BY_ID))
def test_smoke(card_id):
    """The verdict is the one on record, and the control fails as it must."""
    found = outcome_of(card_id)
    assert found.verdict.rank <= Verdict(KNOWN[card_id]).rank, found
    assert found.control_failed or found.verdict is Verdict.NOT_TESTED
    assert found.summary


def is_red(card_id, *unmet, **laws):
    """Whether the card comes out worse than on record, just these measurements not met."""
    found = outcome_of(card_id, **laws)
    failed = [number for number, one in enumerate(found.measurements) if one.met is False]
    assert found.verdict.rank > Verdict(KNOWN[card_id]).rank, found
    assert failed == list(unmet), found


def half_the_temperature_wrong(problem, hyper, **options):
    """exp(−L/T): T where T/2 belongs."""
    warmer = ss.Hyperparameters(2 * hyper.learning_rate, hyper.batch_size, hyper.momentum)
    return ss.theory.gibbs(problem, warmer, **options)


def test_gibbs_notices_t_for_t_over_2():
    is_red("gibbs", 0, 1, 2, gibbs=half_the_temperature_wrong)


def half_the_noise(process, batch=None):
    """The process, the variance of its noise halved at one batch size, or at all for None."""

    def wrong(problem, hyper, **options):
        if batch in (None, hyper.batch_size):
            problem = eqx.tree_at(lambda p: p.noise.sigma_squared, problem, replace_fn=lambda s: 0.5 * s)
        return process(problem, hyper, **options)

    return wrong


def test_gibbs_notices_half_the_noise_in_one_arm_of_sgd():
    is_red("gibbs", 1, sgd=half_the_noise(ss.SGD, 2))


def test_gibbs_notices_half_the_noise_of_the_sde():
    is_red("gibbs", 0, langevin=half_the_noise(ss.Langevin, 2))


def test_two_minima_notices_t_for_t_over_2():
    is_red("two-minima", 4, gibbs=half_the_temperature_wrong)


def test_two_minima_notices_half_the_noise_in_one_arm_of_sgd():
    is_red("two-minima", 1, sgd=half_the_noise(ss.SGD, 4))


def test_two_minima_notices_half_the_noise_of_the_sde():
    """The crossing temperature is then twice the right one."""
    is_red("two-minima", 0, 2, langevin=half_the_noise(ss.Langevin))
