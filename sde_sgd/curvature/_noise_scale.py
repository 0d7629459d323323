"""The gradient noise scale: the batch at which noise and gradient are as large as each other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import described, shown
from sde_sgd._platform.reading import _traces
from sde_sgd.curvature._operators import check_theta, precise
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.random import check_key

_ROUNDINGS = 4  # of one example's gradient: a mean that is no larger is not told from 0
_AT_ONCE = 64  # examples or batches whose gradients are taken together


@shown
class NoiseScale(NamedTuple):
    """Tr C/|∇L|², in examples.

    Attributes:
        value: of both means, one over the other. Estimated it may be negative, or of no use, where the noise
            hides the gradient: `resolved` is False there.
        low, high: ends of the interval, the value itself where it is exact; 0 and infinity where the
            estimate of |∇L|² is not told from 0.
        trace: Tr C, of one example's gradient.
        squared_gradient: |∇L|².
        resolved: whether the interval has two ends and the value is not negative; where it is exact, whether
            the gradient is more than the rounding of its examples'.
    """

    value: Float[Array, "..."]
    low: Float[Array, "..."]
    high: Float[Array, "..."]
    trace: Float[Array, "..."]
    squared_gradient: Float[Array, "..."]
    resolved: Array

    def __repr__(self) -> str:
        return described(self)


def gradient_noise_scale(
    problem: Problem,
    theta: PyTree,
    *,
    sizes: tuple[int, int] | None = None,
    batches: int = 64,
    level: float = 0.95,
    key: Key[Array, ""] | None = None,
) -> NoiseScale:
    r"""The gradient noise scale B_simple = Tr C(θ)/|∇L(θ)|², in examples.

    A gradient of B examples drawn with replacement has E|G_B|² = |∇L|² + Tr C/B. Up to B ≪ B_simple a batch
    twice as large saves half of the steps, beyond it next to nothing.

    Without `sizes` it is exact: a gradient of each example. With two sizes b < B it is estimated from
    `batches` pairs of batches,

        |∇L|² ≈ (B|G_B|² − b|G_b|²)/(B − b),    Tr C ≈ (|G_b|² − |G_B|²)/(1/b − 1/B),

    each averaged before one is divided by the other; the interval is Fieller's, of a ratio of means.

    In a run: `record={"B": lambda theta: gradient_noise_scale(net, theta).value}`.

    Args:
        problem: any problem for the exact value; one with examples for the estimate.
        theta: parameters of one chain.
        sizes: b and B of the estimate, 1 <= b < B.
        batches: of each size, at least 8.
        level: probability with which the interval holds the truth, in (0, 1).
        key: draws the batches; by default a fixed one.

    Returns:
        `NoiseScale`.

    Raises:
        ValueError: if parameters do not fit the problem, or an argument is out of range.

    Source: McCandlish, Kaplan, Amodei 2018, *An empirical model of large-batch training*
    (arXiv:1812.06162), section 2 and appendix A.
    """
    theta = check_theta(problem, theta)
    count = _checks.integer("batches", batches, at_least=8, hint="The interval comes from their spread.")
    _checks.number("level", level, above=0, below=1)
    key = jax.random.key(0) if key is None else key
    check_key(key)
    if sizes is None:
        exact: NoiseScale = _exact(problem, theta)
        return exact
    if not isinstance(problem, FiniteSumProblem):
        raise ValueError(
            f"sizes must be None for {type(problem).__name__}, which has no examples to draw batches from: "
            f"its noise scale is known exactly."
        )
    if not isinstance(sizes, tuple | list) or len(sizes) != 2:
        raise ValueError(f"sizes must be two batch sizes such as (8, 128), got {sizes!r}.")
    small, large = (_checks.integer(f"sizes[{i}]", size, at_least=1) for i, size in enumerate(sizes))
    if not small < large:
        raise ValueError(f"sizes must rise, the smaller batch first, got {small} and {large}.")
    quantile = float(scipy.stats.t.ppf((1 + float(level)) / 2, count - 1))
    estimated: NoiseScale = _estimated(problem, theta, key, quantile, small, large, count)
    return estimated


@_traces.jit
def _exact(problem: Problem, theta: Any) -> NoiseScale:
    with precise():
        mean = problem.gradient(theta)
        square = _tree.squared_norm(mean)
        if isinstance(problem, FiniteSumProblem):
            # of differences: of squares little is left where the mean is large
            def one(number: Int[Array, ""]) -> Array:
                gradient = problem.batch_gradient(theta, number[None])
                return _tree.squared_norm(jax.tree.map(jnp.subtract, gradient, mean))

            numbers = jnp.arange(problem.dataset_size, dtype=jnp.int32)
            trace = jnp.mean(lax.map(one, numbers, batch_size=_AT_ONCE))
        else:
            trace = jnp.trace(problem.gradient_covariance(theta))
    value = trace / square
    rounding = (_ROUNDINGS * jnp.finfo(square.dtype).eps) ** 2 * trace
    return NoiseScale(value, value, value, trace, square, jnp.isfinite(value) & (square > rounding))


@_traces.jit
def _estimated(
    problem: FiniteSumProblem,
    theta: Any,
    key: Key[Array, ""],
    quantile: float,
    small: int,
    large: int,
    count: int,
) -> NoiseScale:
    total = problem.dataset_size
    assert total is not None

    def squares(key: Key[Array, ""], size: int) -> Float[Array, " batches"]:
        drawn = jax.random.randint(key, (count, size), 0, total, jnp.int32)
        with precise():
            found: Float[Array, " batches"] = lax.map(
                lambda batch: _squared(problem, theta, batch), drawn, batch_size=_AT_ONCE
            )
        return found

    first, second = (
        squares(one, size) for one, size in zip(jax.random.split(key), (small, large), strict=True)
    )
    gradients = (large * second - small * first) / (large - small)
    traces = (first - second) / (1 / small - 1 / large)
    trace, gradient = jnp.mean(traces), jnp.mean(gradients)
    spread = jnp.cov(jnp.stack([traces, gradients])) * (quantile**2 / count)
    # the ratios r for which trace − r · gradient is not told from 0
    leading = gradient**2 - spread[1, 1]
    middle = trace * gradient - spread[0, 1]
    root = jnp.sqrt(jnp.maximum(middle**2 - leading * (trace**2 - spread[0, 0]), 0))
    bounded = (leading > 0) & (gradient > 0)
    safe = jnp.where(bounded, leading, 1)
    low = jnp.where(bounded, jnp.maximum((middle - root) / safe, 0), 0)
    high = jnp.where(bounded, (middle + root) / safe, np.inf)
    value = trace / gradient
    return NoiseScale(value, low, high, trace, gradient, bounded & (value >= 0))


def _squared(problem: FiniteSumProblem, theta: Any, batch: Int[Array, " batch"]) -> Float[Array, ""]:
    return _tree.squared_norm(problem.batch_gradient(theta, batch))
