"""What is looked at along the way: the loss above that at the start, and the virial."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_sgd._platform.reading import _traces
from sde_sgd._types import Theta
from sde_sgd.bayes._localised import Localised
from sde_sgd.problems._finite_sum import FiniteSumProblem


class Energy(eqx.Module):
    r"""L(θ) − L(θ*) and (θ − θ*)·∇L_γ(θ) of one chain, with L_γ the loss with its spring.

    Over data the difference is taken example by example before the mean, so that what the two
    losses have in common costs no digits.
    """

    localised: Localised
    reference: Float[Array, "..."]

    def __init__(self, localised: Localised):
        self.localised = localised
        self.reference = _reference(localised)

    def __call__(self, theta: Theta) -> Float[Array, " 2"]:
        excess, slope = jax.value_and_grad(self._excess)(theta)
        away = self.localised.away(theta)
        pull = self.localised.pull
        parts = jax.tree.map(lambda g, far: jnp.sum(far * (g + pull.astype(far.dtype) * far)), slope, away)
        return jnp.stack([excess, jax.tree.reduce(jnp.add, parts)])

    def _excess(self, theta: Theta) -> Float[Array, ""]:
        return jnp.mean(_losses(self.localised, theta) - self.reference)


def _losses(localised: Localised, theta: Theta) -> Float[Array, "..."]:
    problem = localised.problem
    return problem.example_losses(theta) if isinstance(problem, FiniteSumProblem) else problem.loss(theta)


@_traces.jit
def _reference(localised: Localised) -> Float[Array, "..."]:
    return _losses(localised, localised.at)
