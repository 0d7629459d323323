"""The weak error by common noise: the laws of both sides, the gain, and what it refuses."""

from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ONE_EULER_STEP, assert_agree, bound, refused
from scipy import stats

import sde_sgd as ss
from sde_sgd.simulation import _program
from sde_sgd.validity import _weak_error, weak_error
from sde_sgd.validity._coupled import Coupled

WELL = ss.problems.DoubleWell()
QUADRATIC = ss.problems.Quadratic(1.0, noise_variance=0.8)
HYPER = ss.Hyperparameters(0.2, 2)


def square(x):
    return x * x


def measured(**options):
    settings = {"time": 2.0, "chains": 20_000, "initial": jnp.ones(()), "key": jax.random.key(1)}
    return weak_error(QUADRATIC, HYPER, observables=square, **{**settings, **options})


@pytest.fixture(scope="module")
def error():
    return measured()


def exact():
    """E θ² after ten steps of SGD and at time 2 of the SDE, from θ = 1."""
    noise = 0.2 * 0.8 / 2
    stationary = noise / (2 - 0.2)
    sgd = stationary + 0.8**20 * (1 - stationary)
    return sgd, noise / 2 + np.exp(-4) * (1 - noise / 2)


def test_both_sides_have_their_own_laws(error):
    """On a quadratic both are known; the error of 8 steps of Heun's method is 2·10⁻⁵."""
    sgd, sde = exact()
    (value, spread), alone = error["f"], 0.13 / np.sqrt(20_000)
    assert_agree(value, sgd - sde, spread + 1e-5, count=3)
    assert_agree(error.sgd[0], sgd, alone, count=3)
    assert_agree(error.sde[0], sde, alone, count=3)


@pytest.mark.script
def test_common_noise_is_worth_thousands_of_paths(error):
    """In pairs even more; and both say the same."""
    sgd, sde = (
        np.asarray(ss.run(p, chains=2000, steps=10, key=jax.random.key(5), initial=jnp.ones(())).theta) ** 2
        for p in (ss.SGD(QUADRATIC, HYPER), ss.Langevin(QUADRATIC, HYPER, substeps=2))
    )
    independent = np.sqrt((sgd.var() + sde.var()) / 20_000)
    assert error.standard_error[0] < independent / 5
    plain = measured(antithetic=False)
    assert plain.n == 20_000
    assert error.n == 10_000
    assert_agree(plain.value, error.value, np.hypot(plain.standard_error, error.standard_error))
    assert error.standard_error[0] < plain.standard_error[0]


@pytest.mark.parametrize("fault", ["B off by one", "a wrong √2"])
def test_planted_fault_in_the_noise_of_the_sde_is_caught(fault, monkeypatch):
    """In E θ² at time 2, where the noise makes .04 and each fault changes that by a quarter or more."""
    factor = {"B off by one": (2 / 3) ** 0.5, "a wrong √2": 2**0.5}[fault]
    right = ss.Langevin.substep

    def wrong(self, *arguments):
        return right(self, *arguments[:-1], factor * arguments[-1])

    monkeypatch.setattr(_program, "_PROGRAMS", type(_program._PROGRAMS)())
    monkeypatch.setattr(ss.Langevin, "substep", wrong)
    value, spread = measured()["f"]
    sgd, sde = exact()
    assert abs(value - (sgd - sde)) > bound() * (spread + 1e-5)


def test_antithetic_pairs_have_opposite_noise_and_the_sum_of_its_increments():
    """From 0 on a quadratic both sides of a pair are mirror images; SGD with one substep is the SDE."""
    coupled = Coupled(ss.Langevin(QUADRATIC, HYPER, **ONE_EULER_STEP), antithetic=True)
    chain = ss.random.chain_numbers(6)
    state = coupled.init(jnp.zeros((6,)), chain)
    ends = jax.jit(lambda s: coupled.advance(s, start=3, steps=7, key=jax.random.key(2)))(state).theta
    np.testing.assert_allclose(ends["sgd"], ends["sde"], rtol=1e-5)
    np.testing.assert_allclose(ends["sde"][0::2], -ends["sde"][1::2], rtol=1e-5)
    assert len(np.unique(np.abs(np.round(ends["sde"], 4)))) == 3


def test_diverged_pairs_are_dropped_and_counted():
    """On a steep double well SGD leaves for good from far out."""
    with pytest.warns(UserWarning, match="chains diverged"):
        found = weak_error(
            WELL, ss.Hyperparameters(0.5), time=5.0, chains=400, key=jax.random.key(3), initial=jnp.ones(())
        )
    assert found.dropped > 0
    assert found.n + found.dropped == 200
    assert np.isfinite(found.value).all()
    diverged = found.dropped - found.not_finite
    assert f"n = {found.n}, {diverged} diverged and left out" in str(found)


class Ran:
    """What a run of both leaves behind, from values that are known."""

    def __init__(self, sgd, sde, lost=()):
        self.record = {"sgd f": np.stack([sgd, sgd]), "sde f": np.stack([sde, sde])}
        self.alive = np.full(len(sgd), True)
        self.alive[list(lost)] = False


@pytest.mark.parametrize("antithetic", [True, False])
def test_value_and_error_by_hand(antithetic, monkeypatch):
    """The mean of the differences, or of those of pairs, and its standard error by scipy."""
    sgd, sde = np.random.default_rng(0).normal(size=(2, 20))
    monkeypatch.setattr(_weak_error, "run", lambda *args, **options: Ran(sgd, sde))
    found = measured(chains=20, antithetic=antithetic)
    gaps = (sgd - sde).reshape(-1, 2).mean(axis=1) if antithetic else sgd - sde
    np.testing.assert_allclose(found["f"], [gaps.mean(), stats.sem(gaps)])
    np.testing.assert_allclose([found.sgd[0], found.sde[0]], [sgd.mean(), sde.mean()])
    assert (found.n, found.dropped, found.not_finite) == (len(gaps), 0, 0)


def test_what_was_left_out_and_why(monkeypatch):
    """Of ten pairs one diverged and two have no value; with three more there are too few."""
    sgd, sde = np.random.default_rng(0).normal(size=(2, 24))
    sgd[4], sde[7] = np.nan, np.inf
    monkeypatch.setattr(_weak_error, "run", lambda *args, **options: Ran(sgd, sde, lost=[0, 4]))
    found = measured(chains=24)
    assert (found.n, found.dropped, found.not_finite) == (9, 3, 1)
    assert "n = 9, 2 diverged and left out, 1 not finite and left out" in str(found)
    sgd[10:16] = np.nan
    with refused(match="2 of 12 diverged and 4 have an observable that is not finite"):
        measured(chains=24)


def test_it_prints_itself(error):
    text = str(error)
    assert text.startswith("weak error of Langevin at η = 0.2, t = 2 (10 steps); n = 10000\n  f  ")
    with pytest.raises(KeyError, match="no observable 'x'; there are 'f'"):
        error["x"]


def test_bad_input():
    call = partial(weak_error, WELL, time=2.0, key=jax.random.key(0), chains=100)
    with refused(match=r"time must be a whole number of steps of 0\.3, got 2, .* nearest is 2\.1"):
        call(ss.Hyperparameters(0.3))
    with refused(match="hyper must hold one learning rate"):
        call(ss.Hyperparameters([0.1, 0.2]))
    with refused(match="chains must be even for antithetic pairs, got 101"):
        call(HYPER, chains=101)
    with refused(match="SGD with Gaussian noise itself"):
        call(HYPER, process=partial(ss.Langevin, **ONE_EULER_STEP))
    with refused(match="got noise='isotropic'"):
        call(HYPER, process=partial(ss.Langevin, noise="isotropic", substeps=4))
    with refused(match="increments='two_point'"):
        call(HYPER, process=partial(ss.Langevin, increments="two_point", substeps=4))
    with refused(match="got SVAG: it has no Brownian motion to share"):
        call(HYPER, process=partial(ss.SVAG, l=2))
    with refused(match=r"process must be a function \(problem, hyper\) -> SDE"):
        call(HYPER, process=ss.Langevin(WELL, HYPER, solver=diffrax.Heun()))
    with refused(match="observables must be a function of theta"):
        call(HYPER, observables={"x": 3})
    with refused(match="observables must return one number"):
        call(HYPER, observables=lambda x: jnp.stack([x, x]))
