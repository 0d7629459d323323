"""The cards that train networks: what they measure, on made-up curves, and a planted fault in the noise."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from paper_checks._card import Verdict
from paper_checks._context import Context, Laws, folded
from paper_checks.three_factors import _networks, dynamics, endpoint
from paper_checks.three_factors._grid import EQUAL_EPOCHS, EQUAL_LOSS, Grid
from paper_checks.three_factors.breakdown import BROKEN, Row
from paper_checks.three_factors.interpolation import ALPHAS, _curvature, _rise


def outcome_of(card, **laws):
    key = jax.random.key(0)
    return card.check(Context("smoke", folded(key, card.id), Laws(**laws), seed_key=key))


def half_the_noise_at(size):
    """η and steps as they should be, twice as many examples in each step."""

    def sgd(problem, hyper, **options):
        if hyper.batch_size == size:
            more = {"has_momentum": hyper.has_momentum}
            hyper = ss.Hyperparameters(hyper.learning_rate, 2 * size, hyper.momentum, **more)
        return ss.SGD(problem, hyper, **options)

    return sgd


@pytest.mark.script
@pytest.mark.parametrize(
    ("card", "size"), [(dynamics.CARD, 16), (endpoint.CARD, 8)], ids=["dynamics", "endpoint"]
)
def test_half_the_noise_in_one_arm_is_noticed(card, size):
    """η/B kept, the noise not: the main measurement is not met."""
    found = outcome_of(card, sgd=half_the_noise_at(size))
    assert found.verdict in (Verdict.PARTLY, Verdict.NOT_REPRODUCED), found
    assert found.measurements[0].met is False
    assert found.control_failed


def test_a_shared_sweep_is_made_once_and_the_same_for_a_card_alone():
    problem = ss.problems.Quadratic()
    options = {"learning_rate": [0.1], "batch_size": 1, "steps": 2, "seeds": 2}
    seed, shared = jax.random.key(3), {}
    contexts = [Context("smoke", folded(seed, name), seed_key=seed, shared=shared) for name in ("a", "b")]
    first, second = (one.shared_sweep("grid", ss.SGD, problem, **options) for one in contexts)
    assert first is second
    alone = replace(contexts[1], shared={}).shared_sweep("grid", ss.SGD, problem, **options)
    assert alone is not first and (alone["loss"].values == first["loss"].values).all()


@pytest.mark.script
def test_the_convolutional_network_starts_as_the_others_do():
    problem = _networks.convolutional_digits(channels=4, size=100)
    theta = problem.init(jax.random.key(0))
    assert float(jnp.abs(theta.first.bias).max()) == 0
    # 288 weights of variance 1/36: relative standard error √(2/288)
    assert abs(float(jnp.var(theta.second.weight)) * 36 - 1) < 5 * (2 / 288) ** 0.5
    assert problem.example_losses(theta).shape == (100,)


@pytest.mark.script
def test_the_convolutional_network_learns_and_has_a_sharpness():
    problem = _networks.convolutional_digits(channels=2, size=64, label_noise=0.0)
    options = {"learning_rate": [0.1, 0.2], "batch_size": 4, "epochs": 30, "seeds": 2, "every": 15}
    watched = {"loss": "loss", "accuracy": "accuracy", "λ₁": ss.curvature.Sharpness(problem)}
    result = ss.sweep(ss.SGD, problem, **options, record=watched, key=jax.random.key(4))
    assert (result["loss"].values[..., -1] < 0.5 * result["loss"].values[..., 0]).all()
    assert (result["accuracy"].values[..., -1] > 0.3).all()
    assert (result["λ₁"].values > 0).all()


def made_up_grid():
    """Two runs whose curvature is the square of their loss; samples straddle the common level."""
    loss = np.array([[[[4.0, 2.0, 1.0]], [[4.0, 1.0, 0.5]]]])
    values = {"loss": SimpleNamespace(values=loss), "sharpness": SimpleNamespace(values=loss**2)}
    return Grid("made up", None, values, level=1.5)  # type: ignore[arg-type]


def test_curvature_at_equal_loss_is_read_between_samples():
    grid = made_up_grid()
    np.testing.assert_allclose(grid.at("sharpness", EQUAL_LOSS), np.full((1, 2, 1), 2.25), rtol=1e-12)
    np.testing.assert_allclose(grid.at("sharpness", EQUAL_EPOCHS).ravel(), [1.0, 0.25])


def test_a_break_is_found_between_two_factors():
    """|Δ ln L| = .01 β: it passes ln 1.1 at β = 9.53."""
    factors = np.array([1, 4, 16, 64])
    drift = np.where(factors == 1, 0.0, 0.01 * factors)
    losses = np.exp(drift)[:, None, None] * np.ones((4, 6, 3))
    row = Row("made up", 100, factors, losses, sharpness=5.0)
    np.testing.assert_allclose(row.deviation(), drift, atol=1e-12)
    assert row.breaks_at() == pytest.approx(100 * BROKEN)
    assert row.breaks_at(np.ones((4, 6))) == pytest.approx(100 * BROKEN)
    losses[2, 0] = np.nan
    assert Row("diverged", 100, factors, losses, 5.0).deviation()[2] > 10


def test_the_narrower_end_of_a_line_is_told():
    """L = 3 α² at one end and (α − 1)² at the other, with a wall between them."""
    loss = np.where(ALPHAS < 0.5, 3 * ALPHAS**2, (ALPHAS - 1) ** 2)[None]
    assert _curvature(loss) == pytest.approx(np.log(3))
    assert _rise(loss) == pytest.approx(np.log(3))
    assert _curvature(loss[:, ::-1]) == pytest.approx(-np.log(3))
