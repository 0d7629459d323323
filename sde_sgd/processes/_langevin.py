"""The overdamped Langevin SDE of SGD, integrated by diffrax."""

from functools import partial
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, random
from sde_sgd._platform._shown import short
from sde_sgd._types import Count, Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes import _solvers as solvers
from sde_sgd.processes._base import ChainState, RateSchedule, scheduled
from sde_sgd.processes._diffusion import Diffusion
from sde_sgd.processes._leimkuhler_matthews import LeimkuhlerMatthews
from sde_sgd.processes._loops import over_steps
from sde_sgd.processes._terms import AdditiveNoiseTerm, LangevinTerm, drift, step_once
from sde_sgd.random import Chains, Stream, Words

NOISES = ("problem", "isotropic", "diagonal", "none")
INCREMENTS = ("gaussian", "two_point")
# Threefry gives this many random bits at a time
_BITS = 64


class Langevin(Diffusion):
    r"""The first-order SDE of SGD (Itô), on the clock of SGD steps k:

        dΘ = −η' ∇L dk + η' (C(Θ)/B)^{1/2} dW_k,      η' = η/(1 − m)

    In SDE time t = η'k this is dΘ = −∇L dt + (η'/B)^{1/2} C^{1/2} dW: weak error O(η) against
    SGD, stationary law exp(−2L/T) with T = η'σ²/B where C = σ²I.

    As it comes it integrates the SDE: on a quadratic with η'h ≤ ½ the stationary variance is right
    within 1 %. The price is in gradients for each SGD step (over all examples, for data):

        noise                                     solver                  substeps   gradients
        C = σ²I                                   LeimkuhlerMatthews()        1          1
        constant, else or with a schedule; "none" Heun()                      4          8
        C(θ); "isotropic", "diagonal"; two-point  Euler()                    32         32

    Euler's variance is too large by the factor 1/(1 − η'h/(2 substeps)), so where η'λ₁ is small for the
    largest eigenvalue λ₁ of ∇∇L a few substeps do. **One Euler substep is not the SDE**: it is SGD
    with Gaussian gradient noise, with the stationary law of SGD and not of the SDE. Where the curvature
    changes along the way, in escapes or on steep walls, more substeps than these are needed, above all with
    momentum: η' is 10 η at m = .9. Give four times as many and see.

    Args:
        problem: what is minimised. For data the noise has the exact empirical covariance C(θ), at
            the cost of one gradient over all examples; no d × d matrix is formed.
        hyper: η, B and m; η and m may differ from chain to chain.
        substeps: solver steps per SGD step, dt = 1/substeps. By default those of the table, for any
            solver: 1 for LeimkuhlerMatthews, 32 for Euler, 4 for the others.
        noise: "problem" (the problem's own C(θ)), "isotropic" (covariance (Tr C(θ)/d) I),
            "diagonal" (covariance diag C(θ)) or "none" (gradient flow).
        solver: a diffrax solver, by default that of the table. `processes.LeimkuhlerMatthews`, Heun,
            Midpoint, Ralston, SEA, SRA1 and ShARK apply where the noise does not depend on θ (then Itô
            and Stratonovich agree), Euler everywhere.
        sampling: "replacement" (C/B) or "subset" (times (N − B)/(N − 1)). Shuffled epochs have
            anti-correlated noise that no white-noise SDE matches.
        increments: "gaussian" (dW = √dt N(0, 1)) or "two_point" (dW = ±√dt, each with probability
            ½). Two-point increments have the weak order 1 of Euler's method, so that laws and
            averages converge alike as dt → 0 and paths do not; the mean and covariance of a
            linear SDE are the same at any dt. They take one random bit each in place of 64,
            which is what costs time where the gradient is cheap; 64 bits are kept for each
            number that drives the noise. Euler's method only.
        schedule: multiplies η: a function of the step of the clock, constant during a step.

    Raises:
        ValueError: for values out of range, or a solver that does not fit the noise or increments.

    Source: Li, Tai, E 2017 (arXiv:1511.06251); Jastrzębski et al. 2017 (arXiv:1711.04623). Two-point
    increments: Kloeden, Platen 1992, *Numerical Solution of Stochastic Differential Equations*, 14.1.
    """

    noise: str = eqx.field(static=True)
    solver: diffrax.AbstractSolver[Any]
    increments: str = eqx.field(static=True)

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        substeps: int | None = None,
        noise: Literal["problem", "isotropic", "diagonal", "none"] = "problem",
        solver: diffrax.AbstractSolver[Any] | None = None,
        sampling: Sampling = "replacement",
        increments: Literal["gaussian", "two_point"] = "gaussian",
        schedule: RateSchedule | None = None,
    ):
        super().__init__(
            problem, hyper, schedule, substeps=1 if substeps is None else substeps, sampling=sampling
        )
        self.noise = _checks.choice("noise", noise, NOISES)
        self.increments = _checks.choice("increments", increments, INCREMENTS)
        if solver is None:
            solver = solvers.default(problem, self.noise, self.increments, is_scheduled=schedule is not None)
        solvers.check(solver, problem, self.noise, self.increments)
        self.solver = solver
        if substeps is None:
            self.substeps = solvers.enough_substeps(solver)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        words = super().streams(key)
        if self._is_two_point:
            words["brownian"] = random.stream(key, Stream.TWO_POINT)
        return words

    def effective_rate(self, step: Int[Array, ""]) -> Float[Array, "*chains"]:
        """η' = η/(1 − m) at a step of the clock, by the schedule."""
        return scheduled(self.hyper.effective_learning_rate, self.schedule, self.origin, step)

    @property
    def is_gaussian_sgd(self) -> bool:
        """Whether this is no SDE but SGD with Gaussian noise: one step of Euler's method for each of SGD."""
        return isinstance(self.solver, diffrax.Euler) and self.substeps == 1 and self.noise != "none"

    @property
    def method(self) -> str:
        """The solver and its steps in words."""
        steps = f"{self.substeps} substep" + ("s" if self.substeps > 1 else "")
        text = f"{type(self.solver).__name__}, {steps}"
        return f"{text}: SGD with Gaussian noise, not the SDE" if self.is_gaussian_sgd else text

    def __repr__(self) -> str:
        hyper = ", ".join(
            f"{name}={short(value)}"
            for name, value in (
                ("learning_rate", self.hyper.learning_rate),
                ("batch_size", self.hyper.batch_size),
                ("momentum", self.hyper.momentum),
            )
        )
        return (
            f"Langevin({type(self.problem).__name__}, {hyper}, noise={self.noise!r}, "
            f"increments={self.increments!r}; {self.method})"
        )

    def increment(
        self, state: ChainState, step: Int[Array, ""], number: Count, words: dict[str, Words]
    ) -> PyTree:
        """For the scheme of Leimkuhler and Matthews the unit normals of this substep and of the next."""
        if not self._uses_twice:
            return super().increment(state, step, number, words)
        return (
            self._unit_normal(state, step, number, words),
            self._unit_normal(state, *self._following(step, number), words),
        )

    def brownian_part(self, increment: PyTree) -> PyTree:
        return self._sized(increment[0]) if self._uses_twice else increment

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        if self._is_two_point or self._uses_twice:
            begin = jnp.asarray(step, jnp.int32)
            return self.steps(state, begin, begin + 1, words)
        return super().step(state, step, words)

    def moved(
        self, state: ChainState, step: Int[Array, ""], here: dict[str, Words], brownian: PyTree
    ) -> ChainState:
        theta = self._substep(state.theta, state.chain, step, here, brownian)
        return ChainState(theta, state.chain, None)

    def steps(
        self, state: ChainState, begin: Int[Array, ""], end: Int[Array, ""], words: dict[str, Words]
    ) -> ChainState:
        if self._is_two_point:
            return self._steps_two_point(state, begin, end, words)
        if self._uses_twice:
            return self._steps_used_twice(state, begin, end, words)
        return super().steps(state, begin, end, words)

    @property
    def _is_two_point(self) -> bool:
        return self.increments == "two_point" and self.noise != "none"

    @property
    def _uses_twice(self) -> bool:
        return isinstance(self.solver, LeimkuhlerMatthews)

    def _following(self, step: Count, number: Count) -> tuple[Count, Count]:
        """The step and number of the substep after this one."""
        return step + (number + 1) // self.substeps, (number + 1) % self.substeps

    def _steps_used_twice(
        self, state: ChainState, begin: Int[Array, ""], end: Int[Array, ""], words: dict[str, Words]
    ) -> ChainState:
        """One draw for each substep: what follows it is kept for the next. Any cut gives the same numbers."""

        def substep(
            step: Int[Array, ""], number: Count, carry: tuple[ChainState, PyTree]
        ) -> tuple[ChainState, PyTree]:
            state, own = carry
            following = self._unit_normal(state, *self._following(step, number), words)
            return self.substep(state, step, number, words, (own, following)), following

        def one(step: Int[Array, ""], carry: tuple[ChainState, PyTree]) -> tuple[ChainState, PyTree]:
            if self.substeps == 1:
                return substep(step, 0, carry)
            result: tuple[ChainState, PyTree] = lax.fori_loop(0, self.substeps, partial(substep, step), carry)
            return result

        # kept with unit variance: XLA would draw a scaled one twice, for its two uses
        first = self._unit_normal(state, begin, 0, words)
        return over_steps(begin, end, one, (state, first))[0]

    def _unit_normal(
        self,
        state: ChainState,
        step: Count,
        number: Count,
        words: dict[str, Words],
    ) -> PyTree:
        here = random.at(words["brownian"], step, number)
        return _draws.normal(here, state.chain, self._driving(state.theta), 1.0)

    def _sized(self, normal: PyTree) -> PyTree:
        """√dt of a unit normal."""
        return jax.tree.map(lambda leaf: leaf * (1.0 / self.substeps) ** 0.5, normal)

    def _steps_two_point(
        self, state: ChainState, begin: Int[Array, ""], end: Int[Array, ""], words: dict[str, Words]
    ) -> ChainState:
        """One draw of bits for 64 substeps, which may belong to several steps of the clock.

        64 steps are a block, and its substeps 0..64 · substeps − 1 go into groups of 64. Group g of
        block b has the words at (b, g), so that no number in here grows with step · substeps.
        """
        substeps, chain = self.substeps, state.chain
        driving = self._driving(state.theta)

        def block(number: Int[Array, ""], theta: PyTree) -> PyTree:
            first = jnp.maximum(begin - number * _BITS, 0) * substeps
            last = jnp.minimum(end - number * _BITS, _BITS) * substeps

            def group(part: Int[Array, ""], theta: PyTree) -> PyTree:
                pairs = _draws.pairs(random.at(words["brownian"], number, part), chain, driving)

                def substep(place: Int[Array, ""], theta: PyTree) -> PyTree:
                    step = number * _BITS + place // substeps
                    here = {"direction": random.at(words["direction"], step, place % substeps)}
                    signs = _two_point(pairs, driving, place % _BITS, (1.0 / substeps) ** 0.5)
                    return self._substep(theta, chain, step, here, signs)

                begins, ends = jnp.maximum(first, part * _BITS), jnp.minimum(last, part * _BITS + _BITS)
                return over_steps(begins, ends, substep, theta)

            return lax.fori_loop(first // _BITS, (last - 1) // _BITS + 1, group, theta)

        theta = lax.fori_loop(begin // _BITS, (end - 1) // _BITS + 1, block, state.theta)
        return ChainState(theta, chain, None)

    def _driving(self, theta: PyTree) -> PyTree:
        return self.problem.driving_noise(_draws.one_chain(theta))

    def _substep(
        self, theta: PyTree, chain: Chains, step: Int[Array, ""], here: dict[str, Words], brownian: PyTree
    ) -> Any:
        """One step of the solver with the increment `brownian` of the driving noise."""
        dt = 1.0 / self.substeps
        carried = None
        if self._uses_twice:
            own, brownian = map(self._sized, brownian)
            carried = {"brownian": own}
        rate = self.effective_rate(step)
        scale = rate * jnp.sqrt(self.population_factor / self.hyper.batch_size)
        if solvers.needs_drift_apart(self.solver):
            area = diffrax.SpaceTimeLevyArea(
                dt=jnp.asarray(dt, float),
                W=brownian,
                H=_draws.normal(here["levy_area"], chain, self._driving(theta), (dt / 12) ** 0.5),
            )
            terms: Any = diffrax.MultiTerm(
                diffrax.ODETerm(lambda _t, y, _args: drift(self.problem, rate, y)),
                AdditiveNoiseTerm(self.problem, scale, area),
            )
        else:
            noise = {}
            if self.noise != "none":
                noise["brownian"] = brownian
            if self.noise == "isotropic":
                noise["direction"] = _draws.normal(here["direction"], chain, _draws.one_chain(theta), 1.0)
            if self.noise == "diagonal":
                noise["direction"] = _draws.signs(here["direction"], chain, _draws.one_chain(theta))
            terms = LangevinTerm(self.problem, rate, scale, self.noise, noise)
        return step_once(self.solver, terms, theta, dt, carried)


def _two_point(pairs: PyTree, shapes: PyTree, number: Array, size: float) -> PyTree:
    """±size for every leaf, by one of its 64 bits."""
    return jax.tree.map(
        lambda leaf, pair: random.sign_from_bit(pair, number, size, leaf.dtype), shapes, pairs
    )
