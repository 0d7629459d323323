"""Stochastic variance amplified gradient: SGD on its way to the SDE, without integrating the SDE."""

from typing import Any

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd import _checks, _tree, random
from sde_sgd._samplings import is_shuffled
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import ChainState, RateSchedule
from sde_sgd.processes._heavy_ball import refuse_momentum
from sde_sgd.processes._minibatch import MinibatchProcess
from sde_sgd.random import Chains, Words


class SVAG(MinibatchProcess):
    r"""SVAG-l: l steps of size η/l, each with two batches and their noise amplified.

        θ ← θ − (η/l) [(1 + √(2l−1))/2 ∇L_{B₁}(θ) + (1 − √(2l−1))/2 ∇L_{B₂}(θ)]

    The mean of the bracket is ∇L, its covariance l C/B, so that l steps, one unit of the clock, have
    the drift and the covariance of one step of SGD. l = 1 is SGD, bit for bit; l → ∞ is the
    SDE: where the results of SVAG change with l, the SDE does not hold for SGD. On L = h θ²/2
    the stationary variance is exactly ησ²/(B h (2 − ηh/l)). The skewness that one unit of the clock
    adds is (3l − 1)/(2l²) times that of SGD.

    Args:
        problem: what is minimised.
        hyper: η and B; η may differ from chain to chain. Without momentum.
        l: ≥ 1. The work is that of 2l steps of SGD for each unit of the clock.
        sampling: "replacement" or "subset", afresh for every batch.
        schedule: multiplies η: a function of the step of the clock, constant during a step.

    Raises:
        ValueError: with momentum, for shuffled epochs, or values out of range.

    Source: Li, Malladi, Arora 2021 (arXiv:2102.12470).
    """

    l: int = eqx.field(static=True)  # noqa: E741

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        l: int,  # noqa: E741
        sampling: Sampling = "replacement",
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule, sampling)
        way_out = "Use η/(1 − m) without momentum, or UnderdampedLangevin."
        refuse_momentum(hyper, type(self).__name__, way_out)
        if is_shuffled(sampling):
            raise ValueError(
                f"sampling={sampling!r} has no SVAG: its batches must be independent, and no SDE matches "
                "shuffled epochs. Use sampling='replacement' or 'subset'."
            )
        self.l = _checks.integer("l", l, at_least=1, hint="l=1 is SGD.")

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        return ChainState(theta, chain, None)

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        rate = self.rate(step) / self.l
        nothing = self.sampler.init(state.chain)

        def gradient(theta: Any, words: dict[str, Words]) -> Any:
            return self.gradient(ChainState(theta, state.chain, None), nothing, step, words)[0]

        def moved(theta: Any, direction: Any) -> Any:
            return jax.tree.map(lambda at, g: at - _tree.column(rate, at) * g, theta, direction)

        if self.l == 1:
            return ChainState(moved(state.theta, gradient(state.theta, words)), state.chain, None)
        root = (2 * self.l - 1) ** 0.5
        shares = (1 + root) / 2, (1 - root) / 2

        def small_step(number: Int[Array, ""], theta: Any) -> Any:
            # substeps 1 and 2: substep 0 of a step keys the batches of SGD itself
            first, second = (
                gradient(theta, {name: random.at(key, number, batch) for name, key in words.items()})
                for batch in (1, 2)
            )
            return moved(theta, jax.tree.map(lambda g, h: shares[0] * g + shares[1] * h, first, second))

        theta = lax.fori_loop(0, self.l, small_step, state.theta)
        return ChainState(theta, state.chain, None)
