"""Stochastic gradient descent, on real or simulated minibatches."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _own_keys as own_keys
from sde_sgd.processes._base import ChainState, RateSchedule
from sde_sgd.processes._heavy_ball import heavy_ball, still
from sde_sgd.processes._minibatch import MinibatchProcess
from sde_sgd.processes._optimizers import check_optimizer
from sde_sgd.random import Chains, Words

Optimizer = Callable[..., optax.GradientTransformation]


class SGD(MinibatchProcess):
    r"""Minibatch SGD on any problem.

        v ← m v + ĝ_B(θ),   θ ← θ − η v          (heavy ball; plain SGD for m = 0)

    What a last batch of r < B examples does with "shuffle_all": its gradient has the covariance
    (N − r)/(r(N − 1)) C, about B/r times that of the others, and its step is as long, so that each of its
    examples moves θ B/r times as much as another one in that epoch. Over the epochs all weigh the same.
    No white noise, hence no SDE, matches that; `theory.discrete_covariance` and
    `theory.regression_covariance` know it. An epoch has ⌈N/B⌉ steps, for `epochs` of `run` and `sweep` too.

    Args:
        problem: what is minimised. Analytic problems draw the noise of B examples from its law;
            finite sums draw B real examples.
        hyper: η, B and m. η and m may differ from chain to chain.
        sampling: "replacement" (B independent examples; the SDE's own model), "subset" (B
            different ones, afresh each step), "shuffle" (a new order each epoch, cut into ⌊N/B⌋ batches; the
            N mod B examples at its end sit out) or "shuffle_all" (the same in ⌈N/B⌉ batches, the last of
            which holds the r = N mod B that are left, and the mean over those, as data loaders do by
            default; where B divides N it is "shuffle", to the last bit).
        optimizer: a function of the learning rate that returns an optax transformation, such as
            `optax.adam` or `functools.partial(optax.sgd, nesterov=True, momentum=0.9)`. It is
            given each chain's η. `curvature.nudged` wraps any of them, to scale its steps along the sharpest
            directions. Default: heavy ball with `hyper.momentum`. Where it draws random numbers,
            as `optax.noisy_sgd` does, the keys in its state are mixed with the run's key and the chain's
            number, so that chains have noise of their own. What needs the loss beside the gradient, or keeps
            η in its state (`optax.inject_hyperparams`), is refused.
        schedule: multiplies η: a function of the step such as
            `optax.cosine_decay_schedule(1.0, steps)`. Default: η is constant.

    Raises:
        ValueError: for an unknown sampling, B > N without replacement, a finished optax
            transformation in place of a function, momentum set in both places, or an optimizer that fails on
            the parameters, does not follow the learning rate, or draws random numbers from no key that can be
            found in its state.
    """

    optimizer: Optimizer | None = eqx.field(static=True)

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        sampling: Sampling = "replacement",
        optimizer: Optimizer | None = None,
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule, sampling)
        if optimizer is not None and hyper.has_momentum:
            raise ValueError(
                "momentum is set in hyper and an optimizer is given; set it in the optimizer, for "
                "instance functools.partial(optax.sgd, momentum=0.9), and leave hyper.momentum 0."
            )
        if optimizer is not None:
            check_optimizer(optimizer, problem)
        self.optimizer = optimizer

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        if self.optimizer is not None:
            buffer = self._memory(theta)
            own_keys.check(self._update, self.hyper.learning_rate, theta, buffer)
            buffer = own_keys.plain(buffer)
        else:
            buffer = still(self.hyper, theta)
        return ChainState(theta, chain, {"optimizer": buffer, "sampler": self.sampler.init(chain)})

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        gradient, order = self.gradient(state, state.extra["sampler"], step, words)
        rate = self.rate(step)
        memory = state.extra["optimizer"]
        if self.optimizer is not None:
            like = jax.eval_shape(self._memory, state.theta)
            memory = own_keys.of_each_chain(memory, like, words["minibatch"], state.chain)
        theta, buffer = self._update(rate, state.theta, gradient, memory)
        if self.optimizer is not None:
            buffer = own_keys.plain(buffer)
        return ChainState(theta, state.chain, {"optimizer": buffer, "sampler": order})

    def _update(
        self, rate: Float[Array, "*chains"], theta: Any, gradient: Any, buffer: Any
    ) -> tuple[Any, Any]:
        if self.optimizer is not None:

            def update(eta: Array, at: Any, slope: Any, memory: Any) -> tuple[Any, Any]:
                with jax.numpy_dtype_promotion("standard"):  # optax counts its steps in integers
                    change, memory = self._transformation(eta).update(slope, memory, at)
                return optax.apply_updates(at, change), memory

            result: tuple[Any, Any] = _map_rates(update, rate)(theta, gradient, buffer)
            return result
        return heavy_ball(self.hyper, rate, theta, gradient, buffer)

    def _memory(self, theta: Any) -> Any:
        """The state of the chains' optimisers before the first step."""
        begin = _map_rates(lambda rate, at: self._transformation(rate).init(at), self.hyper.learning_rate)
        return begin(theta)

    def _transformation(self, rate: Array) -> Any:
        assert self.optimizer is not None
        return self.optimizer(rate)


def _map_rates(function: Callable[..., Any], rate: Float[Array, "*chains"]) -> Callable[..., Any]:
    """Map a function of (η, one chain's pytrees …) over the ensemble."""

    def mapped(*ensembles: Any) -> Any:
        axes = (None if rate.ndim == 0 else 0, *(0 for _ in ensembles))
        return jax.vmap(function, in_axes=axes)(rate, *ensembles)

    return mapped
