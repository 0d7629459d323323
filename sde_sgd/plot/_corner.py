"""An ensemble in several dimensions: every coordinate alone and every two of them, with their laws."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd._types import Numbers
from sde_sgd.plot._histograms import edges_over, usual_bins, with_those_beyond
from sde_sgd.plot._laws import OnLines, on_lines
from sde_sgd.plot._style import COLOURS, axes_or_new, figure, law_style, legend_name
from sde_sgd.statistics._samples import sample_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# coordinates in one picture, and probabilities inside the contours
_MOST, _BINS = 8, 40
_INSIDE = (0.5, 0.95)
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def corner(
    *,
    directions: Numbers | PyTree | None = None,
    names: Sequence[str] | None = None,
    laws: Mapping[str, Any] | None = None,
    bins: int | None = None,
    axes: Any = None,
    **named: Any,
) -> "Figure":
    r"""Draw an ensemble in k dimensions: marginals on the diagonal, every two coordinates below it.

        plot.corner(SGD=sgd, SDE=sde, laws={"exact": theory.stationary_covariance(net, hyper, at=theta)})
        plot.corner(SGD=sgd, directions=pairs.vectors, laws={"exact": (theta, covariance)})

    Below the diagonal the first ensemble is shaded, all others and the laws are contours that hold half and
    95 % of the probability.

    Args:
        directions: rows v, shape `(k, d)`, or parameters with a leading axis k, as those of
            `curvature.top_eigenpairs`: v·θ is drawn in place of the coordinates of θ, raveled.
        names: of what is drawn, k of them; by default those of xarray or of a dictionary, or θ₁, θ₂, …
        laws: name → `theory.GaussianMixture`, `Density2D` (k = 2, without directions), `RegressionLaw`, a
            pair (mean, covariance) of a Gaussian, of shapes `(d,)`, or parameters of one chain, and
            `(d, d)`, or the covariance alone, which is drawn around the mean of the first ensemble.
        bins: over the range of all samples, but for what lies far beyond them, as in `histograms`; below
            the diagonal two thirds as many. By default 40, of few chains fewer: 15 of 400.
        axes: k × k of them to draw into; a new figure by default. Those above the diagonal are put out.
        **named: name → `Result` (the ends of its chains), an array of shape `(n, d)`, a dictionary of arrays
            of shape `(n,)`, or of xarray a DataArray or a Dataset of such.

    Returns:
        The figure. Diverged chains are left out.

    Raises:
        ValueError: if nothing is given, there are more than 8 dimensions, or shapes do not fit.
    """
    if not named:
        raise ValueError("corner needs at least one ensemble, such as SGD=result.")
    bins = None if bins is None else _checks.integer("bins", bins, at_least=2)
    rows = {name: _rows(name, what) for name, what in named.items()}
    dimension = _one_dimension(rows)
    across = _directions(directions, dimension)
    samples = {name: points if across is None else points @ across.T for name, points in rows.items()}
    first = next(iter(rows))
    count = samples[first].shape[1]
    if count > _MOST:
        raise ValueError(
            f"corner draws at most {_MOST} dimensions, {first} has {count}; give directions= with the rows "
            f"to look along, such as numpy.eye({count})[:3]."
        )
    words = _words(names, named, count, is_turned=across is not None)
    if laws is not None and not isinstance(laws, Mapping):
        raise ValueError(f"laws must be a mapping of names to laws, got {short(laws)}.")
    known = {
        name: on_lines(name, law, rows[first].mean(axis=0), across) for name, law in (laws or {}).items()
    }
    made, grid = _grid(axes, count)
    bins = usual_bins(samples.values(), _BINS) if bins is None else bins
    found = [edges_over([values[:, i] for values in samples.values()], bins) for i in range(count)]
    edges = [one for one, _ in found]
    titles = {name: legend_name(name, what) for name, what in named.items()}
    if cut := [i for i, (_, are_all) in enumerate(found) if not are_all]:
        titles = {
            name: with_those_beyond(words, samples[name][:, cut], [edges[i] for i in cut])
            for name, words in titles.items()
        }
    for i in range(count):
        _alone(grid[i, i], i, edges[i], samples, titles, known)
        for j in range(i):
            _together(grid[i, j], (j, i), (edges[j], edges[i]), samples, known)
            grid[j, i].set_axis_off()
    _label(grid, words, edges)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    # there is room above the diagonal
    place = {"loc": "upper right"} if count > 1 else {}
    grid[0, count - 1].legend(handles, labels, frameon=False, **place)
    return made


def _rows(name: str, what: Any) -> np.ndarray:
    """One row for each chain."""
    if hasattr(what, "data_vars"):
        what = {str(key): np.asarray(values.values) for key, values in what.data_vars.items()}
    points, _ = sample_points(name, what, None)
    return points


def _one_dimension(rows: dict[str, np.ndarray]) -> int:
    sizes = {name: points.shape[1] for name, points in rows.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"ensembles must have as many coordinates each, got {sizes}.")
    return int(next(iter(sizes.values())))


def _directions(directions: Any, dimension: int) -> np.ndarray | None:
    if directions is None:
        return None
    leaves = [_checks.real("directions", leaf) for leaf in jax.tree.leaves(directions)]
    if len(leaves) > 1 and all(leaf.ndim and len(leaf) == len(leaves[0]) for leaf in leaves):
        directions = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    found = _checks.real("directions", directions)
    if found.ndim != 2 or found.shape[1] != dimension or not len(found) or not np.isfinite(found).all():
        raise ValueError(
            f"directions must be finite rows of {dimension} numbers, as many as a chain has parameters, got "
            f"shape {found.shape}."
        )
    return found


def _words(names: Any, named: Mapping[str, Any], count: int, *, is_turned: bool) -> list[str]:
    """What each coordinate is called."""
    if names is None:
        each = {name: own for name, what in named.items() if (own := _own_names(what)) is not None}
        if len(set(map(tuple, each.values()))) > 1:
            raise ValueError(
                f"ensembles must name the same coordinates in one order, got {each}; give names=."
            )
        own = None if is_turned else next(iter(each.values()), None)
        letter = "v{}·θ" if is_turned else "θ{}"
        return own or [letter.format(str(i + 1).translate(_SUBSCRIPTS)) for i in range(count)]
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names must be {count} words, one for each that is drawn, got {short(names)}.")
    return list(names)


def _own_names(what: Any) -> list[str] | None:
    """The names that xarray or a dictionary has for the columns."""
    if hasattr(what, "data_vars"):
        what = {str(key): values for key, values in what.data_vars.items()}
    if isinstance(what, Mapping):
        # in the order of JAX's leaves: keys sorted as they are, not as words, or those of an OrderedDict
        leaves = jax.tree.leaves_with_path(what)
        flat = len(leaves) == len(what) and all(np.ndim(values) == 1 for _, values in leaves)
        return [str(path[-1].key) for path, _ in leaves] if flat else None
    if hasattr(what, "dims") and hasattr(what, "coords") and len(what.dims) == 2:
        column = what.dims[1]
        return [str(value) for value in what.coords[column].values] if column in what.coords else None
    return None


def _grid(axes: Any, count: int) -> "tuple[Figure, np.ndarray]":
    if axes is None:
        size = 4.2 if count == 1 else 2.6 if count < 4 else 2.1
        return figure(count, count, width=size, height=size, squeeze=False)
    grid = np.array([[axes]] if np.ndim(axes) == 0 else axes, dtype=object)
    if grid.shape != (count, count):
        raise ValueError(
            f"axes must be {count} x {count} of them, as plot.figure({count}, {count}) makes them, got shape "
            f"{grid.shape}."
        )
    made = None
    for one in grid.ravel():
        made, _ = axes_or_new(one, "axes")
    assert made is not None
    return made, grid


def _alone(
    ax: "Axes",
    i: int,
    edges: np.ndarray,
    samples: dict[str, np.ndarray],
    titles: dict[str, str],
    laws: dict[str, OnLines],
) -> None:
    """One coordinate: histograms, and the marginals of laws as lines."""
    highest = 0.0
    for number, (name, values) in enumerate(samples.items()):
        counts, _ = np.histogram(values[:, i], edges)
        density = counts / (len(values) * np.diff(edges))
        highest = max(highest, float(density.max()))
        colour = COLOURS[number % len(COLOURS)]
        if number == 0:
            ax.stairs(density, edges, color=colour, alpha=0.3, fill=True)
        ax.stairs(density, edges, color=colour, lw=1.4, label=titles[name])
    x = np.linspace(edges[0], edges[-1], 401)
    for number, (name, law) in enumerate(laws.items()):
        ax.plot(x, law.alone(i, x), **law_style(number), lw=1.4, label=name)
    # a law far narrower than the samples may leave the picture
    ax.set_ylim(0, 1.3 * highest)


def _together(
    ax: "Axes",
    which: tuple[int, int],
    edges: tuple[np.ndarray, np.ndarray],
    samples: dict[str, np.ndarray],
    laws: dict[str, OnLines],
) -> None:
    """Two coordinates: the first ensemble shaded, contours of the others and of the laws."""
    from matplotlib.colors import LinearSegmentedColormap

    # in two dimensions there are fewer samples in each cell
    coarse = [np.linspace(one[0], one[-1], max(3, 2 * len(one) // 3)) for one in edges]
    middles = [(one[1:] + one[:-1]) / 2 for one in coarse]
    for number, values in enumerate(samples.values()):
        counts, *_ = np.histogram2d(values[:, which[0]], values[:, which[1]], coarse)
        colour = COLOURS[number % len(COLOURS)]
        if number == 0:
            shades = LinearSegmentedColormap.from_list("shades", ["white", colour])
            ax.pcolormesh(*coarse, counts.T, cmap=shades, rasterized=True)
        else:
            _contours(ax, middles, counts / len(values), color=colour, ls="-")
    fine = [np.linspace(one[0], one[-1], 121) for one in edges]
    area = float(np.prod([one[1] - one[0] for one in fine]))
    for number, law in enumerate(laws.values()):
        _contours(ax, fine, area * law.together(which, *fine), **law_style(number))


def _contours(ax: "Axes", at: Sequence[np.ndarray], chances: np.ndarray, *, color: str, ls: str) -> None:
    """Lines around the likeliest cells that hold the probabilities, where the picture has as many."""
    falling = np.sort(chances.ravel())[::-1]
    places = np.searchsorted(np.cumsum(falling), _INSIDE)
    levels = sorted({float(falling[place]) for place in places if place < len(falling)})
    levels = [level for level in levels if 0 < level < falling[0]]
    if levels:
        ax.contour(*at, chances.T, levels=levels, linewidths=1.2, colors=color, linestyles=ls)


def _label(grid: np.ndarray, words: list[str], edges: list[np.ndarray]) -> None:
    """Names and numbers at the left and below, densities at the right of the diagonal."""
    from matplotlib.ticker import MaxNLocator

    count = len(words)
    for i in range(count):
        for j in range(i + 1):
            ax = grid[i, j]
            ax.grid(visible=False)
            ax.set_xlim(edges[j][0], edges[j][-1])
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.yaxis.set_major_locator(MaxNLocator(3))
            if i == j:
                if count > 1:
                    ax.yaxis.tick_right()
                    ax.yaxis.set_label_position("right")
                    ax.spines["right"].set_visible(True)
                    ax.spines["left"].set_visible(False)
                ax.set_ylabel("probability density" if count == 1 else "density")
            else:
                ax.set_ylim(edges[i][0], edges[i][-1])
            ax.tick_params(labelbottom=i == count - 1)
            if i != j:
                ax.tick_params(labelleft=j == 0)
                if j == 0:
                    ax.set_ylabel(words[i])
            if i == count - 1:
                ax.set_xlabel(words[j])
