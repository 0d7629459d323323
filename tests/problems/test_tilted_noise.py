"""Data whose examples are tilts of one loss: their covariance, and what they leave alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REFUSED, facts, quick_jit, refused, regression_data, starts_of

from sde_sgd import problems
from sde_sgd.problems import DoubleWell, StyblinskiTang, TiltedNoiseData

KEY = jax.random.key(11)
TILTED: dict[str, Callable[..., TiltedNoiseData]] = {
    "scalar": lambda **more: TiltedNoiseData(DoubleWell(), dataset_size=8, key=KEY, **more),
    "3-D": lambda **more: TiltedNoiseData(StyblinskiTang(3), dataset_size=20, key=KEY, **more),
    "fewest": lambda **more: TiltedNoiseData(StyblinskiTang(4), dataset_size=8, key=KEY, **more),
}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", TILTED)
def test_tilts_have_mean_zero_and_the_covariance_asked_for(name: str, symmetric: bool) -> None:
    problem = TILTED[name](noise_variance=2.5, symmetric=symmetric)
    tilts = np.asarray(problem.tilts, np.float64).reshape(problem.dataset_size, -1)
    dimension = tilts.shape[1]
    np.testing.assert_allclose(tilts.mean(axis=0), np.zeros(dimension), atol=1e-5)
    np.testing.assert_allclose(tilts.T @ tilts / len(tilts), 2.5 * np.eye(dimension), atol=1e-5)
    np.testing.assert_allclose(problem.noise_variance(), 2.5)
    if not symmetric:
        return
    theta = problem.init(KEY)
    covariance = np.asarray(quick_jit(problem.gradient_covariance)(theta))
    # per-example gradients of some 50 units are rounded to float32 before their spread is taken
    np.testing.assert_allclose(covariance, 2.5 * np.eye(dimension), atol=2e-4)


@pytest.mark.parametrize("name", ["scalar", "3-D"])
def test_pairs_of_tilts_have_no_odd_moments(name: str) -> None:
    for symmetric in (True, False):
        problem = TILTED[name](symmetric=symmetric)
        tilts = np.asarray(problem.tilts, np.float64).reshape(problem.dataset_size, -1)
        third = np.abs(np.einsum("ni,nj,nk->ijk", tilts, tilts, tilts) / len(tilts)).max()
        fifth = np.abs((tilts**5).mean(axis=0)).max()
        if symmetric:
            assert max(third, fifth) < 1e-12
        else:  # the check can fail
            assert min(third, fifth) > 0.05


def test_tilts_leave_the_loss_alone() -> None:
    base = StyblinskiTang(3)
    problem = TiltedNoiseData(base, dataset_size=20, noise_variance=4.0, key=KEY)
    thetas, _ = starts_of(base, jax.random.split(KEY, 10))
    for ours, theirs in zip(facts(problem, thetas), facts(base, thetas), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(problem.minima(), base.minima())
    np.testing.assert_array_equal(problem.init(KEY), base.init(KEY))


def test_a_batch_of_tilted_examples_by_hand() -> None:
    problem = TILTED["3-D"]()
    theta, batch = problem.init(KEY), jnp.asarray([3, 3, 17])
    gradient = problem.loss_of.gradient(theta) + problem.tilts[batch].mean(axis=0)
    np.testing.assert_allclose(problem.batch_gradient(theta, batch), gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"dataset_size": 7}, "dataset_size must be even and >= 6 for 3 parameters, got 7"),
        ({"dataset_size": 4}, "dataset_size must be even and >= 6 for 3 parameters, got 4"),
        ({"dataset_size": 3, "symmetric": False}, "dataset_size must be > 3 for 3 parameters, got 3"),
        ({"dataset_size": 0}, "dataset_size must be an integer >= 1, got 0"),
        ({"dataset_size": 8, "noise_variance": -1.0}, "noise_variance must be finite and >= 0"),
    ],
)
def test_too_few_tilts_are_refused(more: dict[str, Any], message: str) -> None:
    with refused(match=message):
        TiltedNoiseData(StyblinskiTang(3), key=KEY, **more)


def test_tilts_need_an_analytic_problem() -> None:
    problem = problems.linear_regression(regression_data())
    with pytest.raises(REFUSED):
        TiltedNoiseData(problem, dataset_size=10, key=KEY)
