"""A bare loss of one example, from any model at all."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from sde_sgd._types import Scalar, Selection, Theta
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import _given as given
from sde_sgd.problems._empirical_risk import EmpiricalRisk


def from_loss(
    example_loss: Callable[[Theta, Array, Array], Float[Array, ""]],
    dataset: Dataset,
    *,
    init: Callable[[Key[Array, ""]], Theta],
    l2: Scalar = 0.0,
    l2_mask: Selection | None = None,
) -> EmpiricalRisk:
    """The mean of any differentiable loss of one example.

        problem = from_loss(lambda theta, x, y: jnp.abs(x @ theta - y), data, init=lambda key: w0)

    It has no predictions, so it has no `accuracy`.

    Args:
        example_loss: `example_loss(theta, x, y) -> scalar` for one example.
        dataset: the examples.
        init: `init(key) -> theta`.
        l2, l2_mask: as in `EmpiricalRisk`.
    """
    given.check_model("example_loss", example_loss, "(theta, x, y) -> one number")
    given.check_dataset(dataset)
    return EmpiricalRisk(
        _KeepBoth(), dataset, init=init, loss=ExampleLosses(example_loss), l2=l2, l2_mask=l2_mask
    )


class ExampleLosses(eqx.Module):
    """A loss of one example, over a batch. Two with the same function are equal: one program does both."""

    example_loss: Callable[[Theta, Array, Array], Float[Array, ""]] = eqx.field(static=True)
    by_example: ClassVar[bool] = True
    needs_parameters: ClassVar[bool] = True
    told: ClassVar[str] = "example_loss(theta, x, y)"

    def __call__(self, outputs: Any, targets: Array) -> Array:
        theta, inputs = outputs
        return jax.vmap(self.example_loss, in_axes=(None, 0, 0))(theta, inputs, targets)


class _KeepBoth(eqx.Module):
    """The parameters and the inputs as they are: all that the loss of an example needs."""

    by_example: ClassVar[bool] = True

    def __call__(self, theta: Theta, inputs: Array) -> Any:
        return theta, inputs
