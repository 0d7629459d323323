"""How many units of a network are saturated, here and along directions."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import described, short, shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Scalar, Theta
from sde_sgd.curvature._operators import check_subset, check_theta
from sde_sgd.curvature._steps import vector_rows
from sde_sgd.problems import _given as given
from sde_sgd.problems._base import Problem
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._models import DenseNetwork

KINDS: tuple[str, ...] = ("tanh", "relu")
_SATURATED = 0.99  # of |tanh|
_WANTED = "(theta, inputs) -> a list of arrays, of the activated values of each layer"


@shown
class Saturation(NamedTuple):
    """Which share of the units of a network is saturated: `saturation`.

    NaN where an activated value is NaN. Along directions all of them have axes (k, displacements) in front.

    Attributes:
        fraction: of all pairs of a unit and an example, over all layers.
        layers: of the pairs in each layer.
        always: of the units in each layer that are saturated on all examples; for "relu" dead ones.
    """

    fraction: Float[Array, "..."]
    layers: Float[Array, "... layers"]
    always: Float[Array, "... layers"]

    def __repr__(self) -> str:
        return described(self)


def saturation(
    problem: Problem,
    theta: Theta,
    *,
    activations: Callable[[Any, Any], Any] | None = None,
    kind: Literal["tanh", "relu"] | None = None,
    threshold: Scalar | None = None,
    vectors: PyTree | None = None,
    displacements: Numbers | None = None,
    subset: Numbers | None = None,
) -> Saturation:
    r"""The fraction of saturated units at θ, or at θ + a e_i for directions e_i and displacements a.

    A tanh unit is saturated on an example where |tanh| > .99, a rectified one where it is 0: there its slope
    is below .02 or 0, and so is what the example adds to the curvature through it. For `mlp` it is known
    where the units are; for other networks say so.

        saturation(net, theta).fraction
        watch = {"saturated": lambda theta: saturation(net, theta).fraction}  # record=watch in run and sweep
        pairs = top_eigenpairs(net, theta, 5, key=key)
        along = saturation(net, theta, vectors=pairs.vectors, displacements=[-1.0, 0.0, 1.0])

        def activations(theta, x):  # of a network of your own
            return [jax.nn.relu(x @ theta["w"])]
        saturation(net, theta, activations=activations, kind="relu")

    Args:
        problem: with examples. That of `mlp` with tanh or relu needs no `activations`.
        theta: parameters of one chain.
        activations: `activations(theta, inputs)`, a list of arrays, one for each layer: its activated values,
            with examples on the first axis and units (channels) on the last; axes between are positions,
            which count as examples.
        kind: of these activations: "tanh", for all that lies in [−1, 1], or "relu", saturated where <= 0.
        threshold: of |tanh|, by default .99.
        vectors: e_i, shaped as the parameters with a leading axis of k: `Eigenpairs.vectors`. Their signs are
            arbitrary, so take displacements of both.
        displacements: a.
        subset: indices of the examples that are looked at; by default all.

    Returns:
        `Saturation`.

    Raises:
        ValueError: if it is not known where the units are, shapes do not fit or a value is out of range.

    Source: *SGD Smooths the Sharpest Directions* (Jastrzębski, Kenton, Ballas, Fischer, Bengio, Storkey 2018)
    has saturation as a possible cause of a lower curvature.
    """
    theta = check_theta(problem, theta)
    if not isinstance(problem, EmpiricalRisk):
        raise ValueError(
            f"problem must be an EmpiricalRisk, as mlp makes one, got {type(problem).__name__}: it has no "
            f"units."
        )
    activate, known = _units(problem, activations, kind)
    if known == "relu" and threshold is not None:
        raise ValueError(f"threshold is that of |tanh|, and kind is 'relu', got {short(threshold)}.")
    limit = _checks.array("threshold", _SATURATED if threshold is None else threshold, above=0, below=1)
    if limit.ndim:
        raise ValueError(f"threshold must be one number, got an array of shape {limit.shape}.")
    examples = check_subset(problem, subset)
    inputs = problem.inputs
    if examples is not None:
        inputs = jax.tree.map(lambda leaf: leaf[examples], inputs)
    _check_layers(activate, theta, inputs)
    counting = _Counting(_tree.as_module(activate), known, problem.block)
    if (vectors is None) != (displacements is None):
        missing, there = ("vectors", "displacements") if vectors is None else ("displacements", "vectors")
        raise ValueError(
            f"{missing} must be given with {there}: it looks at θ + a e_i, a one of displacements."
        )
    if vectors is None:
        result: Saturation = _here(counting, theta, inputs, limit)
        return result
    rows = vector_rows("vectors", vectors, theta)
    _checks.number("displacements", displacements)
    moves = jnp.asarray(displacements, rows.dtype)
    if moves.ndim != 1:
        raise ValueError(f"displacements must be a list of numbers, got an array of shape {moves.shape}.")
    along: Saturation = _along(counting, theta, inputs, limit, rows, moves)
    return along


def _units(problem: EmpiricalRisk, activations: Any, kind: Any) -> tuple[Callable[[Any, Any], Any], str]:
    """Where the units are and of which kind, or a refusal where that is not known."""
    if activations is not None:
        given.check_model("activations", activations, _WANTED)
        return activations, _checks.choice("kind", kind, KINDS)
    network = problem.predict
    if not isinstance(network, DenseNetwork) or len(network.sizes) < 3 or network.activation not in KINDS:
        raise ValueError(
            f"activations must be given for this network, {_WANTED}, and kind: only for mlp with hidden "
            f"layers of tanh or relu is it known where they are."
        )
    if kind is not None and _checks.choice("kind", kind, KINDS) != network.activation:
        raise ValueError(
            f"kind must be {network.activation!r} for this network, got {short(kind)}; leave it out, or give "
            f"activations of your own."
        )
    return network.hidden, network.activation


def _check_layers(activate: Callable[[Any, Any], Any], theta: Any, inputs: Any) -> None:
    layers = given.shapes_of("activations(theta, inputs)", activate, theta, inputs)
    count = jax.tree.leaves(inputs)[0].shape[0]
    right = isinstance(layers, list | tuple) and len(layers) > 0
    if not right or not all(
        getattr(layer, "ndim", 0) > 1
        and layer.shape[0] == count
        and layer.size
        and jnp.issubdtype(layer.dtype, jnp.floating)
        for layer in layers
    ):
        raise ValueError(
            f"activations must return a list of floating-point arrays, with {count} examples on the first "
            f"axis and units on the last, got {_tree.describe(layers)}."
        )


class _Counting(eqx.Module):
    """Shares of saturated examples, unit by unit."""

    activate: Callable[..., Any]
    kind: str = eqx.field(static=True)
    block: int | None = eqx.field(static=True)

    def __call__(self, theta: Theta, inputs: Any, limit: Float[Array, ""]) -> Saturation:
        size = jax.tree.leaves(inputs)[0].shape[0]
        block = size if self.block is None else min(self.block, size)
        whole = size - size % block
        split = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, block, *leaf.shape[1:]), inputs)
        sums = lax.map(lambda part: self._sums(theta, part, limit), split)
        counts = [jnp.sum(each, axis=0) for each in sums]
        if whole < size:
            rest = self._sums(theta, jax.tree.map(lambda leaf: leaf[whole:], inputs), limit)
            counts = [count + more for count, more in zip(counts, rest, strict=True)]
        # a layer's pairs, and which share of them each unit has
        shares = [count / size for count in counts]
        units = jnp.asarray([len(share) for share in shares], float)
        layers = jnp.stack([jnp.mean(share) for share in shares])
        always = jnp.stack(
            [jnp.mean(jnp.where(jnp.isnan(one), one, (one == 1).astype(one.dtype))) for one in shares]
        )
        return Saturation(jnp.sum(layers * units) / jnp.sum(units), layers, always)

    def _sums(self, theta: Theta, inputs: Any, limit: Float[Array, ""]) -> list[Array]:
        return [self._sum(layer, limit) for layer in self.activate(theta, inputs)]

    def _sum(self, values: Array, limit: Float[Array, ""]) -> Float[Array, " units"]:
        """For each unit the sum over examples of the share of positions that are saturated."""
        beyond = values <= 0 if self.kind == "relu" else jnp.abs(values) > limit.astype(values.dtype)
        marks = jnp.where(jnp.isnan(values), jnp.nan, beyond.astype(limit.dtype))
        units = marks.reshape(marks.shape[0], -1, marks.shape[-1])
        return jnp.sum(units, axis=(0, 1)) / units.shape[1]


@_traces.jit
def _here(counting: _Counting, theta: Theta, inputs: Any, limit: Array) -> Saturation:
    return counting(theta, inputs, limit)


@_traces.jit
def _along(
    counting: _Counting, theta: Theta, inputs: Any, limit: Array, rows: Array, moves: Array
) -> Saturation:
    flat, unravel = ravel_pytree(theta)

    def at(row: Array, move: Array) -> Saturation:
        return counting(unravel(flat + move * row), inputs, limit)

    result: Saturation = lax.map(lambda row: lax.map(lambda move: at(row, move), moves), rows)
    return result
