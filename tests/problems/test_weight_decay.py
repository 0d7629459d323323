"""Weight decay on some parameters and not on others."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import class_data, quick_jit, ravel, refused, regression_data

import sde_sgd as ss
from sde_sgd import problems

KEY = jax.random.key(5)
LINEAR = regression_data(12, 4)
CLASSES = class_data(12, 2, 3)


def no_biases(path: str) -> bool:
    return "bias" not in path


@quick_jit
def about(problem: Any, theta: Any) -> dict[str, Any]:
    """All that an L2 term changes, or must not."""
    ones = jax.tree.map(jnp.ones_like, theta)
    return {
        "losses": problem.example_losses(theta),
        "gradient": problem.gradient(theta),
        "batch": problem.batch_gradient(theta, jnp.asarray([1, 1, 5])),
        "hessian": problem.hessian(theta),
        "covariance": problem.gradient_covariance(theta),
        "hvp": ss.curvature.hvp(problem, theta, ones),
        "gauss_newton": ss.curvature.gauss_newton_product(problem, theta, ones),
    }


def test_masked_weight_decay_by_hand() -> None:
    """½λ Σ θ_i² over the weights alone: of a linear model Hessian and Gauss-Newton matrix are the same."""
    make = problems.linear_regression
    theta = [{"weight": jnp.arange(1.0, 5.0)[:, None], "bias": jnp.asarray([2.0])}]
    plain = about(make(LINEAR, bias=True), theta)
    masked = about(make(LINEAR, bias=True, l2=0.3, l2_mask=no_biases), theta)
    flags = ravel([{"weight": np.ones((4, 1)), "bias": np.zeros(1)}])
    flat = ravel(theta)
    more = {
        "losses": 0.15 * (flags * flat**2).sum(),
        "gradient": 0.3 * flags * flat,
        "batch": 0.3 * flags * flat,
        "hessian": 0.3 * np.diag(flags),
        "covariance": 0.0,
        "hvp": 0.3 * flags,
        "gauss_newton": 0.3 * flags,
    }
    for name, expected in more.items():
        here, there = masked[name], plain[name]
        gap = ravel(here) - ravel(there) if isinstance(here, list) else here - there
        np.testing.assert_allclose(
            gap, np.broadcast_to(expected, np.shape(gap)), rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_a_mask_of_everything_is_no_mask() -> None:
    theta = [{"weight": jnp.ones((4, 1)), "bias": jnp.ones(1)}]
    make = problems.linear_regression
    one, other = make(LINEAR, bias=True, l2=0.3), make(LINEAR, bias=True, l2=0.3, l2_mask=True)
    np.testing.assert_array_equal(one.example_losses(theta), other.example_losses(theta))


def test_masks_reach_every_model() -> None:
    net = eqx.nn.MLP(2, 3, 4, 1, key=KEY)
    assert problems.from_equinox(net, CLASSES, l2=0.1, l2_mask=no_biases).l2_mask == (True, False) * 2
    assert problems.mlp(CLASSES, hidden=3, l2=0.1, l2_mask=no_biases).l2_mask == (False, True) * 2
    by_loss = problems.from_loss(
        lambda theta, x, y: (x @ theta["w"] + theta["b"] - y) ** 2,
        LINEAR,
        init=lambda key: {"w": jnp.zeros(4), "b": jnp.zeros(())},
        l2=0.1,
        l2_mask={"w": True, "b": False},
    )
    assert by_loss.l2_mask == (False, True)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (lambda path: "bais" in path, "l2_mask must mean one parameter at least, but none of '0/bias'"),
        (lambda path: None, "l2_mask must say True or False for each of '0/bias', '0/weight'"),
        ({"weight": True}, "l2_mask must be a function of a path such as '0/bias', or a tree of bools"),
        ([{"weight": 1.0, "bias": 0.0}], "l2_mask must say True or False .*got 0.0"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: Any, message: str) -> None:
    with refused(match=message):
        problems.linear_regression(LINEAR, bias=True, l2=0.3, l2_mask=mask)


def test_a_mask_of_no_penalty_is_refused() -> None:
    with refused(match="l2_mask says where l2 is on, and l2 is 0"):
        problems.linear_regression(regression_data(), l2_mask=no_biases)
