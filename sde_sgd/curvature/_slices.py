"""The loss along lines and in planes through the parameters."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._shown import described, parameters, short, shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Observable, Scalar, Theta
from sde_sgd.curvature._operators import check_subset, check_theta, loss_of
from sde_sgd.curvature._scale import power_of_two
from sde_sgd.problems._base import Problem
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._from_equinox import EquinoxPredict
from sde_sgd.random import check_key

NORMALISATIONS: tuple[str, ...] = ("filter", "layer", "none")


@shown
class Line(NamedTuple):
    """L on the line (1 − α) a + α b.

    Attributes:
        alphas: α; 0 at a, 1 at b.
        values: of the loss there, or of the function asked for.
    """

    alphas: Float[Array, " points"]
    values: Float[Array, "... points"]

    def __repr__(self) -> str:
        return described(self)


@shown
class Plane(NamedTuple):
    """L in the plane θ + x u + y w.

    Attributes:
        coordinates: x, and y as well.
        values: of the loss, or of the function asked for; the first index is x.
        directions: (u, w), shaped as the parameters.
    """

    coordinates: Float[Array, " points"]
    values: Float[Array, "... points points"]
    directions: tuple[PyTree, PyTree]

    def __repr__(self) -> str:
        directions = f"two of {parameters(self.directions[0])}"
        return f"Plane(coordinates={short(self.coordinates)}, values={short(self.values)}, {directions})"


def interpolation(
    problem: Problem,
    a: Theta,
    b: Theta,
    alphas: Numbers | None = None,
    *,
    function: Observable | None = None,
    subset: Numbers | None = None,
) -> Line:
    r"""The loss on the straight line (1 − α) a + α b between two sets of parameters.

    Args:
        problem: any problem.
        a, b: parameters of one chain each.
        alphas: α; by default 41 points from −0.5 to 1.5.
        function: what to look at in place of the loss, such as `problem.test_loss`.
        subset: indices of the examples that L is the mean over; by default all.

    Returns:
        `Line`.

    Raises:
        ValueError: if the shapes do not fit the problem or the subset is not one.

    Source: Goodfellow, Vinyals, Saxe 2015 (arXiv:1412.6544).
    """
    a, b = check_theta(problem, a, "a"), check_theta(problem, b, "b")
    if alphas is None:
        alphas = jnp.linspace(-0.5, 1.5, 41)
    _checks.number("alphas", alphas)
    points = jnp.asarray(alphas, dtype=float)
    if points.ndim != 1:
        raise ValueError(f"alphas must be a list of numbers, got an array of shape {points.shape}.")
    values = _along(_chosen(problem, function, subset), a, b, points)
    return Line(points, values)


def plane(
    problem: Problem,
    theta: Theta,
    *,
    radius: Scalar = 1.0,
    points: int = 25,
    normalise: Literal["filter", "layer", "none"] = "filter",
    function: Observable | None = None,
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Plane:
    r"""The loss in a plane through θ spanned by two random directions of the networks' own scale.

    Networks whose units can be rescaled without changing f have no scale of their own: a Gaussian
    direction looks flat to large weights. Filter normalisation gives each unit's weights in a direction
    the length of the same weights in θ; biases and other vectors stay as they are (zero).

    Args:
        problem: any problem.
        theta: parameters of one chain, the centre.
        key: draws the two directions (and the subset, if a number is given).
        radius: the plane reaches from −radius to radius.
        points: along each axis.
        normalise: "filter" (weights into one unit, kernels of one channel), "layer" (whole weight
            arrays) or "none" (Gaussian with unit variance, biases and all).
        function: what to look at in place of the loss, such as `problem.test_loss`.
        subset: a number of examples to draw, or their indices; by default all.

    Returns:
        `Plane`.

    Raises:
        ValueError: if `theta` has nothing to normalise, a value is out of range, or the shapes do not fit.

    Source: Li, Xu, Taylor, Studer, Goldstein 2018 (arXiv:1712.09913), section 4.
    """
    theta = check_theta(problem, theta)
    check_key(key)
    size = _checks.scalar("radius", radius, above=0)
    points = _checks.integer("points", points, at_least=2)
    first, second, choose = jax.random.split(key, 3)
    if subset is not None and not _checks.shape(subset):
        subset = check_subset(problem, subset, choose)
    directions = (
        random_direction(problem, theta, key=first, normalise=normalise),
        random_direction(problem, theta, key=second, normalise=normalise),
    )
    coordinates = jnp.linspace(-size, size, points)
    values = _over(_chosen(problem, function, subset), theta, directions, coordinates)
    return Plane(coordinates, values, directions)


def random_direction(
    problem: Problem,
    theta: Theta,
    *,
    normalise: Literal["filter", "layer", "none"] = "filter",
    key: Key[Array, ""],
) -> Theta:
    """A Gaussian direction with the lengths of θ, as `plane` takes two of.

    A filter is what leads into one unit: the last axis of an array counts units, or the first where the
    problem is made of an Equinox module.

    Args:
        problem, theta, key, normalise: as in `plane`.

    Returns:
        The direction, shaped as the parameters.

    Raises:
        ValueError: as in `plane`.
    """
    theta = check_theta(problem, theta)
    check_key(key)
    _checks.choice("normalise", normalise, NORMALISATIONS)
    paths, structure = jax.tree_util.tree_flatten_with_path(theta)
    named = [(jax.tree_util.keystr(path[-1:], simple=True), leaf) for path, leaf in paths]
    # the bias of an Equinox convolution has axes of length 1
    vectors = [leaf.ndim < 2 or name == "bias" for name, leaf in named]
    if normalise != "none" and all(vectors):
        raise ValueError(
            f"normalise must be 'none' for {type(problem).__name__}: its parameters have no weight "
            f"matrices, got {normalise!r}."
        )
    equinox = isinstance(problem, EmpiricalRisk) and isinstance(problem.predict, EquinoxPredict)
    kinds = tuple("vector" if vector and normalise != "none" else normalise for vector in vectors)
    return jax.tree.unflatten(
        structure, _drawn([leaf for _, leaf in named], key, kinds, 0 if equinox else -1)
    )


@_traces.jit
def _drawn(leaves: list[Array], key: Key[Array, ""], kinds: tuple[str, ...], units: int) -> list[Array]:
    keys = jax.random.split(key, len(leaves))
    return [
        _scaled(jax.random.normal(draw, leaf.shape, leaf.dtype), leaf, kind, units)
        for draw, leaf, kind in zip(keys, leaves, kinds, strict=True)
    ]


def _scaled(direction: Array, weights: Array, normalise: str, units: int) -> Array:
    if normalise == "none":
        return direction
    if normalise == "vector":
        return jnp.zeros_like(weights)
    unit = units % weights.ndim
    axes = tuple(axis for axis in range(weights.ndim) if normalise == "layer" or axis != unit)

    def size(array: Array) -> Array:
        unit = power_of_two(array)
        return unit * jnp.sqrt(jnp.sum((array / unit) ** 2, axis=axes, keepdims=True))

    return direction * (size(weights) / size(direction))


def _chosen(problem: Problem, function: Observable | None, subset: Any) -> Observable:
    """What is looked at, as something that `jit` knows again."""
    if function is None:
        return _Loss(problem, check_subset(problem, subset))
    if not callable(function):
        raise ValueError(f"function must be a function of the parameters, got {function!r}.")
    if subset is not None:
        raise ValueError("subset is for the loss; give the function itself the examples it should see.")
    return function


class _Loss(eqx.Module):
    problem: Problem
    examples: Array | None

    def __call__(self, theta: Theta) -> Array:
        return loss_of(self.problem, self.examples)(theta)


@_traces.jit
def _along(function: Callable[[Any], Array], a: Theta, b: Theta, alphas: Array) -> Array:
    def one(alpha: Array) -> Array:
        return function(_moved(a, (alpha, jax.tree.map(jnp.subtract, b, a))))

    result: Array = lax.map(one, alphas)
    return result


@_traces.jit
def _over(
    function: Callable[[Any], Array], theta: Theta, directions: tuple[Theta, Theta], coordinates: Array
) -> Array:
    def one(x: Array) -> Array:
        result: Array = lax.map(
            lambda y: function(_moved(theta, (x, directions[0]), (y, directions[1]))), coordinates
        )
        return result

    result: Array = lax.map(one, coordinates)
    return result


def _moved(theta: Theta, *steps: tuple[Array, Theta]) -> Theta:
    for size, direction in steps:
        theta = jax.tree.map(lambda at, along: at + size.astype(at.dtype) * along, theta, direction)  # noqa: B023
    return theta
