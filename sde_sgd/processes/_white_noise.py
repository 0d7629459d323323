"""Gradient descent with isotropic white noise of a chosen temperature; with minibatches: SGLD."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree, random
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes._base import ChainState, RateSchedule, SingleProcess
from sde_sgd.processes._heavy_ball import heavy_ball, still
from sde_sgd.processes._minibatch import MinibatchProcess
from sde_sgd.random import Chains, Stream, Words


class WhiteNoiseGD(SingleProcess):
    r"""Gradient descent plus isotropic white noise, at a chosen temperature T.

        θ ← θ − η ∇L(θ) + (ηT)^{1/2} ξ,      ξ ~ N(0, I)

    With momentum: v ← m v + ∇L, u ← m u + (T(1 − m))^{1/2} ξ, θ ← θ − η v − η^{1/2} u. For a constant η
    that is noise (T(1 − m)/η)^{1/2} ξ in the gradient. Where η changes u stays, so that it has the
    temperature T throughout, and η = 0 means no move. It is SGD with the true gradient
    and its noise replaced by white noise of the same T: on L = h θ²/2 without momentum its
    stationary variance is exactly T/(h(2 − ηh)), and as η → 0 its law is Gibbs exp(−2L/T).

    Args:
        problem: what is minimised; every step takes its full gradient.
        hyper: η and m; η and m may differ from chain to chain. B sets nothing but the default T.
        temperature: T ≥ 0, the papers' T (the physical temperature is T/2). By default that of SGD,
            T = ησ²/((1 − m)B), which follows a schedule of η; a T that is given stays.
        schedule: multiplies η: a function of the step of the clock.

    Raises:
        ValueError: for values out of range.
        NotKnownError: without a temperature, if the gradient noise of the problem is not σ²I. For
            data, `Langevin(noise="isotropic")` matches the trace of C(θ) along the way.
    """

    temperature: Float[Array, ""] | None

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        temperature: float | None = None,
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule)
        if temperature is None:
            problem.noise_variance()  # says so here if it is not known
        self.temperature = None if temperature is None else _temperature(temperature)

    @property
    def examples_per_gradient(self) -> None:
        return None

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        extra = {"velocity": still(self.hyper, theta)}
        if self.temperature is not None:
            extra["noise"] = still(self.hyper, theta)
        return ChainState(theta, chain, extra)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return {"brownian": random.stream(key, Stream.BROWNIAN)}

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        rate = self.rate(step)
        gradient = jax.vmap(self.problem.gradient)(state.theta)
        noise = _draws.normal(
            random.at(words["brownian"], step), state.chain, _draws.one_chain(gradient), 1.0
        )
        extra = dict(state.extra)
        if self.temperature is None:
            size = jnp.sqrt(self.problem.noise_variance() / self.hyper.batch_size)
            gradient = jax.tree.map(lambda g, xi: g + _tree.column(size, g) * xi, gradient, noise)
        theta, extra["velocity"] = heavy_ball(
            self.hyper, rate, state.theta, gradient, state.extra["velocity"]
        )
        if self.temperature is not None:
            theta, extra["noise"] = _kicked(self.hyper, rate, self.temperature, theta, noise, extra["noise"])
        return ChainState(theta, state.chain, extra)


class SGLD(MinibatchProcess):
    r"""Stochastic gradient Langevin dynamics: the minibatch gradient plus injected white noise.

        θ ← θ − η ĝ_B(θ) + (ηT)^{1/2} ξ,      ξ ~ N(0, I)

    `SGD` with T = 0. Minibatch noise of variance σ²/B adds its own temperature: with C = σ²I the law is
    Gibbs at T + ησ²/B as η → 0, and on L = h θ²/2 the variance is exactly (T + ησ²/B)/(h(2 − ηh)).

    Sampling a posterior (Welling and Teh, step size ε, N examples): with L = −(1/N) ln posterior,
    that is ℓ_n = −ln p(x_n|θ) and l2 = (prior precision)/N, their update

        θ ← θ + (ε/2)(∇ ln p(θ) + (N/B) Σ_{n in batch} ∇ ln p(x_n|θ)) + N(0, ε)

    is this one with η = εN/2 and T = 2/N: then exp(−2L/T) = exp(−NL) is the posterior, and what
    minibatches add, ησ²/B against 2/N, vanishes as ε → 0.

    Args:
        problem: what is minimised.
        hyper: η, B and m; with momentum the noise has a velocity too, as in `WhiteNoiseGD`.
        temperature: T ≥ 0 of the injected noise alone.
        sampling: as for `SGD`: "replacement", "subset", "shuffle" or "shuffle_all".
        schedule: multiplies η; T stays.

    Raises:
        ValueError: for values out of range.

    Source: Welling, Teh 2011, *Bayesian learning via stochastic gradient Langevin dynamics*, eq. 4.
    """

    temperature: Float[Array, ""]

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        temperature: float,
        sampling: Sampling = "replacement",
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule, sampling)
        self.temperature = _temperature(temperature)

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        rest = {name: still(self.hyper, theta) for name in ("velocity", "noise")}
        return ChainState(theta, chain, {**rest, "sampler": self.sampler.init(chain)})

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return {**super().streams(key), "brownian": random.stream(key, Stream.BROWNIAN)}

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        rate = self.rate(step)
        gradient, order = self.gradient(state, state.extra["sampler"], step, words)
        theta, velocity = heavy_ball(self.hyper, rate, state.theta, gradient, state.extra["velocity"])
        here = random.at(words["brownian"], step)
        xi = _draws.normal(here, state.chain, _draws.one_chain(theta), 1.0)
        theta, noise = _kicked(self.hyper, rate, self.temperature, theta, xi, state.extra["noise"])
        return ChainState(theta, state.chain, {"velocity": velocity, "noise": noise, "sampler": order})


def _temperature(value: Any) -> Float[Array, ""]:
    return jnp.asarray(_checks.scalar("temperature", value, at_least=0, kept=True), dtype=float)


def _kicked(
    hyper: Hyperparameters,
    rate: Float[Array, "*chains"],
    temperature: Float[Array, ""],
    theta: PyTree,
    xi: PyTree,
    velocity: Any,
) -> tuple[Any, Any]:
    """u ← m u + (T(1 − m))^{1/2} ξ, θ ← θ − η^{1/2} u; returns θ and u. Nothing is divided by η."""
    left = 1.0 - hyper.momentum if hyper.has_momentum else jnp.ones(())
    size = jnp.sqrt(temperature * left)
    kick = jax.tree.map(lambda z: _tree.column(size, z) * z, xi)
    if velocity is not None:
        kick = jax.tree.map(lambda u, z: _tree.column(hyper.momentum, u) * u + z, velocity, kick)
    root = jnp.sqrt(rate)
    moved = jax.tree.map(lambda at, u: at - _tree.column(root, at) * u, theta, kick)
    return moved, (None if velocity is None else kick)
