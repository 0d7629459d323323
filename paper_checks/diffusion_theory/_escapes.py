"""Simulated times of escape beside exact ones, on the line."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import sde_sgd as ss
from paper_checks._context import Context

CHAINS = 8192
FORGOTTEN = 10.0  # relaxation times of the well before exits are counted
BEYOND = 1.5  # where a chain has left, in units of the way to the top


@dataclass(frozen=True)
class Escape:
    """From one well.

    Attributes:
        found: rate of the simulated chains.
        sde: mean time of the Itô SDE by quadrature, in SDE time.
    """

    found: ss.escape.EscapeRate
    sde: float

    @property
    def log_time(self) -> float:
        """ln τ in SDE time."""
        return float(np.log(self.found.time))

    @property
    def error(self) -> float:
        """Standard error of `log_time`."""
        return self.found.relative_error


class Beyond(eqx.Module):
    """Whether a chain is past a point."""

    target: Float[Array, ""]
    sign: Float[Array, ""]

    def __call__(self, theta: Float[Array, "..."]) -> Bool[Array, ""]:
        return jnp.all((theta - self.target) * self.sign > 0)


def escape(
    context: Context,
    name: str,
    problem: ss.problems.AnalyticProblem,
    hyper: ss.Hyperparameters,
    *,
    start: Float[Array, "..."],
    target: float,
    exits: int,
) -> Escape:
    """About so many exits of SGD's chains, each put back at the start."""
    begin = float(start.reshape(()))
    exact = ss.theory.mean_passage_time(problem, hyper, start=begin, target=target)
    curvature = float(problem.hessian(start).reshape(()))
    burn_in = int(FORGOTTEN / (float(hyper.learning_rate) * curvature))
    outside = Beyond(jnp.asarray(target), jnp.sign(jnp.asarray(target - begin)))
    renewal = ss.escape.Renewal(context.sgd(problem, hyper), start=start, outside=outside, burn_in=burn_in)
    steps = burn_in + int(exits * exact.steps / CHAINS) + 1
    result = context.run(name, renewal, chains=CHAINS, steps=steps, initial=start)
    return Escape(ss.escape.rate(result), exact.time)


def parabolas(
    context: Context,
    name: str,
    well: ss.problems.MatchedParabolas,
    hyper: ss.Hyperparameters,
    exits: int,
) -> Escape:
    """From the well at 0 of matched parabolas."""
    target = BEYOND * float(well.barrier_position)
    return escape(context, name, well, hyper, start=jnp.zeros(()), target=target, exits=exits)


def line(x: np.ndarray, escapes: list[Escape], shift: np.ndarray | float = 0.0) -> tuple[float, float, float]:
    """Slope, its standard error and intercept of ln τ + shift over x, by weighted least squares."""
    y = np.array([one.log_time for one in escapes]) + shift
    weights = np.array([one.error for one in escapes]) ** -2.0
    middle = np.average(x, weights=weights)
    error = float((weights @ (x - middle) ** 2) ** -0.5)
    slope = float(weights @ ((x - middle) * y)) * error**2
    return slope, error, float(np.average(y, weights=weights) - slope * middle)
