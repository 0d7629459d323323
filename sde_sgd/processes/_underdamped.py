"""The underdamped Langevin SDE of SGD with momentum."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd import random
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes._base import ChainState, RateSchedule
from sde_sgd.processes._diffusion import Diffusion
from sde_sgd.random import Chains, Words

SOLVERS = (diffrax.ALIGN, diffrax.ShOULD, diffrax.QUICSORT)


class UnderdampedLangevin(Diffusion):
    r"""The underdamped SDE of heavy-ball SGD. One SGD step is the time √η, and p = −√η v:

        dθ = p dt,   dp = −((1 − m)/√η) p dt − ∇L dt + η^{1/4} (C(θ)/B)^{1/2} dW

    It keeps the inertia that `Langevin` with η/(1 − m) has lost: what a quenched or oscillating run
    does in its first 1/(1 − m) steps. For C = σ²I it settles in exp(−2(L + p²/2)/T), T =
    ησ²/((1 − m)B), so θ has the law of the overdamped SDE. As η → 0 at fixed friction (1 − m)/√η its
    weak error against SGD is O(√η): a step of SGD has the damping m, its SDE e^{−(1−m)}.

    Where the noise does not depend on θ, each solver step is one of diffrax's for underdamped
    Langevin diffusions. Else, as for data, it is a position Verlet step, θ by p/2, p by its
    Ornstein-Uhlenbeck law with force and noise at that θ, θ by p/2: weak order 2, one backward pass.

    Args:
        problem: what is minimised. For data the noise has the exact empirical covariance C(θ).
        hyper: η, B and m; η and m may differ from chain to chain. m must not be 0 throughout.
        substeps: solver steps per SGD step. With 4, on a quadratic with ηh ≤ ½ and m ≤ .99, the stationary
            variance of θ is right within 1 %. One step is off by up to 3 % (QUICSORT, m = .9) and 5 %
            (Verlet, m = .3); QUICSORT's error grows as 1/(1 − m), beyond m = .99 take more.
        solver: diffrax.ALIGN(), ShOULD() or QUICSORT(); by default QUICSORT() where the noise does not
            depend on θ, where alone they apply.
        sampling: "replacement" (C/B) or "subset" (times (N − B)/(N − 1)).
        schedule: multiplies η: a function of the step of the clock, constant during a step.

    The state carries v in `extra["velocity"]`, 0 at the start: like that of SGD it stays where η
    changes, while p = −√η v jumps.

    Raises:
        ValueError: without momentum, or for a solver that does not fit the noise.

    Source: Li, Tai, E 2019 (arXiv:1811.01558). Solvers: Foster, Lyons, Oberhauser 2021
    (arXiv:2101.03446). Position Verlet: Melchionna 2007, J. Chem. Phys. 127, 044108.
    """

    solver: diffrax.AbstractSolver[Any] | None

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        substeps: int = 4,
        solver: diffrax.AbstractSolver[Any] | None = None,
        sampling: Sampling = "replacement",
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule, substeps=substeps, sampling=sampling)
        if not hyper.has_momentum:
            raise ValueError(
                "momentum must be above 0 for UnderdampedLangevin, got 0: without inertia the SDE is "
                "Langevin(problem, hyper)."
            )
        additive = isinstance(problem, AnalyticProblem) and problem.noise.is_additive
        if solver is not None and not isinstance(solver, SOLVERS):
            raise ValueError(
                f"solver must be diffrax.ALIGN(), ShOULD() or QUICSORT(), got {type(solver).__name__}; "
                f"None chooses."
            )
        if solver is not None and not additive:
            raise ValueError(
                f"solver {type(solver).__name__} needs noise that does not depend on theta; that of "
                f"{type(problem).__name__} does. Leave solver out."
            )
        self.solver = diffrax.QUICSORT() if solver is None and additive else solver

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        return ChainState(theta, chain, {"velocity": jax.tree.map(jnp.zeros_like, theta)})

    def moved(
        self, state: ChainState, step: Int[Array, ""], here: dict[str, Words], brownian: PyTree
    ) -> ChainState:
        rate = self.rate(step)
        friction = 1.0 - self.hyper.momentum
        noises: tuple[Any, ...] = (brownian,)
        move = self._verlet
        if self.solver is not None:
            area, one, dt = here["levy_area"], _draws.one_chain(state.theta), 1.0 / self.substeps
            noises += (
                _draws.normal(area, state.chain, one, (dt / 12) ** 0.5),
                _draws.normal(random.at(area, 0, 1), state.chain, one, (dt / 720) ** 0.5),
            )
            move = self._solve
        axes = (0, 0, None if rate.ndim == 0 else 0, None if friction.ndim == 0 else 0, 0)
        theta, velocity = jax.vmap(move, in_axes=axes)(
            state.theta, state.extra["velocity"], rate, friction, noises
        )
        return ChainState(theta, state.chain, {"velocity": velocity})

    @property
    def _per_example(self) -> Float[Array, ""]:
        return jnp.sqrt(self.population_factor / self.hyper.batch_size)

    def _verlet(
        self, theta: Any, velocity: Any, rate: Float[Array, ""], friction: Float[Array, ""], noises: Any
    ) -> Any:
        """One position Verlet step of one chain."""
        dt = 1.0 / self.substeps
        decay = jnp.exp(-friction * dt)
        pull = -jnp.expm1(-friction * dt) / friction
        spread = jnp.sqrt(-jnp.expm1(-2 * friction * dt) / (2 * friction * dt))

        def glide(at: Any, velocity: Any) -> Any:
            return jax.tree.map(lambda x, v: x - (0.5 * dt) * rate * v, at, velocity)

        middle = glide(theta, velocity)
        kick = self.problem.noisy_gradient(middle, pull, -spread * self._per_example, noises[0])
        velocity = jax.tree.map(lambda v, k: decay * v + k, velocity, kick)
        return glide(middle, velocity), velocity

    def _solve(
        self, theta: Any, velocity: Any, rate: Float[Array, ""], friction: Float[Array, ""], noises: Any
    ) -> Any:
        """One step of the diffrax solver for one chain, in y = (θ − θ₀)(1 − m)/η and dy/ds = −v.

        In the time s = (1 − m)k the friction is 1 for all chains, so that diffrax's check of its
        coefficients is folded away, and nothing is divided by η, which may be 0. The noise may have
        any covariance: its increments are scaled so that diffrax's factor √2 fits.
        """
        problem: Any = self.problem
        dtype = theta.dtype
        unit = rate / friction
        increments = [problem.noise.scaled(theta, self._per_example / 2**0.5, noise) for noise in noises]
        end = friction.astype(dtype) / self.substeps
        path: Any = _GivenPath(diffrax.SpaceTimeTimeLevyArea(end, *increments))

        def force(at: Any, _args: Any) -> Any:
            return self.problem.gradient(theta + unit * at) / friction

        one, start = jnp.ones((), dtype), jnp.zeros((), dtype)
        terms: Any = diffrax.MultiTerm(
            diffrax.UnderdampedLangevinDriftTerm(one, one, force),
            diffrax.UnderdampedLangevinDiffusionTerm(one, one, path),
        )
        solver: Any = self.solver
        begin = jnp.zeros_like(theta), -velocity
        begun = solver.init(terms, start, end, begin, None)
        (way, speed), *_ = solver.step(terms, start, end, begin, None, begun, made_jump=False)
        return theta + unit * way, -speed


class _GivenPath(eqx.Module):
    """A Brownian path of which one increment is known, with its Lévy areas."""

    increment: diffrax.SpaceTimeTimeLevyArea

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
        return self.increment if use_levy else self.increment.W
