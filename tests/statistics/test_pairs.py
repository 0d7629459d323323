"""Two runs of one key share random numbers: they are compared chain by chain, with uniform p-values."""

import functools

import jax
import numpy as np
import pytest
from helpers import ALARM, Ends, bound
from scipy import stats

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd.statistics import _pooled
from sde_sgd.statistics._moments import ratio_error
from sde_sgd.statistics._pooled import largest, pool

KEY = jax.random.key(0)
REPLICATES = 400


def ends(rng, n, shape=(), correlation=0.9, shift=0.0, scale=1.0, seeds=(3, 3)):
    """Two runs whose chains i are correlated normal numbers."""
    one, two = rng.normal(size=(2, n, *shape))
    two = correlation * one + np.sqrt(1 - correlation**2) * two
    return Ends(one, seeds[0]), Ends(shift + scale * two, seeds[1])


TESTS = {
    "Kolmogorov-Smirnov": (st.kolmogorov_smirnov, {}),
    "Cramér-von Mises": (st.cramer_von_mises, {}),
    "Anderson-Darling": (st.anderson_darling, {}),
    "Wasserstein": (functools.partial(st.wasserstein, key=KEY, draws=79), {}),
    "energy": (functools.partial(st.energy, key=KEY, permutations=79), {}),
    "energy in the plane": (functools.partial(st.energy, key=KEY, permutations=79), {"shape": (2,)}),
    "equivalence of means": (functools.partial(st.equivalence, margin=0.5), {"shift": 0.5}),
    "equivalence of variances": (
        functools.partial(st.equivalence, margin=4.0, quantity="variance"),
        {"scale": 0.5, "n": 200},
    ),
}


def p_values(test, options, seeds=(3, 3), replicates=REPLICATES):
    rng = np.random.default_rng(0)
    options = {"n": 40} | options
    return np.array([test(*ends(rng, seeds=seeds, **options)).p for _ in range(replicates)])


@pytest.mark.parametrize("name", TESTS)
def test_p_values_of_pairs_are_uniform(name):
    """Kolmogorov-Smirnov against the uniform law, false alarm 10⁻⁶, which sees a law of p off by .13.

    Monte Carlo p-values less a uniform part of their step.
    """
    p = p_values(*TESTS[name])
    if name == "Kolmogorov-Smirnov":
        # D is a multiple of 1/40, so that p is often larger than need be, never smaller
        for level in (0.05, 0.2, 0.5):
            assert (
                stats.binomtest(int((p <= level).sum()), len(p), level, alternative="greater").pvalue > ALARM
            )
        assert (p <= 0.5).mean() > 0.25
        return
    if name in ("Wasserstein", "energy", "energy in the plane"):
        p = p - np.random.default_rng(1).random(len(p)) / 80
    assert stats.kstest(p, "uniform").pvalue > ALARM


@pytest.mark.parametrize("name", TESTS)
def test_the_same_numbers_taken_for_independent_have_not(name):
    """The keys differ here, while the chains are as correlated."""
    p = p_values(*TESTS[name], seeds=(3, 4), replicates=200)
    assert stats.kstest(p, "uniform").pvalue < ALARM


@pytest.mark.parametrize(
    "test",
    [
        st.kolmogorov_smirnov,
        st.cramer_von_mises,
        st.anderson_darling,
        functools.partial(st.wasserstein, key=KEY, draws=19),
        functools.partial(st.energy, key=KEY, permutations=19),
        functools.partial(st.equivalence, margin=1.0),
        functools.partial(st.equivalence, margin=4.0, quantity="variance"),
    ],
    ids=["ks", "cvm", "ad", "w1", "energy", "mean", "variance"],
)
def test_stated_errors_of_pairs(test, monkeypatch):
    """Means .4 and spreads 1.3 apart: the spread of 200 values is known to 5 %; unpaired it is far larger."""
    monkeypatch.setattr(_pooled, "DRAWS", 19)
    rng = np.random.default_rng(2)
    options = {"n": 200, "correlation": 0.8, "shift": 0.4, "scale": 1.3}
    found = [test(*ends(rng, **options)) for _ in range(200)]
    value = [np.log(one.value) if getattr(one, "quantity", "") == "variance" else one.value for one in found]
    relative = [one.value if getattr(one, "quantity", "") == "variance" else 1.0 for one in found]
    stated = np.mean([one.standard_error / unit for one, unit in zip(found, relative, strict=True)])
    assert abs(np.std(value) / stated - 1) < bound() / np.sqrt(400)


def test_compare_is_paired():
    """Its errors are the spread of what it says, and its p is uniform."""
    rng = np.random.default_rng(3)
    found = [st.compare(*ends(rng, n=150)) for _ in range(200)]
    assert all(one.paired for one in found)
    assert stats.kstest([one.ks_p for one in found], "uniform").pvalue > ALARM
    for name in ("effect", "variance_ratio"):
        spread = np.std([getattr(one, name) for one in found])
        stated = np.mean([getattr(one, f"{name}_error") for one in found])
        assert abs(spread / stated - 1) < bound(2) / np.sqrt(400)
    mean_w1 = np.array([one.w1 for one in found])
    assert abs(mean_w1.mean() / np.mean([one.w1_null for one in found]) - 1) < bound() * np.std(
        mean_w1 / mean_w1.mean()
    ) / np.sqrt(200)
    beyond = sum(one.ks > one.ks_null for one in found)
    assert stats.binomtest(beyond, 200, 0.01).pvalue > ALARM
    assert "one key" in str(found[0])
    assert "one key" in str(st.kolmogorov_smirnov(*ends(rng, n=200)))


@pytest.mark.script
def test_runs_of_one_key():
    """SGD and its SDE from one key, as most people write it: chains correlate, p does not say "too alike"."""
    well, hyper = ss.problems.DoubleWell(noise_variance=1.0), ss.Hyperparameters(0.02, 1)
    p, unpaired = [], []
    for seed in range(20):
        one, other = (
            ss.run(process(well, hyper), chains=200, steps=40, key=jax.random.key(seed), progress=False)
            for process in (ss.SGD, ss.Langevin)
        )
        p.append(st.compare(one, other).ks_p)
        unpaired.append(st.compare(one.samples(), other.samples()).ks_p)
    assert stats.kstest(p, "uniform").pvalue > ALARM
    assert stats.kstest(unpaired, "uniform").pvalue < ALARM
    assert not st.compare(one, ss.run(ss.SGD(well, hyper), chains=200, steps=40, key=KEY)).paired


def test_power_of_pairs():
    """A shift that independent samples of this size hide is seen between pairs."""
    rng = np.random.default_rng(4)
    test = functools.partial(st.wasserstein, key=KEY, draws=99)
    hits = sum(test(*ends(rng, 400, correlation=0.95, shift=0.1)).p <= 0.01 for _ in range(40))
    blind = sum(test(*ends(rng, 400, shift=0.1, seeds=(0, 1))).p <= 0.01 for _ in range(40))
    assert hits > 35
    assert blind < 10


def test_chains_that_diverged_take_their_partner_along():
    """And of different numbers of chains those are compared that both have."""
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=(2, 50))
    found = st.compare(Ends(one, 0, diverged=[3, 4]), Ends(other, 0, diverged=[4, 7]))
    assert (found.n, found.n_reference, found.dropped) == (47, 47, 3)
    assert "3 pairs diverged and left out" in str(found)
    kept = np.delete(np.arange(50), [3, 4, 7])
    by_hand = st.compare(Ends(one[kept], 0), Ends(other[kept], 0))
    assert (found.ks, found.ks_p, found.effect) == (by_hand.ks, by_hand.ks_p, by_hand.effect)
    longer = st.compare(Ends(one, 0), Ends(np.append(other, rng.normal(size=20)), 0))
    assert longer.n == longer.n_reference == 50
    assert longer.effect == st.compare(Ends(one, 0), Ends(other, 0)).effect
    assert st.energy(Ends(one, 0, diverged=[3]), Ends(other, 0), key=KEY).n == (49, 49)


def test_a_run_is_as_itself():
    same = Ends(np.random.default_rng(6).normal(size=50), 0)
    found = st.compare(same, same)
    assert (found.ks, found.ks_p, found.effect_error) == (0, 1, 0)


def test_many_pairs_have_the_same_null_law_as_few(monkeypatch):
    """Swaps as normal numbers, and as signs: the same p within the error of both."""
    x, y = (run.theta for run in ends(np.random.default_rng(7), 3000, shift=0.015))
    by_signs = pool(x, y, paired=True).sequential_p(largest)
    monkeypatch.setattr(_pooled, "_PAIRS", 500)
    by_normal = pool(x, y, paired=True).sequential_p(largest)
    assert 0.001 < by_signs < 0.9
    assert abs(by_signs - by_normal) < bound() * np.hypot(0.1, 0.1) * by_signs


def test_error_of_a_ratio_of_paired_variances():
    """Independent pairs have the error of independent samples; equal ones none."""
    x, y = np.random.default_rng(8).normal(size=(2, 100_000))
    assert ratio_error(x, y) == pytest.approx(2 / np.sqrt(100_000), rel=0.03)
    assert ratio_error(x, 3 * x) == pytest.approx(0, abs=1e-12)


def test_variance_of_the_gap_of_pairs():
    """P(one of the two is below z and the other is not)/n."""
    x, y = np.random.default_rng(9).normal(size=(2, 20))
    both = pool(x, y, paired=True)
    apart = [((x <= z) != (y <= z)).sum() / 400 for z in both.points]
    np.testing.assert_allclose(both.gap_variance(), apart)
