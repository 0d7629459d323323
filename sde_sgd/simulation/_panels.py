"""How results of runs and sweeps look in a notebook."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sde_sgd._platform import _svg
from sde_sgd._platform._html import BAD, GOOD, Panel
from sde_sgd._platform._shown import digits, few, known, parameters, short
from sde_sgd.simulation._saved_process import SavedProcess

if TYPE_CHECKING:
    import xarray as xr

    from sde_sgd.simulation._result import Result
    from sde_sgd.simulation._sweep_result import SweepResult

# chains of a histogram, chains and samples of a curve
_CHAINS, _SPREAD, _SAMPLES = 20_000, 500, 80
_NOT_RECORDED = frozenset({"updates", "diverged_at", "stopped_at"})
_CLOCKS = ("epoch", "time", "step")
_BINS = 24


def of_run(result: "Result") -> Panel:
    """Process, clock, ends and records; the ensemble where θ is one number or two, and a recorded curve."""
    process = result.process
    problem = process.problem
    if isinstance(process, SavedProcess):
        name, of = process.name, str(getattr(problem, "name", "?"))
    else:
        name, of = type(process).__name__, type(problem).__name__
    gone = np.asarray(result.diverged_at) >= 0
    rows = {
        "hyperparameters": short(process.hyper),
        "chains": f"{gone.size}, {int(gone.sum())} diverged",
        "steps": f"{result.start} to {result.steps}",
    }
    if (stopped := int((np.asarray(result.stopped_at) >= 0).sum())) > 0:
        rows["stopped early"] = f"{stopped} chains"
    rows["θ at the end"] = parameters(result.theta)
    for label, values in result.record.items():
        if len(values):
            rows[f"{label} at the end"] = _spread(values[-1], gone)
    for kind in ("moments", "histograms"):
        if held := getattr(result, kind):
            rows[kind] = ", ".join(map(str, held))
    rows["seconds"] = digits(result.seconds)
    return Panel(
        "Result",
        f"{name} on {of}",
        rows,
        pictures=(_ensemble(result.theta, gone), _recorded(result, gone)),
        colour=BAD if gone.any() else GOOD,
    )


def of_sweep(result: "SweepResult") -> Panel:
    """Sizes and what was recorded; a heat map or a curve of the first record."""
    data = result.dataset
    rows = {"dimensions": ", ".join(f"{name}: {size}" for name, size in data.sizes.items())}
    lost = 0
    if "diverged_at" in data:
        steps = data["diverged_at"].values
        lost = int((steps >= 0).sum())
        rows["runs"] = f"{steps.size}, {lost} diverged"
    recorded = [name for name in data.data_vars if name not in _NOT_RECORDED]
    rows["recorded"] = ", ".join(map(str, recorded)) or "nothing"
    rows |= {
        str(name): _values(data.coords[name].values)
        for name in data.dims
        if name in data.coords and name != "seed"
    }
    if (process := data.attrs.get("process")) is not None:
        rows["process"] = str(process)
    rows["seconds"] = digits(result.seconds)
    pictures = [_map(str(name), data[name]) for name in recorded[:2]]
    return Panel("SweepResult", "", rows, pictures=pictures, colour=BAD if lost else GOOD)


def _spread(values: Any, gone: np.ndarray) -> str:
    """Mean and standard deviation over the chains that are left."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        return f"{array.dtype}{list(array.shape)}"
    step = max(1, len(array) // _CHAINS)
    left = array[::step][~gone[::step]].astype(float)
    left = left[np.isfinite(left)]
    return f"{left.mean():.4g} ± {left.std():.2g} over chains" if left.size else "no number"


def _ensemble(theta: Any, gone: np.ndarray) -> str:
    """The histogram of one number, or of two."""
    leaves = jax.tree.leaves(theta)
    if len(leaves) != 1 or leaves[0].ndim > 2 or (leaves[0].ndim == 2 and leaves[0].shape[1] > 2):
        return ""
    picked = few(leaves[0], _CHAINS)
    if picked is None:
        return ""
    places, values = picked
    left = values[~gone[places]].astype(float).reshape(-1, 1 if values.ndim == 1 else values.shape[1])
    left = left[np.isfinite(left).all(1)]
    if not len(left):
        return ""
    some = "" if len(places) == len(gone) else f", {len(left)} of {len(gone)} chains"
    if left.shape[1] == 1:
        return _svg.histogram(left, f"θ at the end{some}")
    return _plane(left, f"chains at the end{some}")


def _plane(points: np.ndarray, title: str) -> str:
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    wide = np.where(high > low, high - low, 1.0)
    ends = [(float(low[k]), float(low[k] + wide[k])) for k in range(2)]
    counts, columns, rows = np.histogram2d(points[:, 0], points[:, 1], _BINS, ends)
    up, along = ([digits((edges[k] + edges[k + 1]) / 2) for k in range(_BINS)] for edges in (rows, columns))
    return _svg.heat_map(counts.T, up, along, ("θ₂", "θ₁"), title)


def _recorded(result: "Result", gone: np.ndarray) -> str:
    """Median and tenths of the first record of one number a chain."""
    steps = np.asarray(result.record_steps)
    for name, values in result.record.items():
        if (
            values.ndim != 2
            or values.dtype.kind not in "biuf"
            or len(values) < 2
            or len(values) != len(steps)
        ):
            continue
        some = np.unique(np.linspace(0, len(values) - 1, min(len(values), _SAMPLES)).astype(int))
        step = max(1, values.shape[1] // _SPREAD)
        picked = values[:, ::step][some][:, ~gone[::step]].astype(float)
        picked = np.where(np.isfinite(picked), picked, np.nan)
        if picked.shape[1] == 0 or np.isnan(picked).all():
            continue
        return _svg.curves(steps[some], {name: _band(picked)}, "step", name)
    return ""


def _band(values: np.ndarray) -> _svg.Curve:
    """Median and tenths along the last axis, of what is a number."""
    empty = np.asarray(np.isnan(values).all(axis=-1))
    filled = np.where(empty[:, None], 0.0, values)
    low, middle, high = np.nanquantile(filled, [0.1, 0.5, 0.9], axis=-1)
    return _svg.Curve(*(np.where(empty, np.nan, one) for one in (middle, low, high)))


def _values(values: np.ndarray) -> str:
    """Values of an axis: numbers in few digits, names as they are."""
    listed = known(values)
    if listed is not None:
        return short(listed)
    return ", ".join(str(value) for value in values[:6]) + (", …" if len(values) > 6 else "")


def _map(name: str, values: "xr.DataArray") -> str:
    """Of a record at the end, the mean over seeds: over two axes as a heat map, over one as a curve."""
    if values.dtype.kind not in "biuf":
        return ""
    clocks = [dim for dim in _CLOCKS if dim in values.dims]
    end = values.isel(dict.fromkeys(clocks, -1)) if all(values.sizes[dim] for dim in clocks) else values
    single = [dim for dim in end.dims if dim != "seed" and end.sizes[dim] == 1]
    end = end.isel(dict.fromkeys(single, 0))
    axes = [str(dim) for dim in end.dims if dim != "seed" and dim in end.coords]
    if set(end.dims) - {*axes, "seed"} or not 1 <= len(axes) <= 2 or end.size == 0:
        return ""
    order = [*axes, *(["seed"] if "seed" in end.dims else [])]
    table = end.transpose(*order).values.astype(float)
    table = np.where(np.isfinite(table), table, np.nan)
    if "seed" not in end.dims:
        table = table[..., None]
    if len(axes) == 2:
        empty = np.asarray(np.isnan(table).all(axis=-1))
        mean = np.where(empty, np.nan, np.nanmean(np.where(empty[..., None], 0.0, table), -1))
        up, right = ([_tick(value) for value in end.coords[axis].values] for axis in axes)
        return _svg.heat_map(mean, up, right, (axes[0], axes[1]), f"{name} at the end")
    along = end.coords[axes[0]].values
    numeric = along.dtype.kind in "iuf"
    x = along.astype(float) if numeric else np.arange(len(along), dtype=float)
    return _svg.curves(x, {name: _band(table)}, axes[0] if numeric else f"{axes[0]}, in order", name)


def _tick(value: Any) -> str:
    return digits(value) if isinstance(value, float | np.floating) else str(value)
