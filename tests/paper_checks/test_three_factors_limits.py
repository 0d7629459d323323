"""Cards of Three Factors on networks: what judges curves, and planted faults that turn them red."""

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from paper_checks._context import Context, Laws, folded
from paper_checks.three_factors import memorisation, sde_network, variance
from paper_checks.three_factors._distance import MARGIN, apart, distance, near


def context(card_id, **laws):
    """At smoke scale."""
    return Context("smoke", folded(jax.random.key(0), card_id), Laws(**laws))


def curves(rng, seeds, shift=0.0, points=20):
    """Random walks from a spread start, shifted by so many spreads of a run."""
    spread = np.sqrt(0.25 + np.arange(1, points + 1) / points)
    walk = 0.5 * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, points)).cumsum(axis=1) / points**0.5
    return walk + shift * spread


def test_the_distance_of_curves_is_in_spreads_of_a_run():
    """Unbiased in d² at 0 and at 3; 100 pairs of ensembles."""
    rng = np.random.default_rng(0)
    for shift in (0.0, 3.0):
        squares = []
        for number in range(100):
            first, second = curves(rng, 12), curves(rng, 24, shift)
            found = distance(first, second, key=jax.random.key(number))
            both = (first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / 2
            noise = (first.var(axis=0, ddof=1) / 12 + second.var(axis=0, ddof=1) / 24) / both
            squares.append((found.z**2).mean() - noise.mean())
            assert 0 < found.error < 1
        error = np.std(squares) / 10
        # the spread is estimated too: E 1/s² is a few per cent above 1/σ²
        assert abs(np.mean(squares) - shift**2) < 5 * error + 0.06 * shift**2


def test_near_and_apart_hold_their_level():
    """Ensembles at the margin are called near, or apart, at no more than twice the rate of 5 %.

    16 seeds are few for a bootstrap; 100 pairs, bound at a false alarm of 1e-6.
    """
    rng = np.random.default_rng(1)
    calls = np.zeros(2, int)
    for number in range(100):
        first, second = curves(rng, 16), curves(rng, 16, MARGIN)
        key = jax.random.key(number)
        calls += (near("", first, second, key=key).met, apart("", first, second, key=key).met)
    assert (calls < stats.binom.isf(1e-6, 100, 0.1)).all(), calls


def test_near_and_apart_tell():
    rng = np.random.default_rng(2)
    key = jax.random.key(0)
    assert near("", curves(rng, 16), curves(rng, 16), key=key).met
    assert not near("", curves(rng, 16), curves(rng, 16, 4.0), key=key).met
    assert apart("", curves(rng, 16), curves(rng, 16, 4.0), key=key).met
    assert not apart("", curves(rng, 16), curves(rng, 16), key=key).met


def test_where_a_part_is_memorised_for_the_first_time():
    memorised = np.array([0.1, 0.2, 0.4, 0.3, 0.9])
    accuracy = np.array([0.5, 0.6, 0.8, 0.7, 0.1])
    assert memorisation._crossing(memorised, accuracy, 0.3) == pytest.approx(0.7)
    assert np.isnan(memorisation._crossing(memorised, accuracy, 0.95))


def follows(found):
    """The judgement of the SDE against SGD in training loss."""
    return sde_network._compare(context("sde-network"), {"digits": found}, "loss", sde_network.SDE)[0]


@pytest.mark.script
def test_sde_network_notices_half_the_noise():
    """η/B kept, the covariance of the SDE halved."""

    def langevin(problem, hyper, **options):
        process = ss.Langevin(problem, hyper, **options)
        return eqx.tree_at(lambda p: p.population_factor, process, replace_fn=lambda f: f / 2)

    assert follows(sde_network._curves(context("sde-network"), "digits")).met
    assert not follows(sde_network._curves(context("sde-network", langevin=langevin), "digits")).met


@pytest.mark.script
def test_variance_notices_t_for_t_over_2():
    def gibbs(problem, hyper, **options):
        return ss.theory.gibbs(
            problem, ss.Hyperparameters(2 * hyper.learning_rate, hyper.batch_size), **options
        )

    assert variance._wells(context("variance"))[0].met
    assert not variance._wells(context("variance", gibbs=gibbs))[0].met


@pytest.mark.script
def test_variance_notices_half_the_noise_in_one_arm():
    def langevin(problem, hyper, **options):
        if hyper.batch_size == 2:
            problem = eqx.tree_at(lambda p: p.noise.sigma_squared, problem, replace_fn=lambda s: s / 2)
        return ss.Langevin(problem, hyper, **options)

    assert not variance._wells(context("variance", langevin=langevin))[0].met
