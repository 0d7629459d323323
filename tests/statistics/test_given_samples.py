"""What the tests are given: lists, kernels and densities; tails of p; chains that have not come to rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Ends, refused
from scipy import stats

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd.statistics._cramer_von_mises_tail import limit_tail, tail

X = np.random.default_rng(0).normal(size=300)
NORMAL = stats.norm()
WELL = ss.problems.DoubleWell()
SGD = ss.SGD(WELL, ss.Hyperparameters(0.1, 1))


def test_a_list_of_numbers_is_an_array():
    for test in (st.kolmogorov_smirnov, st.anderson_darling, st.cramer_von_mises):
        assert test(X.tolist(), NORMAL) == test(X, NORMAL)
        assert test(tuple(X), X.tolist()[:200]) == test(X, X[:200])
    assert st.compare([[value] for value in X], NORMAL) == st.compare(X, NORMAL)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (X + 1j, "sample must hold real numbers, got complex ones"),
        (["a"] * 10, "sample must be a Result, an array of numbers"),
        ([[1.0], [1.0, 2.0]], "sample has 3 arrays|sample must be"),
        (None, "sample must be a Result, an array of numbers"),
        (SGD, r"sample must be what a run gives, got SGD, the process itself; run it first: run\(process"),
        (NORMAL, "got rv_continuous_frozen, a law; the sample is given first, the law second"),
        (
            ss.theory.gibbs(WELL, SGD.hyper),
            r"got Density1D.*, a law; the sample is given first, the law second",
        ),
    ],
    ids=["complex", "text", "ragged", "None", "process", "law", "density"],
)
def test_what_is_no_sample_of_numbers_is_refused(sample, words):
    with refused(match=words):
        st.compare(sample, NORMAL)


def test_a_process_is_no_reference():
    with refused(match="reference must be what a run gives, got SGD, the process itself; run it first"):
        st.compare(X, SGD)


MASKED = np.ma.masked_array(X, X < 0.5)
LINE = ss.problems.linear_regression(ss.data.Dataset(X[:, None], X))
KEY = jax.random.key(0)


def run_from(initial):
    return ss.run(ss.SGD(WELL, ss.Hyperparameters(0.1, 1)), chains=1, steps=1, key=KEY, initial=initial)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("sample", lambda x: st.compare(x, NORMAL)),
        ("sample", lambda x: st.kolmogorov_smirnov(x, NORMAL)),
        ("sample", lambda x: st.anderson_darling(x, NORMAL)),
        ("sample", lambda x: st.equivalence(x, NORMAL, margin=0.1)),
        ("reference", lambda x: st.cramer_von_mises(X, x)),
        ("reference", lambda x: st.wasserstein(X, x, key=KEY)),
        ("values", st.tail_index),
        ("draws", lambda x: st.time_average(x[None, :])),
        ("draws", lambda x: st.time_average([x, x])),
        ("gradient", lambda x: st.temperature_test(X, x, 1.0)),
        ("a", lambda x: ss.plot.histograms(a=x)),
        ("directions", lambda x: ss.plot.corner(a=np.ones((9, 2)), directions=[x[:2], x[:2] < 2])),
        ("initial", run_from),
        ("theta", lambda x: ss.curvature.trace(WELL, x, key=KEY)),
        (r"theta\[0\]\['weight'\]", lambda x: ss.curvature.trace(LINE, [{"weight": x}], key=KEY)),
        ("subset", lambda x: ss.curvature.trace(LINE, LINE.init(KEY), key=KEY, subset=x < 0)),
    ],
)
def test_masks_are_not_dropped(name, asked):
    """NumPy would take what is masked for data."""
    with refused(match=rf"^{name} must not hold masked entries; fill them, or leave"):
        asked(MASKED)


def test_a_mask_that_hides_nothing_is_none():
    assert st.compare(np.ma.masked_array(X), NORMAL) == st.compare(X, NORMAL)


def test_a_kernel_estimate_is_its_own_law():
    """`gaussian_kde` is a function, but that of a density."""
    kernel = stats.gaussian_kde(X, 0.3)
    at = np.linspace(-2, 2, 9)
    exact = [kernel.integrate_box_1d(-np.inf, x) for x in at]
    for test in (st.kolmogorov_smirnov, st.anderson_darling, st.cramer_von_mises):
        same = test(kernel.resample(300, seed=1)[0], kernel)
        assert 1e-6 < same.p <= 1
        assert test(X + 1, kernel).p < 1e-6
    law = st._law.as_law(kernel)
    np.testing.assert_allclose(law.cdf(at), exact, atol=1e-9)
    np.testing.assert_allclose(law.moments(X), (X.mean(), kernel.covariance[0, 0] + X.var()), rtol=1e-9)
    with refused(match="gaussian_kde in 2 dimensions"):
        st.compare(X, stats.gaussian_kde(X.reshape(2, 150)))


def test_a_density_is_not_taken_for_a_distribution_function():
    for density in (NORMAL.pdf, stats.uniform(-9, 18).sf):
        with refused(match=r"distribution function, which rises; .* falls from"):
            st.anderson_darling(X, density)


def test_observables_that_fail_are_named():
    ends = Ends(np.zeros((10, 2)))
    with refused(match=r"observable failed on the parameters of one chain, of shapes \(2,\)"):
        st.compare(ends, NORMAL, observable=lambda theta: theta @ jnp.ones(3))


@pytest.mark.parametrize(
    ("n", "value", "trials"), [(8, 1.0, 400_000), (8, 1.4, 2_000_000), (30, 1.1, 400_000)]
)
def test_small_p_values_of_cramer_von_mises(n, value, trials):
    """By brute force, within 6 standard errors of it and twice the 5 % of the estimate: odds below 1e-4."""
    rng, middle, hits = np.random.default_rng(n), (2 * np.arange(1, n + 1) - 1) / (2 * n), 0
    for _ in range(10):
        u = np.sort(rng.random((trials // 10, n)), axis=1)
        hits += int((1 / (12 * n) + ((u - middle) ** 2).sum(axis=1) >= value).sum())
    found = tail(value, rng.random(n))
    assert abs(found - hits / trials) < 6 * hits**0.5 / trials + 0.1 * found


def test_the_limit_of_cramer_von_mises():
    """Percentage points of Anderson and Darling 1952; one over another sample that is all on one side."""
    for value, p in ((0.34730, 0.1), (0.46136, 0.05), (0.74346, 0.01), (1.16786, 0.001)):
        assert limit_tail(value) == pytest.approx(p, rel=1e-4)
    assert st.cramer_von_mises(np.ones(8), NORMAL).p == pytest.approx(1.6e-5, rel=0.1)
    assert 0 < st.cramer_von_mises(np.ones(500), NORMAL).p < 1e-100
    # at the seam both ways agree
    for n in (60, 100):
        assert tail(1.168, np.linspace(0.1, 0.9, n)) == pytest.approx(limit_tail(1.168), rel=0.2)


@pytest.mark.parametrize("reference", [NORMAL, X[::2] * 1e300])
def test_huge_values_are_compared_without_a_warning(reference):
    """Their squares overflow: no variance is known, and all is said in short lines."""
    found = st.compare(X * 1e300, reference)
    assert found.same == (reference is not NORMAL)
    assert not np.isfinite(found.variance_ratio)
    assert max(map(len, str(found).splitlines())) < 100


def test_holm_names_what_is_no_p_value():
    for tests, words in (([None], r"tests\['0'\] must be"), ("text", "tests must be"), (3, "tests must be")):
        with refused(match=words):
            st.holm(tests)
    assert st.holm([0.5, np.float32(0.25), jnp.asarray(0.125)]).rejected == ()


def test_an_interval_that_ends_before_it_begins_is_refused():
    law = ss.theory.gibbs(WELL, ss.Hyperparameters(0.1, 1))
    with refused(match=r"high must be >= low, got low = 1 and high = -1; swap them"):
        law.probability(1, -1)
    assert law.probability(-np.inf, np.inf) == 1.0


def test_equal_runs_are_called_equal():
    theta = X[:100]
    said = str(st.compare(Ends(theta, seed=1), Ends(theta, seed=1)))
    assert "equal, chain by chain" in said
    assert "a distance of 0 would be" not in said


def wells_of(first, last, steps=9):
    """Chains in the wells ±1 that go from `first` to `last` at once, half-way through the second half."""
    rng = np.random.default_rng(2)
    place = np.where(np.arange(steps)[:, None] < 3 * steps // 4, first, last)
    track = place + 0.1 * rng.normal(size=place.shape)
    return Ends(track[-1], record={"x": track})


def test_chains_that_only_go_one_way_are_not_at_equilibrium():
    """Few changes, all to the right: what the law half-way hardly shows their directions do."""
    law = stats.rv_histogram(np.histogram(np.concatenate([X * 0.1 - 1, X * 0.1 + 1]), 200), density=True)
    law = ss.theory.Density1D(
        np.linspace(-2, 2, 4001), np.logaddexp(*(-50 * (np.linspace(-2, 2, 4001) - c) ** 2 for c in (-1, 1)))
    )
    left = -np.ones(2000)
    moved = left.copy()
    moved[:40] = 1.0
    found = st.compare(wells_of(left, moved), law)
    assert found.equilibrium == "not at equilibrium"
    assert any("40 chains up and 0 down" in reason for reason in found.reasons)


def test_chains_that_hardly_change_well_keep_the_shares_of_their_start():
    grid = np.linspace(-2, 2, 4001)
    law = ss.theory.Density1D(grid, np.logaddexp(-50 * (grid - 1) ** 2, -50 * (grid + 1) ** 2))
    start = np.where(np.arange(1000) < 900, -1.0, 1.0)
    found = st.compare(wells_of(start, start), law)
    assert found.equilibrium == "not at equilibrium"
    assert any("still those of the start" in reason for reason in found.reasons)


def test_refusals_of_chain_laws_say_why():
    with refused(match=r"ηL'' is 2.4 or more, where SGD is unstable .* below 2") as told:
        ss.theory.chain_law(ss.problems.Quadratic(1.0), ss.Hyperparameters(2.4, 1))
    share = float(str(told.value).split("cut off probability: ")[1].split(" ")[0])
    assert 0 < share <= 1


def test_a_start_that_is_no_minimum_is_named():
    net = ss.problems.linear_regression(ss.data.Dataset(np.ones((64, 1)), np.linspace(-1, 1, 64)))
    hyper = ss.Hyperparameters(0.1, 4)
    with refused(match=r"at must be the parameters of one chain, of shapes .*weight.* got \(1,\)"):
        ss.theory.stationary_covariance(net, hyper, at=jnp.zeros(1))
    with refused(match=r"point must be the parameters of one chain, of shapes .*got \(1,\)"):
        ss.theory.refine_minimum(net, jnp.zeros(1))
    with refused(match=r"point must lie near a minimum, got 0.01: .* curvature is -1"):
        ss.theory.refine_minimum(WELL, jnp.asarray(0.01))
    with refused(match=r"problem must know two minima or more.* StyblinskiTang with one"):
        ss.theory.skew_log_odds(ss.problems.StyblinskiTang(1), hyper)


def test_a_run_of_which_nothing_is_left_is_named():
    lost, kept = Ends(np.zeros(10), seed=1, diverged=range(10)), Ends(np.zeros(10), seed=1)
    for name, call in (
        ("sample", lambda: st.compare(lost, stats.norm())),
        ("reference", lambda: st.compare(kept, lost)),
        ("reference", lambda: st.energy(kept, lost, key=jax.random.key(0))),
        ("SDE", lambda: ss.plot.histograms(SGD=kept, SDE=lost)),
        ("SDE", lambda: ss.plot.corner(SDE=lost)),
    ):
        with refused(match=f"{name} must have chains that did not diverge, got 10 of 10 .* smaller learning"):
            call()
