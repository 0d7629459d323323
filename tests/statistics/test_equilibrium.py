"""Where chains do not follow a stationary law: whether they can be at equilibrium, and what tells."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, Ends
from scipy import stats
from scipy.signal import lfilter

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd.statistics._equilibrium import NOT, STILL, UNKNOWN, _halves, equilibrium
from sde_sgd.statistics._law import Law
from sde_sgd.statistics._wells import wells
from sde_sgd.theory._density import Density1D

GRID = np.linspace(-6, 6, 2401)
NORMAL = Density1D(GRID, -(GRID**2) / 2)


def mixture(*parts):
    """A density of normal humps (share, place, spread)."""
    p = sum(share * stats.norm(at, spread).pdf(GRID) for share, at, spread in parts)
    return Density1D(GRID, np.log(np.maximum(p, 1e-300)))


WELLS = mixture((0.5, -2, 0.5), (0.5, 2, 0.5))


def in_wells(rng, share, n):
    """Values and well of each, with a share on the right."""
    side = np.where(rng.random(n) < share, 1.0, -1.0)
    return side, 2 * side + 0.5 * rng.normal(size=n)


def test_wells_of_a_law():
    """Two humps; three; one with a ripple; a law that scipy knows; one at the end of its grid."""

    def edges(law):
        found = wells(np.zeros(9), Law(law.cdf, law))
        return None if found is None else found.edges

    np.testing.assert_allclose(edges(WELLS), [0.0], atol=0.006)
    three = edges(mixture((0.3, -3, 0.4), (0.4, 0, 0.4), (0.3, 3, 0.4)))
    np.testing.assert_allclose(three, [-1.5, 1.5], atol=0.1)
    assert edges(NORMAL) is None
    assert edges(mixture((0.6, 0, 1), (0.4, 1.9, 0.8))) is None
    assert edges(stats.norm(0, 1)) is None
    np.testing.assert_allclose(edges(stats.arcsine(0, 1)), [0.5], atol=0.01)
    grid = np.linspace(0, 6, 1201)
    np.testing.assert_allclose(
        edges(Density1D(grid, np.log(np.exp(-4 * grid) + np.exp(-4 * (6 - grid))))), [3]
    )
    assert wells(np.zeros(9), Law(stats.norm().cdf)) is None


def test_shares_of_the_wells():
    rng = np.random.default_rng(0)
    _, x = in_wells(rng, 0.1, 4000)
    found = wells(np.sort(x), Law(WELLS.cdf, WELLS))
    assert found is not None
    np.testing.assert_allclose(found.of_law, [0.5, 0.5], atol=1e-3)
    np.testing.assert_allclose(found.of_sample, [(x < 0).mean(), (x > 0).mean()], atol=1e-3)
    assert found.gap == pytest.approx((x < 0).mean() - 0.5, abs=2e-3)
    assert found.p < ALARM
    # by hand: the larger distance inside each well, of conditional laws
    each = [
        stats.kstest(x[part], lambda z, a=a: np.clip(2 * (WELLS.cdf(z) - a), 0, 1)).statistic
        for part, a in ((x < 0, 0.0), (x > 0, 0.5))
    ]
    assert found.within == pytest.approx(np.average(each, weights=[(x < 0).sum(), (x > 0).sum()]), abs=2e-3)
    assert found.within < 0.05
    fair = wells(np.sort(in_wells(rng, 0.5, 4000)[1]), Law(WELLS.cdf, WELLS))
    assert fair is not None
    assert fair.p > ALARM


def test_p_of_the_shares_by_hand():
    """Twice the smaller of two binomial tests: left of the first edge, and left of the second."""
    law = mixture((0.3, -3, 0.4), (0.4, 0, 0.4), (0.3, 3, 0.4))
    found = wells(np.repeat([-3.0, 0.0, 3.0], [40, 38, 22]), Law(law.cdf, law))
    assert found is not None
    each = [stats.binomtest(count, 100, odds).pvalue for count, odds in ((40, 0.3), (78, 0.7))]
    assert found.p == pytest.approx(2 * min(each), rel=1e-2)


def test_p_of_the_shares_keeps_its_level():
    """300 samples of 200 values: P(p ≤ .05) ≤ .05, beyond which by chance once in 10⁶ times."""
    rng, law = np.random.default_rng(1), mixture((0.3, -3, 0.4), (0.4, 0, 0.4), (0.3, 3, 0.4))
    hits = 0
    for _ in range(300):
        x = rng.choice([-3.0, 0.0, 3.0], 200, p=[0.3, 0.4, 0.3]) + 0.4 * rng.normal(size=200)
        hits += wells(np.sort(x), Law(law.cdf, law)).p <= 0.05
    assert stats.binomtest(hits, 300, 0.05, alternative="greater").pvalue > ALARM


def recorded(rng, share, flips, samples=21, n=1000):
    """Chains in two wells that change over with probability `flips` at each sample."""
    side, _ = in_wells(rng, share, n)
    tracks = []
    for _ in range(samples):
        side = np.where(rng.random(n) < flips, -side, side)
        tracks.append(2 * side + 0.5 * rng.normal(size=n))
    return Ends(tracks[-1], record={"other": np.zeros((samples, n)), "x": np.array(tracks)})


def test_chains_that_have_not_crossed():
    """Nine in ten on the left, where the law has half, and none has changed: a drift could not be seen."""
    found = st.compare(recorded(np.random.default_rng(2), 0.1, 0.0), WELLS)
    assert found.equilibrium == NOT
    assert found.verdict.startswith("different (p = ")
    assert found.verdict.endswith(NOT)
    # with about one change for each chain, to and fro, the start may be forgotten or not
    wrong = mixture((0.2, -2, 0.5), (0.8, 2, 0.5))
    assert st.compare(recorded(np.random.default_rng(2), 0.5, 0.1), wrong).equilibrium == UNKNOWN
    text = str(found)
    assert "most of the difference is in these shares" in text
    assert "0 changes of well seen for each chain" in text
    assert "by the law 0.5 : 0.5" in text


def test_chains_on_their_way():
    found = st.compare(recorded(np.random.default_rng(3), 0.02, 0.01), WELLS)
    assert found.equilibrium == NOT
    assert "from step 10 to 20 the law moves" in str(found)


def test_chains_that_cross_often_have_other_odds():
    """The law they are held against has .2 : .8, they have .5 : .5 and change over all the time."""
    wrong = mixture((0.2, -2, 0.5), (0.8, 2, 0.5))
    found = st.compare(recorded(np.random.default_rng(4), 0.5, 0.5, samples=61), wrong)
    assert found.equilibrium == STILL


def test_a_difference_that_is_not_in_the_shares():
    rng = np.random.default_rng(5)
    side = rng.choice([-1.0, 1.0], 2000)
    found = st.compare(2 * side + 0.8 * rng.normal(size=2000), WELLS)
    assert not found.same
    assert found.equilibrium == ""
    assert "the difference is not in the shares" in str(found)
    # shares that are surely off, by less than the shapes
    side = np.where(rng.random(20_000) < 0.47, 1.0, -1.0)
    found = st.compare(2 * side + 0.8 * rng.normal(size=20_000), WELLS)
    assert found.equilibrium == ""
    assert "the difference is not in the shares" in str(found)


def test_ends_alone_do_not_tell():
    rng = np.random.default_rng(6)
    x = 0.5 + rng.normal(size=2000)
    assert st.compare(Ends(x), NORMAL).equilibrium == UNKNOWN
    assert st.compare(Ends(x, record={"x": np.array([x, x])}), NORMAL).equilibrium == UNKNOWN
    assert st.compare(Ends(x, record={"x²": np.array([x, x, x]) ** 2}), NORMAL).equilibrium == UNKNOWN
    assert st.compare(x, NORMAL).equilibrium == ""
    assert st.compare(Ends(x - 0.5), NORMAL).equilibrium == ""
    assert st.compare(in_wells(rng, 0.1, 2000)[1], WELLS).equilibrium == UNKNOWN
    assert st.compare(Ends(x), Ends(x - 1)).equilibrium == ""


def test_halves_keep_their_level():
    """Stationary chains, correlated in time, 300 times: p uniform within Kolmogorov-Smirnov's 10⁻⁶."""
    rng = np.random.default_rng(7)
    p = []
    for _ in range(300):
        noise = rng.normal(size=(100, 60)) * np.sqrt(1 - 0.9**2)
        noise[:, 0] /= np.sqrt(1 - 0.9**2)
        track = lfilter([1.0], [1.0, -0.9], noise, axis=1).T
        p.append(_halves(np.arange(60), track[30:], 0.05)[1].rsplit(" ", 1)[1])
    p = np.array(p, float)
    hits = int((p <= 0.05).sum())
    assert stats.binomtest(hits, 300, 0.05, alternative="greater").pvalue > ALARM
    assert (p < 0.5).mean() > 0.25


@pytest.mark.script
def test_all_looks_together_keep_the_level():
    """Stationary chains in two wells, 2500 times at .2: the halves and the crossings share it.

    With the whole level for each it would be .28.
    """
    rng, law, hits = np.random.default_rng(8), Law(WELLS.cdf, WELLS), 0
    for _ in range(2500):
        ends = recorded(rng, 0.5, 0.5, samples=3)
        hits += equilibrium(ends, ends.theta, law, 0.5, 0.2)[0] == NOT
    assert stats.binomtest(hits, 2500, 0.2, alternative="greater").pvalue > ALARM


def quadratic(steps, **options):
    return ss.run(
        ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters(0.05)),
        chains=1000,
        steps=steps,
        key=jax.random.key(0),
        initial=jnp.asarray(2.0),
        progress=False,
        **options,
    )


def test_a_run_that_was_too_short():
    """From 2 towards N(0, .026): after 40 steps of .05 the mean is at .26."""
    gibbs = ss.theory.gibbs(ss.problems.Quadratic(1.0), ss.Hyperparameters(0.05))
    kept = quadratic(40, record={"x": lambda x: x}, every=10)
    assert st.compare(kept, gibbs).equilibrium == NOT
    assert st.compare(quadratic(40), gibbs).equilibrium == UNKNOWN
    assert st.compare(kept, gibbs, observable=lambda x: 1 * x).equilibrium == NOT


def test_a_run_at_equilibrium_with_another_law():
    twice = ss.theory.gibbs(ss.problems.Quadratic(1.0, noise_variance=2.0), ss.Hyperparameters(0.05))
    found = st.compare(quadratic(400, record={"x": lambda x: x}, every=100), twice)
    assert not found.same
    assert found.equilibrium == STILL


@pytest.mark.script
def test_a_barrier_that_was_not_crossed(key):
    """Müller-Brown at T = .2: the chains are where they fell from their start."""
    problem, hyper = ss.problems.MullerBrown(noise_variance=100.0), ss.Hyperparameters(0.002, 1)
    law = ss.theory.gibbs(problem, hyper)
    result = ss.run(ss.SGD(problem, hyper), chains=500, steps=2000, key=key, progress=False)
    compare = functools.partial(st.compare, observable=lambda theta: theta[0])
    found = compare(result, law.marginal(0))
    assert "cannot tell whether the chains are at equilibrium" in found.verdict
    assert "most of the difference is in these shares" in str(found)
    assert all(len(line) <= 90 for line in str(found).splitlines())
    assert compare(result, law).ks == found.ks
