"""How many steps SGD itself takes over a barrier, against linear algebra, the SDE and simulations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd.theory._escape._absorption import mean_absorption_times
from sde_sgd.theory._escape._chain_time import _from_start

theory, problems = ss.theory, ss.problems


def well(diffusion, rate, **options):
    """The double well with noise that makes D what it should be at B = 4."""
    return problems.DoubleWell(noise_variance=2 * diffusion * 4 / rate, **options)


def hyper(rate):
    return ss.Hyperparameters(rate, 4)


def beyond_one(x):
    return x > 1


def test_absorption_by_linear_algebra():
    """Of a dense chain, and of one that is absorbed once in 10³⁰ steps, whose time is π's flow inverted."""
    rng = np.random.default_rng(0)
    P = rng.uniform(size=(30, 30))
    P *= (rng.uniform(0.5, 0.99, 30) / P.sum(axis=1))[:, None]
    gone = 1 - P.sum(axis=1)
    np.testing.assert_allclose(
        mean_absorption_times(P.copy(), gone), np.linalg.solve(np.eye(30) - P, np.ones(30)), rtol=1e-11
    )
    rare = np.array([0.0, 1e-30])
    times = mean_absorption_times(np.array([[0.75, 0.25], [0.5, 0.5]]), rare)
    np.testing.assert_allclose(times, 3e30, rtol=1e-12)


def test_a_start_beside_the_points():
    """One that goes where the first point does takes as long."""
    P = np.array([[0.5, 0.25], [0.5, 0.25], [0.5, 0.25]])
    gone = np.full(3, 0.25)
    np.testing.assert_allclose(_from_start(P, gone), mean_absorption_times(P[:2].copy(), gone[:2])[0])


@pytest.mark.parametrize("law", ["gaussian", "rademacher"])
@pytest.mark.parametrize("rate", [0.4, 0.1])
def test_simulations(law, rate):
    """The mean of exits beyond 1, run until all chains are out."""
    problem = well(0.15, rate, noise_law=law)
    found = theory.chain_passage_time(problem, hyper(rate), target=1)
    chains = 4000
    ended = ss.run(
        ss.SGD(problem, hyper(rate)),
        chains=chains,
        steps=int(25 * found.steps),
        every=1,
        key=jax.random.key(0),
        initial=jnp.asarray(-1.0),
        stop=beyond_one,
        progress=False,
    )
    assert (ended.stopped_at > 0).all()
    error = np.hypot(ended.stopped_at.std() / chains**0.5, found.error * found.steps)
    assert abs(ended.stopped_at.mean() - found.steps) < 4 * error
    np.testing.assert_allclose(found.time, rate * found.steps, rtol=1e-6)


def test_small_steps_go_to_the_sde_as_eta():
    """At D = .03 fixed; and SGD passes faster, as its law is wider than that of the SDE."""
    exact = theory.mean_passage_time(well(0.03, 0.1), hyper(0.1), target=1).time
    rates = np.array([0.1, 0.05, 0.025, 0.0125])
    off = np.array(
        [
            1 - theory.chain_passage_time(well(0.03, rate), hyper(rate), target=1).time / exact
            for rate in rates
        ]
    )
    assert (off > 0).all()
    slopes = np.log2(off[:-1] / off[1:])
    assert (np.abs(slopes - 1) < [0.45, 0.2, 0.1]).all()
    assert (np.diff(np.abs(slopes - 1)) < 0).all()


def test_signs_pass_slower_than_normal_noise():
    """Both go to the SDE; two-point noise has a fourth cumulant of −2, which the barrier feels."""
    exact = theory.mean_passage_time(well(0.05, 0.1), hyper(0.1), target=1).time
    off = []
    for rate in (0.1, 0.05, 0.025):
        found = theory.chain_passage_time(well(0.05, rate, noise_law="rademacher"), hyper(rate), target=1)
        assert found.error < 2e-3
        off.append(found.time / exact - 1)
    assert off[0] > 1.5 * off[1] > 2 * off[2] > 0


class Stretched(problems.AnalyticProblem):
    """The double well of 2x."""

    noise: problems.GradientNoise
    noise_law: str = eqx.field(static=True, default="gaussian")

    def init(self, key):
        del key
        return jnp.zeros(())

    def loss(self, theta):
        return 0.25 * (4 * theta * theta - 1) ** 2


def test_stretched_losses_are_another_learning_rate():
    """L(√k θ) at η is L at kη with noise σ²/k, to the step."""
    narrow = Stretched(problems.Isotropic(12.0))
    wide = problems.DoubleWell(noise_variance=3.0)
    steps = [
        theory.chain_passage_time(narrow, hyper(0.05), target=0.5, start=-0.5).steps,
        theory.chain_passage_time(wide, hyper(0.2), target=1).steps,
    ]
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-5)


def test_both_ways_and_high_barriers():
    there, back = (theory.chain_passage_time(well(0.01, 0.1), hyper(0.1), target=b) for b in (1, -1))
    np.testing.assert_allclose(there.steps, back.steps, rtol=1e-9)
    assert 2e12 < there.steps < 4e12
    assert max(there.error, back.error) < 1e-9


def test_bad_input():
    with refused(match=r"learning_rate must be < 1 at start = -1, where L'' = 2, got 1.5: SGD is unstable"):
        theory.chain_passage_time(well(0.1, 1.5), hyper(1.5), target=1)
    with refused(match="learning_rate must be such that 2501 points hold .* from -1 to 1, got 1e-06"):
        theory.chain_passage_time(well(0.1, 1e-6), hyper(1e-6), target=1)
    with refused(match="momentum must be 0 for chain_passage_time"):
        theory.chain_passage_time(well(0.1, 0.1), ss.Hyperparameters(0.1, 4, momentum=0.5), target=1)
    with refused(match="noise_law must be 'gaussian' or 'rademacher'"):
        theory.chain_passage_time(well(0.1, 0.1, noise_law="exponential"), hyper(0.1), target=1)
    data = problems.TiltedNoiseData(problems.DoubleWell(), dataset_size=8, key=jax.random.key(0))
    with refused(match="problem must be analytic for the passage of its chain, got TiltedNoiseData"):
        theory.chain_passage_time(data, hyper(0.1), target=1)
    with refused(match="target must lie beyond a barrier"):
        theory.chain_passage_time(well(0.1, 0.1), hyper(0.1), target=-2)
    with refused(match="noise must be > 0 on the way"):
        theory.chain_passage_time(problems.DoubleWell(noise_variance=0.0), hyper(0.1), target=1)
