"""A loss in one or two dimensions, with the samples that live on it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from sde_sgd import _checks
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers
from sde_sgd.plot._style import COLOURS, axes_or_new
from sde_sgd.plot._ticks import colour_bar
from sde_sgd.problems._base import Problem
from sde_sgd.problems._contract import check_problem
from sde_sgd.statistics._samples import is_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def landscape(
    problem: Problem,
    *,
    bounds: Numbers,
    samples: PyTree | None = None,
    levels: int = 24,
    ceiling: float | None = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw L(θ): a line in one dimension, contours in two.

    Args:
        problem: with one or two parameters.
        bounds: (low, high), or ((low, high), (low, high)) in the plane.
        samples: parameters to mark: a `Result` (the ends of its chains), or an array of shape `(n,)` or
            `(n, 2)`; at most 5000 are drawn.
        levels: contour lines.
        ceiling: the highest loss to draw; by default what covers 90 % of the box.
        ax: axes to draw into; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: if θ has more than two numbers or the bounds do not fit.
    """
    check_problem(problem)
    shape = _traces.parameter_shapes(problem.init)
    dimension = 1 if getattr(shape, "shape", None) in ((), (1,)) else 2
    if getattr(shape, "shape", None) not in ((), (1,), (2,)):
        raise ValueError(
            f"landscape draws one or two parameters, {type(problem).__name__} has more; "
            f"draw a marginal with plot.histograms(observable=...)."
        )
    box = _checks.real("bounds", bounds)
    if box.shape != ((2,) if dimension == 1 else (2, 2)) or not (box[..., 0] < box[..., 1]).all():
        raise ValueError(f"bounds must be (low, high) for each of {dimension} axes, got {bounds!r}.")
    _checks.integer("levels", levels, at_least=2)
    if ceiling is not None:
        _checks.scalar("ceiling", ceiling)
    points = None if samples is None else _points(samples, dimension)
    made, axes = axes_or_new(ax)
    if dimension == 1:
        loss = problem.loss if shape.shape == () else _lifted(problem.loss)
        _line(axes, loss, box, points, ceiling)
    else:
        _contours(axes, problem.loss, box, points, levels, ceiling)
    return made


def _points(samples: Any, dimension: int) -> np.ndarray:
    """The first samples as an array of shape `(n, dimension)`, or a refusal."""
    given = samples.samples() if is_result(samples) else samples
    leaves = jax.tree.leaves(given)
    array = _checks.real("samples", leaves[0] if len(leaves) == 1 else given)
    rows = array[:, None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != dimension or not len(rows):
        wanted = "(n,)" if dimension == 1 else f"(n, {dimension})"
        raise ValueError(f"samples must be a Result or have shape {wanted}, got {array.shape}.")
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise ValueError(f"samples must be finite, got {len(array)} that are not.")
    result: np.ndarray = rows[:5000]
    return result


def _lifted(loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: loss(x[None])


def _line(axes: "Axes", loss: Any, box: np.ndarray, points: np.ndarray | None, ceiling: Any) -> None:
    x = np.linspace(box[0], box[1], 801)
    values = np.asarray(jax.vmap(loss)(jnp.asarray(x, float)))
    axes.plot(x, values, color="black", lw=1.6)
    if points is not None:
        height = np.asarray(jax.vmap(loss)(jnp.asarray(np.ravel(points), float)))
        axes.plot(np.ravel(points), height, ".", color=COLOURS[0], ms=3, alpha=0.3)
    if ceiling is not None:
        axes.set_ylim(values.min(), ceiling)
    axes.set_xlabel("θ")
    axes.set_ylabel("loss L(θ)")


def _contours(
    axes: "Axes", loss: Any, box: np.ndarray, points: np.ndarray | None, levels: int, ceiling: Any
) -> None:
    x, y = (np.linspace(low, high, 201) for low, high in box)
    grid = jnp.asarray(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1), float)
    values = np.asarray(jax.vmap(jax.vmap(loss))(grid)).T
    top = float(np.quantile(values, 0.9)) if ceiling is None else ceiling
    heights = np.linspace(float(values.min()), top, levels)
    drawn = axes.contourf(x, y, np.minimum(values, top), heights, cmap="Greys", extend="max")
    axes.contour(x, y, values, heights, colors="black", linewidths=0.4, alpha=0.5)
    colour_bar(drawn, axes, "loss L(θ)")
    if points is not None:
        axes.plot(points[:, 0], points[:, 1], ".", color=COLOURS[1], ms=2, alpha=0.4)
    axes.set_xlabel("θ₁")
    axes.set_ylabel("θ₂")
    axes.grid(visible=False)
