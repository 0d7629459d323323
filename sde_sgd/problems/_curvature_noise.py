"""Gradient noise whose covariance is the curvature of the loss."""

from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Scalar
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._noise import GradientNoise
from sde_sgd.problems._wells import MatchedParabolas

AnyAnalytic = TypeVar("AnyAnalytic", bound=AnalyticProblem)


class CurvatureNoise(GradientNoise):
    """C(x) = max(|L''(x)|, clip) of a loss with one parameter, in Itô's sense: `with_curvature_noise`."""

    loss_of: AnalyticProblem
    clip: Float[Array, ""]
    is_additive = False

    def __init__(self, loss_of: AnalyticProblem, clip: Scalar = 0.0):
        self.loss_of = loss_of
        self.clip = _checks.array("clip", _checks.scalar("clip", clip, at_least=0))

    def apply(self, theta: Array, xi: Array) -> Array:
        return jnp.sqrt(self._variance(theta)) * xi

    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        return jnp.reshape(self._variance(theta), (1, 1))

    def _variance(self, theta: Array) -> Array:
        curvature = jnp.abs(jnp.reshape(self.loss_of.hessian(theta), theta.shape))
        return jnp.maximum(curvature, self.clip.astype(theta.dtype))


def with_curvature_noise(problem: AnyAnalytic, *, clip: Scalar | None = None) -> AnyAnalytic:
    """The same loss with the noise of diffusion theory: C(x) = |L''(x)|, so that D = η|L''|/(2B).

    Near a minimum of a well-specified likelihood C ≈ H; beyond, |H| is an assumption. On `MatchedParabolas`
    it is constant in each part, H_a in the wells and H_b about the top, which is where
    `theory.diffusion_theory` is derived. On smooth losses |L''| vanishes at the inflection, where the slope
    does not: taken literally nothing ever escapes, and with a clip it is the clip that sets the time
    (or the step, which jumps over the place).

    Args:
        problem: analytic, one parameter; its own noise is not used.
        clip: the least C > 0; needed but for `MatchedParabolas`.

    Raises:
        ValueError: for more parameters, or a smooth loss without `clip`.

    Source: Xie, Sato, Sugiyama 2021 (arXiv:2002.03495).
    """
    if not isinstance(problem, AnalyticProblem):
        raise ValueError(
            f"problem must be an analytic problem such as MatchedParabolas(), got {short(problem)}."
        )
    size = _traces.parameter_shapes(problem.init).size
    if size != 1:
        raise ValueError(
            f"problem must have one parameter for a noise of its curvature, got {type(problem).__name__} "
            f"with {size}. Project onto the direction of escape first."
        )
    if clip is None and not isinstance(problem, MatchedParabolas):
        raise ValueError(
            f"clip must be given for {type(problem).__name__}, got None: |L''| vanishes at the inflection "
            f"on the way up, where the slope does not, so that without a least noise nothing ever escapes. "
            f"The clip then sets the time; MatchedParabolas needs none, as its |L''| is constant in each "
            f"part."
        )
    least = 0.0 if clip is None else _checks.scalar("clip", clip, above=0)
    result: AnyAnalytic = eqx.tree_at(lambda one: one.noise, problem, CurvatureNoise(problem, least))
    return result
