"""Three ways to draw batches, and the three noise levels they must have.

Keys are fixed. A statistical test states its null; `assert_agree` allows as many standard errors
as a correct program exceeds with odds 1e-6, and p-values are compared with 1e-6. A wrong noise
level must lie more than ten standard errors away, or the test could not tell.
"""

import itertools
import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ALARM,
    assert_agree,
    chi_square_p,
    covariance,
    deviations,
    ensemble,
    float64,
    ravel,
    ravel_rows,
    refused,
    regression_data,
)
from scipy import stats

import sde_sgd as ss
from sde_sgd import problems, random
from sde_sgd.data import Dataset
from sde_sgd.problems import FiniteSumProblem
from sde_sgd.random import Stream

KEY = jax.random.key(3)
WORDS = {
    "minibatch": random.stream(KEY, Stream.MINIBATCH),
    "shuffle": random.stream(KEY, Stream.SHUFFLE),
}
SAMPLINGS = ("replacement", "subset", "shuffle")
DATA = regression_data(10, 3)
SIZE, BATCH = 10, 4


class Indices(FiniteSumProblem):
    """N examples without any loss: only how they are drawn matters."""

    size: int = eqx.field(static=True)

    def init(self, key: Any) -> Any:
        del key
        return jnp.zeros(())

    def example_losses(self, theta: Any, indices: Any = None) -> Any:
        del indices
        return jnp.zeros(self.size) * theta

    @property
    def dataset_size(self) -> int:
        return self.size


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _batches(sampling: str, batch_size: int, size: int, steps: int, chains: int, start: Any) -> Any:
    sampler = Indices(size).sampler(sampling, batch_size)
    chain = random.chain_numbers(chains)

    def one(state: Any, step: Any) -> tuple[Any, Any]:
        batch, state = sampler.draw(state, WORDS, step, chain)
        return state, batch

    return jax.lax.scan(one, sampler.init(chain), start + jnp.arange(steps))[1]


def batches(
    sampling: str, batch_size: int, size: int, steps: int = 1, chains: int = 1000, start: int = 0
) -> np.ndarray:
    """Indices drawn in successive steps, shape `(steps, chains, batch)`."""
    drawn = np.asarray(_batches(sampling, batch_size, size, steps, chains, start))
    assert drawn.shape == (steps, chains, batch_size)
    assert drawn.min() >= 0
    assert drawn.max() < size
    return drawn


@pytest.fixture(scope="module")
def gradients() -> np.ndarray:
    """∇ℓ_n of a linear regression, as rows in float64."""
    problem = problems.linear_regression(DATA)
    theta = [{"weight": jnp.asarray([[0.5], [-1.0], [2.0]])}]
    return np.asarray(jax.jit(lambda: problem.example_gradients(theta))(), np.float64)


def population_covariance(rows: np.ndarray) -> np.ndarray:
    return np.cov(rows.T, bias=True)


FACTORS = {"replacement": 1.0, "subset": (SIZE - BATCH) / (SIZE - 1), "shuffle": (SIZE - BATCH) / (SIZE - 1)}


# Noise of one step


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_covariance_of_a_batch_gradient(sampling: str, gradients: np.ndarray) -> None:
    """Null: E ĝ = ∇L, Cov ĝ = C/B with replacement and (C/B)(N − B)/(N − 1) without (one batch of
    a shuffled epoch is a random subset too). The other factor is excluded."""
    chains = 100_000
    drawn = batches(sampling, BATCH, SIZE, chains=chains)[0]
    rows = gradients[drawn].mean(axis=1)
    got, error = covariance(rows)
    exact = population_covariance(gradients) / BATCH
    wanted = exact * FACTORS[sampling]
    assert_agree(got, wanted, error)
    mean_error = np.sqrt(np.diag(wanted) / chains)
    assert_agree(rows.mean(axis=0), gradients.mean(axis=0), mean_error)
    wrong = exact * (FACTORS["subset"] if sampling == "replacement" else 1.0)
    assert np.abs(deviations(got, wrong, error)).max() > 10


@pytest.mark.parametrize("sampling", ["replacement", "subset"])
def test_covariance_of_an_sgd_step(sampling: str, gradients: np.ndarray) -> None:
    """The same through the process: one step from one θ moves by −ηĝ."""
    chains, rate = 40_000, 0.5
    problem = problems.linear_regression(DATA)
    theta = [{"weight": jnp.asarray([[0.5], [-1.0], [2.0]])}]
    process = ss.SGD(problem, ss.Hyperparameters(rate, BATCH), sampling=sampling)

    @jax.jit
    def step(chain: jax.Array) -> Any:
        state = process.init(ensemble(theta, chain.shape[0]), chain)
        return process.step(state, jnp.asarray(7), process.streams(KEY)).theta

    moved = ravel_rows(step(random.chain_numbers(chains))).astype(np.float64)
    rows = (ravel(theta) - moved) / rate
    got, error = covariance(rows)
    exact = population_covariance(gradients) / BATCH
    wanted = exact * FACTORS[sampling]
    assert_agree(got, wanted, error)
    assert_agree(rows.mean(axis=0), gradients.mean(axis=0), np.sqrt(np.diag(wanted) / chains))
    wrong = exact * FACTORS["subset" if sampling == "replacement" else "replacement"]
    assert np.abs(deviations(got, wrong, error)).max() > 10


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_successive_batches(sampling: str, gradients: np.ndarray) -> None:
    """Null: Cov(ĝ₁, ĝ₂) = 0, but −C/(N − 1) for two batches of one shuffled epoch, and each of the
    two is excluded where the other holds."""
    chains = 100_000
    first, second = batches(sampling, BATCH, SIZE, steps=2, chains=chains)
    got, error = covariance(gradients[first].mean(axis=1), gradients[second].mean(axis=1))
    shared = -population_covariance(gradients) / (SIZE - 1)
    wanted = shared if sampling == "shuffle" else 0 * shared
    assert_agree(got, wanted, error)
    assert np.abs(deviations(got, shared - wanted, error)).max() > 10


def test_successive_epochs_are_independent(gradients: np.ndarray) -> None:
    """Null: the last batch of one epoch and the first of the next are uncorrelated."""
    drawn = batches("shuffle", 5, SIZE, steps=3, chains=50_000)
    sums = [gradients[drawn[step]].mean(axis=1) for step in (0, 1, 2)]
    got, error = covariance(sums[1], sums[2])
    assert_agree(got, np.zeros_like(got), error)
    # the two halves of one epoch add up to the whole data set
    np.testing.assert_allclose(sums[0] + sums[1], np.tile(2 * gradients.mean(axis=0), (50_000, 1)))


# Which examples are drawn


@pytest.mark.parametrize(("size", "batch"), [(1, 1), (10, 4), (40, 39), (64, 64)])
def test_subsets_hold_different_examples(size: int, batch: int) -> None:
    drawn = np.sort(batches("subset", batch, size, steps=3), axis=-1)
    assert np.all(np.diff(drawn, axis=-1) > 0)


@pytest.mark.parametrize(("size", "batch"), [(6, 3), (7, 1), (5, 4)])
@pytest.mark.parametrize("sampling", ["subset", "shuffle"])
def test_every_subset_is_equally_likely(sampling: str, size: int, batch: int) -> None:
    """Null: uniform over the subsets; χ² of 40 000 draws at 1e-6."""
    drawn = batches(sampling, batch, size, chains=40_000)[0]
    codes = (1 << drawn).sum(axis=1)
    subsets = [sum(1 << i for i in chosen) for chosen in itertools.combinations(range(size), batch)]
    counts = np.array([(codes == code).sum() for code in subsets])
    assert counts.sum() == 40_000
    assert chi_square_p(counts, np.full(len(subsets), 40_000 / len(subsets))) > ALARM


def test_replacement_draws_every_pair_equally_often() -> None:
    """Null: two independent uniform draws; χ² over the N² ordered pairs at 1e-6. Repeated examples
    are among them."""
    drawn = batches("replacement", 2, 6, chains=40_000)[0]
    counts = np.bincount(drawn[:, 0] * 6 + drawn[:, 1], minlength=36)
    assert chi_square_p(counts, np.full(36, 40_000 / 36)) > ALARM


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_chains_and_steps_draw_for_themselves(sampling: str) -> None:
    """Null: whether example 0 is in a batch says nothing about the next chain, or about the same
    chain an epoch later: correlations with standard error 1/√n."""
    chains = 40_000
    drawn = batches(sampling, 10, 20, steps=3, chains=chains)
    held = (drawn == 0).any(axis=-1).astype(float)
    held = (held - held.mean()) / held.std()
    products = [np.mean(held[0, 1:] * held[0, :-1]), np.mean(held[0] * held[2])]
    assert_agree(products, [0, 0], 1 / np.sqrt(chains))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_chain_draws_the_same_batches_in_any_crowd(sampling: str) -> None:
    many = batches(sampling, 3, 10, steps=5, chains=1000)
    few = batches(sampling, 3, 10, steps=5, chains=7)
    np.testing.assert_array_equal(few, many[:, :7])


# Epochs


@pytest.mark.parametrize(("size", "batch"), [(12, 4), (10, 3), (7, 7), (7, 1)])
def test_epochs_are_orders_of_the_data_cut_into_batches(size: int, batch: int) -> None:
    """Within an epoch no example comes twice; with N not divisible by B the rest sits out, a new
    one each time. Null for the orders of all epochs and chains: independent and uniform over
    N!/(N mod B)!, so that the pairs of equal ones are Poisson; their number at 1e-6."""
    per_epoch, epochs, chains = size // batch, 4, 200
    drawn = batches("shuffle", batch, size, steps=per_epoch * epochs, chains=chains)
    orders = drawn.reshape(epochs, per_epoch, chains, batch).transpose(0, 2, 1, 3)
    orders = orders.reshape(epochs, chains, per_epoch * batch)
    ordered = np.sort(orders, axis=-1)
    assert np.all(np.diff(ordered, axis=-1) > 0)
    if size % batch == 0:
        np.testing.assert_array_equal(ordered, np.broadcast_to(np.arange(size), ordered.shape))
    else:
        seen = np.zeros(size, int)
        np.add.at(seen, orders.ravel(), 1)
        assert seen.min() > 0
    _, counts = np.unique(orders.reshape(epochs * chains, -1), axis=0, return_counts=True)
    pairs = int((counts * (counts - 1) // 2).sum())
    expected = math.comb(epochs * chains, 2) * math.factorial(size % batch) / math.factorial(size)
    assert pairs <= stats.poisson.isf(ALARM, expected)


def test_left_out_examples_are_left_out_equally_often() -> None:
    """Null: the one of 10 examples that 3 batches of 3 leave out is uniform; χ² at 1e-6."""
    drawn = batches("shuffle", 3, 10, steps=3, chains=20_000)
    left = 45 - drawn.sum(axis=(0, 2))
    assert chi_square_p(np.bincount(left, minlength=10), np.full(10, 2000.0)) > ALARM


def test_every_order_is_equally_likely() -> None:
    """Null: uniform over the 24 orders of 4 examples; χ² at 1e-6."""
    drawn = batches("shuffle", 1, 4, steps=4, chains=24_000)[..., 0].T
    codes = drawn @ np.array([64, 16, 4, 1])
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == 24
    assert chi_square_p(counts, np.full(24, 1000.0)) > ALARM


# Stationary variance

# L = (w − y)²/2 over N = 64 targets of mean 0 and variance 1: h = σ = 1.
N = 64


def closed_forms(rate: float, batch: int) -> dict[str, tuple[float, float]]:
    """Stationary Var w, exact: at the end of an epoch, and averaged over the steps of one.

    k batches into an epoch Var w = (1 − η)^{2k} V₀ + η² s² n/(n−1) [Σ a^{2j} − (Σ a^j)²/n] with
    n = N/B, a = 1 − η, j < k and s² the variance of one batch mean; V₀ is what repeats at k = n.
    """
    decay, count, population = 1 - rate, N // batch, (N - batch) / (N - 1)

    def added(steps: int) -> float:
        powers = decay ** np.arange(steps)
        spread = (powers**2).sum() - powers.sum() ** 2 / count
        return rate**2 * population / batch * count / (count - 1) * spread

    end = added(count) / (1 - decay ** (2 * count))
    within = [decay ** (2 * k) * end + added(k) for k in range(1, count + 1)]
    assert within[-1] == pytest.approx(end)
    replacement = rate / (batch * (2 - rate))
    subset = replacement * population
    return {
        "replacement": (replacement, replacement),
        "subset": (subset, subset),
        "shuffle": (end, float(np.mean(within))),
    }


@pytest.mark.parametrize(
    ("rate", "batch", "replacement", "subset", "shuffle"),
    [
        (0.1, 4, 0.01316, 0.01253, 0.0051),
        (0.2, 8, 0.01389, 0.01235, 0.0056),
        (0.4, 16, 0.01562, 0.0119, 0.0065),
    ],
)
def test_closed_forms_are_the_tabulated_numbers(
    rate: float, batch: int, replacement: float, subset: float, shuffle: float
) -> None:
    table = closed_forms(rate, batch)
    assert table["replacement"][1] == pytest.approx(replacement, abs=6e-6)
    assert table["subset"][1] == pytest.approx(subset, abs=6e-6)
    assert table["shuffle"][1] == pytest.approx(shuffle, abs=1e-4)


@pytest.fixture(scope="module")
def mean_estimation() -> problems.EmpiricalRisk:
    targets = np.random.default_rng(0).normal(size=N)
    targets = (targets - targets.mean()) / targets.std()
    return problems.linear_regression(Dataset(np.ones((N, 1)), targets))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_stationary_variance(sampling: str, mean_estimation: problems.EmpiricalRisk) -> None:
    """Null: the closed forms, over the sixth epoch from the minimum (of the start's law
    (1 − η)^160 = 5e-8 is left); Var w at its end and E w² over its 16 steps. Standard errors: the
    spread over chains. Planted fault: shuffling left out, or put in, lies ten of them away."""
    rate, batch, epoch = 0.1, 4, 16
    chains = 6000 if sampling == "shuffle" else 20_000
    process = ss.SGD(mean_estimation, ss.Hyperparameters(rate, batch), sampling=sampling)
    result = ss.run(
        process,
        chains=chains,
        steps=6 * epoch,
        key=KEY,
        initial=[{"weight": jnp.zeros((1, 1))}],
        moments={"square": lambda theta: theta[0]["weight"][0, 0] ** 2},
        every=1,
        burn_in=5 * epoch,
        devices=jax.local_devices()[:1],
    )
    rows = ravel_rows(result.theta)
    (variance,), (error,) = (part[0] for part in covariance(rows))
    square = result.moments["square"]
    assert square.count == epoch
    got, errors = [variance, square.mean], [error, square.standard_error]
    table = closed_forms(rate, batch)
    assert_agree(got, table[sampling], errors, count=3)
    assert_agree(rows.mean(), 0, np.sqrt(variance / chains), count=3)
    wrong = table["replacement" if sampling == "shuffle" else "shuffle"]
    assert np.abs(deviations(got, wrong, errors)).min() > 10


# Limits and refusals


@pytest.mark.parametrize("sampling", ["subset", "shuffle"])
def test_the_whole_data_set_has_no_noise(sampling: str) -> None:
    """B = N: every chain takes the same step of gradient descent, to rounding."""
    problem = problems.linear_regression(DATA)
    theta = [{"weight": jnp.ones((3, 1))}]
    process = ss.SGD(problem, ss.Hyperparameters(0.1, SIZE), sampling=sampling)

    @jax.jit
    def step(chain: jax.Array) -> tuple[Any, Any]:
        state = process.init(ensemble(theta, 50), chain)
        moved = process.step(state, jnp.asarray(0), process.streams(KEY)).theta
        return moved, jax.tree.map(lambda at, g: at - 0.1 * g, theta, problem.gradient(theta))

    moved, expected = step(random.chain_numbers(50))
    np.testing.assert_allclose(ravel_rows(moved), np.tile(ravel(expected), (50, 1)), rtol=1e-5)
    langevin = ss.Langevin(problem, ss.Hyperparameters(0.1, SIZE), sampling="subset")
    assert float(langevin.population_factor) == 0.0


def test_batches_larger_than_the_data_need_replacement() -> None:
    drawn = batches("replacement", 25, SIZE)
    assert drawn.shape == (1, 1000, 25)
    problem = problems.linear_regression(DATA)
    for sampling in ("subset", "shuffle"):
        message = f"batch_size must be <= 10 examples with sampling='{sampling}', got 11"
        with refused(match=message):
            problem.sampler(sampling, 11)
        with refused(match=message):
            ss.SGD(problem, ss.Hyperparameters(0.1, 11), sampling=sampling)
    with refused(match="batch_size must be <= 10"):
        ss.Langevin(problem, ss.Hyperparameters(0.1, 11), sampling="subset")


@pytest.mark.parametrize("name", ["", "with replacement", "Shuffle"])
def test_unknown_samplings_are_refused(name: str) -> None:
    problem = problems.linear_regression(DATA)
    message = f"sampling must be one of 'replacement', 'subset', 'shuffle', 'shuffle_all', got '{name}'"
    for call in (
        lambda: problem.sampler(name, 2),
        lambda: ss.SGD(problem, ss.Hyperparameters(0.1, 2), sampling=name),
        lambda: ss.Langevin(problem, ss.Hyperparameters(0.1, 2), sampling=name),
    ):
        with refused(match=message):
            call()


def test_shuffling_has_no_langevin_equation() -> None:
    problem = problems.linear_regression(DATA)
    with refused(match="has no matching SDE"):
        ss.Langevin(problem, ss.Hyperparameters(0.1, 2), sampling="shuffle")


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_double_precision_does_not_change_what_is_drawn(sampling: str) -> None:
    """Integers are drawn from 32-bit words in any precision."""
    single = batches(sampling, 3, 10, steps=4, chains=20)
    with float64():
        double = batches(sampling, 3, 10, steps=4, chains=20)
    np.testing.assert_array_equal(single, double)
