"""What lies outside a well: a predicate on the parameters, or a level of the loss."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import parameters
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Observable, Scalar
from sde_sgd.processes._base import Process


class Outside(eqx.Module):
    """Whether chains have left. Parameters that are not finite have.

    Attributes:
        leaves: true for the parameters of one chain that is outside, or None for a level of the loss.
        loss: L(θ) where `leaves` is None.
        level: outside is L(θ) ≥ this, or NaN.
    """

    leaves: Observable | None
    loss: Observable | None
    level: Float[Array, ""] | None

    def __call__(self, theta: PyTree[Float[Array, "chains ..."]]) -> Bool[Array, " chains"]:
        """Of every chain."""
        if self.leaves is not None:
            found = _told(self.leaves, theta)
        else:
            assert self.loss is not None
            assert self.level is not None
            found = ~(jax.vmap(self.loss)(theta) < self.level)  # NaN is outside
        return found | ~_tree.finite_chains(theta)

    def of_one(self, theta: PyTree) -> Bool[Array, ""]:
        """Of one chain, as `run` asks."""
        return self(jax.tree.map(lambda leaf: leaf[None], theta))[0]


def outside_of(process: Process, outside: Observable | Scalar) -> Outside:
    """From what a user gives.

    Raises:
        ValueError: for anything but a function or a number.
    """
    if not isinstance(process, Process):
        raise ValueError(
            f"process must be SGD(...), Langevin(...) or the like, got {_checks.short(process)}."
        )
    if callable(outside):
        return Outside(outside, None, None)
    if isinstance(outside, str | bool) or np.ndim(outside) != 0:
        raise ValueError(
            f"outside must be a function of one chain's parameters that says true where a chain has left, or "
            f"a loss at which it has, got {_checks.short(outside)}; for instance outside=lambda x: x > 1."
        )
    level = _checks.array("outside", _checks.scalar("outside", outside))
    return Outside(None, process.problem.loss, level)


def start_inside(process: Process, start: PyTree, outside: Outside) -> PyTree:
    """The parameters of one chain that is inside, in the problem's own types.

    Raises:
        ValueError: for other shapes, or a start that is outside already.
    """
    template = _traces.parameter_shapes(process.problem.init)
    _checks.check_floating("start", start)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(start)]
    if not _tree.same_structure(start, template) or shapes != [
        leaf.shape for leaf in jax.tree.leaves(template)
    ]:
        raise ValueError(
            f"start must be parameters of one chain, shapes {_tree.describe(template)}, got "
            f"{_tree.describe(start)}."
        )
    one = jax.tree.map(lambda leaf, want: jnp.asarray(leaf, want.dtype), start, template)
    if not _checks.is_concrete(one):
        return one
    if bool(_is_outside(outside, one)):
        where = "" if outside.leaves is not None else _at(process, one, outside)
        raise ValueError(
            f"start must be inside, got {parameters(one)}, which is outside already{where}. Start at the "
            f"bottom of the well, or draw its border further out."
        )
    return one


def _at(process: Process, theta: PyTree, outside: Outside) -> str:
    assert outside.level is not None
    return f": its loss {float(process.problem.loss(theta)):.4g} is not below {float(outside.level):.4g}"


@_traces.jit
def _is_outside(outside: Outside, theta: PyTree) -> Bool[Array, ""]:
    return outside.of_one(theta)


def _told(leaves: Observable, theta: PyTree) -> Bool[Array, " chains"]:
    """The predicate at every chain; one that fails, or does not say yes or no, is named."""
    found: Any
    try:
        found = jax.vmap(leaves)(theta)
    except Exception as error:
        shapes = _tree.describe(jax.tree.map(lambda leaf: leaf[0], theta))
        raise ValueError(
            f"outside failed on the parameters of one chain, shapes {shapes}: {error}"
        ) from error
    if not isinstance(found, jax.Array) or found.ndim != 1 or found.dtype != bool:
        got = (
            f"{found.dtype}{list(found.shape[1:])}" if isinstance(found, jax.Array) else _checks.short(found)
        )
        raise ValueError(
            f"outside must return one true or false for the parameters of one chain, got {got}; for "
            f"instance outside=lambda theta: problem.loss(theta) > 0.1."
        )
    return found
