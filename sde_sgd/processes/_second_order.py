"""The second-order SDE of SGD: at fixed batch size, and corrected at fixed η/B."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd import _checks
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes._base import ChainState, RateSchedule
from sde_sgd.processes._diffusion import Diffusion
from sde_sgd.processes._heavy_ball import refuse_momentum
from sde_sgd.random import Words

FIXED = ("batch_size", "ratio")


class SecondOrderLangevin(Diffusion):
    r"""The second-order SDE of SGD (Itô), on the clock of SGD steps k. In SDE time t = ηk:

        fixed="batch_size":  dΘ = −∇(L + (η/4)|∇L|²) dt + (η/B)^{1/2} C(Θ)^{1/2} dW
        fixed="ratio":       dΘ = −∇(L + (η/4)|∇L|² − (η/2) tr(𝐃 ∇∇L)) dt + (I + (η/2) ∇∇L) (2𝐃)^{1/2} dW

    with the diffusion matrix 𝐃 = (η/2B) C; for C = σ²I the last drift is +(ηD/2) ∇ΔL.

    As η → 0 at fixed B the noise vanishes with the square root of η, and the first equation has weak
    error O(η²), for any C(θ) (Li, Tai, E). As η → 0 at fixed η/B the noise stays, and the first
    equation is of first order again: it may be worse than no correction. The second has weak error
    O(η²) there. It follows from matching one step of SGD, with A = −∇L·∂ + 𝐃:∂∂ the generator of the
    first-order SDE: the correction is ηA₁ with A₁ = ½(:A²: − A²), where :A²: leaves the coefficients
    undifferentiated, hence

        A₁ = −½(∇∇L ∇L)·∂ + ½ ∇tr(𝐃∇∇L)·∂ + ½(𝐃∇∇L + ∇∇L𝐃):∂∂.

    Each solver step of length h = η/substeps is one of Heun's in the drift with the noise taken
    before the step, as Itô wants: θ̃ = θ + h b(θ) + n(θ), θ' = θ + (h/2)(b(θ) + b(θ̃)) + n(θ). Its own
    weak error is O(h²) for additive noise at fixed B and O(h² + ηh) else: below that of the equation,
    the more substeps the further. It costs two gradients, two Hessian-vector products and, for
    data, one gradient for the noise; at fixed="ratio" a third product and two third derivatives
    along a random direction, whose mean is ∇tr(C∇∇L). No matrix is formed.

    Args:
        problem: what is minimised; twice differentiable.
        hyper: η and B; η may differ from chain to chain. Without momentum.
        fixed: what is meant to be held while η → 0: "batch_size" or "ratio", η/B.
        substeps: solver steps per SGD step.
        sampling: "replacement" (C/B) or "subset" (times (N − B)/(N − 1)).
        schedule: multiplies η: a function of the step of the clock, constant during a step.

    Raises:
        ValueError: with momentum; at fixed="ratio" for noise that depends on θ (a term of third
            order in ∂ is left over, which no diffusion has) or that is not Gaussian (its third
            and fourth cumulants stay as η → 0 at fixed η/B, and no SDE follows SGD to this order).

    Source: Li, Tai, E 2017 (arXiv:1511.06251), theorem 1; at fixed η/B: derived here.
    """

    fixed: str = eqx.field(static=True)

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        fixed: Literal["batch_size", "ratio"] = "batch_size",
        substeps: int = 4,
        sampling: Sampling = "replacement",
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule, substeps=substeps, sampling=sampling)
        way_out = "Use Langevin, of first order with η/(1 − m), or UnderdampedLangevin."
        refuse_momentum(hyper, type(self).__name__, way_out)
        self.fixed = _checks.choice("fixed", fixed, FIXED)
        if self.fixed == "ratio":
            _check_ratio(problem)

    def moved(
        self, state: ChainState, step: Int[Array, ""], here: dict[str, Words], brownian: PyTree
    ) -> ChainState:
        rate = self.rate(step)
        direction = None
        if self.fixed == "ratio":
            direction = _draws.signs(here["direction"], state.chain, _draws.one_chain(state.theta))
        axes = (0, None if rate.ndim == 0 else 0, 0, 0)
        theta = jax.vmap(self._one, in_axes=axes)(state.theta, rate, brownian, direction)
        return ChainState(theta, state.chain, None)

    def _one(self, theta: Any, rate: Float[Array, ""], brownian: Any, direction: Any) -> Any:
        """One solver step of one chain."""
        time = rate / self.substeps
        per_example = jnp.sqrt(self.population_factor / self.hyper.batch_size)
        if isinstance(self.problem, AnalyticProblem):
            noise: Any = self.problem.noise.scaled(theta, rate * per_example, brownian)
        else:
            noise = self.problem.noisy_gradient(theta, jnp.zeros_like(rate), rate * per_example, brownian)
        if self.fixed == "ratio":
            noise = _plus(noise, rate / 2, self._hessian_product(theta, noise))

        def drift(at: Any) -> Any:
            gradient = self.problem.gradient(at)
            slope = _plus(gradient, rate / 2, self._hessian_product(at, gradient))
            if self.fixed == "ratio":
                slope = _plus(slope, -(rate**2) / 4, self._bend(at, direction, per_example))
            return jax.tree.map(lambda leaf: -time * leaf, slope)

        first = drift(theta)
        ahead = jax.tree.map(lambda at, d, n: at + d + n, theta, first, noise)
        second = drift(ahead)
        return jax.tree.map(lambda at, d, e, n: at + 0.5 * (d + e) + n, theta, first, second, noise)

    def _hessian_product(self, theta: Any, vector: Any) -> Any:
        """∇∇L v."""
        return jax.jvp(self.problem.gradient, (theta,), (vector,))[1]

    def _bend(self, theta: Any, direction: Any, per_example: Float[Array, ""]) -> Any:
        """∇∇∇L[u, u] with u = (C/B)^{1/2} z for signs z: its mean is ∇tr(C ∇∇L)/B."""
        problem: Any = self.problem
        along = problem.noise.scaled(theta, per_example, direction)
        return jax.jvp(lambda at: self._hessian_product(at, along), (theta,), (along,))[1]


def _plus(one: Any, factor: Float[Array, ""], other: Any) -> Any:
    return jax.tree.map(lambda a, b: a + factor * b, one, other)


def _check_ratio(problem: Problem) -> None:
    if not isinstance(problem, AnalyticProblem):
        raise ValueError(
            f"fixed='ratio' needs an analytic problem with Gaussian noise, got {type(problem).__name__}: at "
            f"fixed η/B the third and fourth cumulants of real minibatches stay as η → 0, and no SDE follows "
            f"SGD to second order. Use fixed='batch_size' or Langevin."
        )
    if not problem.noise.is_additive:
        raise ValueError(
            f"fixed='ratio' needs noise that does not depend on theta, got {type(problem.noise).__name__}: "
            f"else a third-order term is left over that no SDE has. Use fixed='batch_size' or Langevin."
        )
    if problem.noise_law != "gaussian":
        raise ValueError(
            f"fixed='ratio' needs noise_law='gaussian', got {problem.noise_law!r}: at fixed η/B its higher "
            f"cumulants stay as η → 0, and no SDE follows SGD to second order. Use fixed='batch_size'."
        )
