"""The overdamped Langevin SDE of SGD, integrated by diffrax."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt32

from sde_sgd import _checks, random
from sde_sgd.hyperparameters import Hyperparameters, finite_population_factor
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import ChainState, Process, check_hyper
from sde_sgd.processes._terms import AdditiveNoiseTerm, LangevinTerm, drift, step_once
from sde_sgd.random import Stream, Words

NOISES = ("problem", "isotropic", "diagonal", "none")


class Langevin(Process):
    r"""The first-order SDE of SGD (Itô), on the clock of SGD steps k:

        dΘ = −η' ∇L dk + η' (C(Θ)/B)^{1/2} dW_k,      η' = η/(1 − m)

    In SDE time t = η'k this is dΘ = −∇L dt + (η'/B)^{1/2} C^{1/2} dW: weak error O(η) against
    SGD, stationary law exp(−2L/T) with T = η'σ²/B where C = σ²I. With Euler's method and one
    substep it is SGD with Gaussian gradient noise; more substeps approach the SDE itself.

    Args:
        problem: what is minimised. For data the noise has the exact empirical covariance C(θ), at
            the cost of one gradient over all examples; no d × d matrix is formed.
        hyper: η, B and m; η and m may differ from chain to chain.
        substeps: solver steps per SGD step, dt = 1/substeps.
        noise: "problem" (the problem's own C(θ)), "isotropic" (covariance (Tr C(θ)/d) I),
            "diagonal" (covariance diag C(θ)) or "none" (gradient flow).
        solver: a diffrax solver. Euler() by default. Heun, Midpoint, Ralston, SEA, SRA1 and ShARK
            apply where the noise does not depend on θ (then Itô and Stratonovich agree).
        sampling: "replacement" (C/B) or "subset" (times (N − B)/(N − 1)). Shuffled epochs have
            anti-correlated noise that no white-noise SDE matches.

    Raises:
        ValueError: for values out of range or a solver that does not fit the noise.

    Source: Li, Tai, E 2017 (arXiv:1511.06251); Jastrzębski et al. 2017 (arXiv:1711.04623).
    """

    problem: Problem
    hyper: Hyperparameters
    population_factor: Float[Array, ""]
    substeps: int = eqx.field(static=True)
    noise: str = eqx.field(static=True)
    solver: diffrax.AbstractSolver

    def __init__(
        self,
        problem: Problem | Any,
        hyper: Hyperparameters | Any,
        *,
        substeps: int | Any = 1,
        noise: str = "problem",
        solver: diffrax.AbstractSolver | None = None,
        sampling: str = "replacement",
    ):
        check_hyper(problem, hyper)
        if sampling == "shuffle":
            raise ValueError(
                "sampling='shuffle' has no matching SDE: its noise is anti-correlated over an epoch. "
                "Compare with sampling='replacement' or 'subset'."
            )
        problem.sampler(sampling, hyper.batch_size)
        factor = 1.0
        if sampling == "subset":
            factor = finite_population_factor(hyper.batch_size, problem.dataset_size or 1)
        self.problem = problem
        self.hyper = hyper
        self.population_factor = jnp.asarray(factor, dtype=float)
        self.substeps = _checks.integer("substeps", substeps, at_least=1)
        self.noise = _checks.choice("noise", noise, NOISES)
        self.solver = diffrax.Euler() if solver is None else solver
        _check_solver(self.solver, problem, self.noise)

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: UInt32[Array, " chains"]) -> ChainState:
        return ChainState(theta, chain, None)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return {
            "brownian": random.stream(key, Stream.BROWNIAN),
            "levy_area": random.stream(key, Stream.LEVY_AREA),
            "direction": random.stream(key, Stream.DIRECTION),
        }

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        def substep(number: Int[Array, ""] | int, theta: PyTree) -> PyTree:
            here = {name: random.at(key, step, number) for name, key in words.items()}
            return self._substep(theta, state.chain, here)

        if self.substeps == 1:
            theta = substep(0, state.theta)
        else:
            theta = lax.fori_loop(0, self.substeps, substep, state.theta)
        return ChainState(theta, state.chain, None)

    def _substep(self, theta: PyTree, chain: UInt32[Array, " chains"], here: dict[str, Words]) -> Any:
        dt = 1.0 / self.substeps
        rate = self.hyper.effective_learning_rate
        scale = rate * jnp.sqrt(self.population_factor / self.hyper.batch_size)
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), theta)
        driving = self.problem.driving_noise(one)
        if _needs_drift_apart(self.solver):
            area = diffrax.SpaceTimeLevyArea(
                dt=jnp.asarray(dt, float),
                W=_normal(here["brownian"], chain, driving, dt**0.5),
                H=_normal(here["levy_area"], chain, driving, (dt / 12) ** 0.5),
            )
            terms: Any = diffrax.MultiTerm(
                diffrax.ODETerm(lambda _t, y, _args: drift(self.problem, rate, y)),
                AdditiveNoiseTerm(self.problem, scale, area),
            )
        else:
            noise = {}
            if self.noise != "none":
                noise["brownian"] = _normal(here["brownian"], chain, driving, dt**0.5)
            if self.noise == "isotropic":
                noise["direction"] = _normal(here["direction"], chain, one, 1.0)
            if self.noise == "diagonal":
                noise["direction"] = _signs(here["direction"], chain, one)
            terms = LangevinTerm(self.problem, rate, scale, self.noise, noise)
        return step_once(self.solver, terms, theta, dt)


def _normal(words: Words, chain: Array, shapes: PyTree, scale: float) -> PyTree:
    """Independent N(0, scale²) for every leaf; leaves are told apart by their number."""
    return _draw(words, shapes, lambda at, leaf: random.normal(at, chain, leaf.shape, leaf.dtype) * scale)


def _signs(words: Words, chain: Array, shapes: PyTree) -> PyTree:
    return _draw(words, shapes, lambda at, leaf: random.signs(at, chain, leaf.shape, leaf.dtype))


def _draw(words: Words, shapes: PyTree, draw: Any) -> PyTree:
    leaves, structure = jax.tree.flatten(shapes)
    drawn = [draw(random.at(words, number), leaf) for number, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, drawn)


def _needs_drift_apart(solver: diffrax.AbstractSolver) -> bool:
    return isinstance(solver, diffrax.AbstractSRK)


def _check_solver(solver: diffrax.AbstractSolver, problem: Problem, noise: str) -> None:
    name = type(solver).__name__
    if isinstance(solver, diffrax.Euler):
        return
    if not isinstance(solver, diffrax.AbstractSRK | diffrax.AbstractERK):
        raise ValueError(
            f"solver must be diffrax.Euler(), an explicit Runge-Kutta method such as diffrax.Heun(), "
            f"or a stochastic Runge-Kutta method such as diffrax.ShARK(), got {name}."
        )
    if isinstance(solver, diffrax.AbstractSRK) and noise != "problem":
        raise ValueError(f"solver {name} needs noise='problem', got noise={noise!r}. Use diffrax.Euler().")
    additive = isinstance(problem, AnalyticProblem) and problem.noise.is_additive
    if noise != "none" and not (additive and noise == "problem"):
        raise ValueError(
            f"solver {name} converges to the Itô solution only for noise that does not depend on "
            f"theta; here it does (noise={noise!r} of {type(problem).__name__}). Use diffrax.Euler()."
        )
