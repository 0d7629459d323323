"""Records of runs against time, with bands over chains."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd.plot._style import COLOURS, axes_or_new, legend_name
from sde_sgd.plot._sweeps import AXES, SAMPLES, is_sweep, quantity, rounded, sample_dimension, settings
from sde_sgd.simulation._result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# lines in one picture, those whose names fit into it, and strokes of those after the first: where lines lie
# on each other, those below are seen in the gaps
_MOST, _FEW = 24, 5
_STROKES: Any = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))
_CLOCKS = {"step": "SGD steps", "time": "SDE time t = ηk", "epochs": "epochs"}
_SAME_CLOCKS = {"steps": "step", "epoch": "epochs"}


def curves(
    observable: str,
    *,
    clock: Literal["step", "steps", "time", "epoch", "epochs"] | None = None,
    band: Literal["deviation", "error", "none"] = "deviation",
    ax: "Axes | None" = None,
    log: bool = False,
    styles: dict[str, dict[str, Any]] | None = None,
    **named: Any,
) -> "Figure":
    """Draw one recorded observable of several runs: the mean over chains and a band.

        plot.curves("loss", clock="epochs", SGD=sgd, SDE=sde)
        plot.curves("loss", SGD=swept)                            # a line for each setting of a sweep
        plot.curves("loss", SGD=swept.sel(ratio=0.01))            # of some of them

    Args:
        observable: name under which it was recorded (`run(..., record={name: ...})`).
        clock: "step" (or "steps"), "time" (t = ηk) or "epochs" (or "epoch"); by default "step", and of a
            sweep what its samples are counted in. A sweep knows no other clock but "step", the updates.
        band: "deviation" (± 1 standard deviation over chains, or seeds), "error" (± 1 standard error of the
            mean) or "none". Where it would go below 0, and no value does, it ends at the smallest value.
        ax: axes to draw into; a new figure by default.
        log: logarithmic vertical axis.
        styles: name → keywords for matplotlib's `plot`. Of two to four sweeps a setting has one colour, and
            each sweep its stroke. More than 8 colours go from dark to light.
        **named: name → `Result`, or `SweepResult`, or a Dataset or DataArray from one: a line for each
            setting, up to 24, the mean over its seeds; or a pair (x, values) of arrays, of shapes
            `(samples,)` and `(samples, chains)` or `(samples,)`, with x in units of the clock.

    Returns:
        The figure. Diverged chains are left out, and of sweeps also runs that are not finite everywhere.

    Raises:
        ValueError: if nothing was recorded under that name, or it is not a scalar.
    """
    _check_name(observable)
    if clock is not None:
        _checks.choice("clock", clock, (*_CLOCKS, *_SAME_CLOCKS))
        clock = _SAME_CLOCKS.get(clock, clock)  # type: ignore[assignment]
    _checks.choice("band", band, ("deviation", "error", "none"))
    if not named:
        raise ValueError("curves needs at least one result, such as SGD=result.")
    drawn = [line for name, result in named.items() for line in _lines(name, result, observable, clock)]
    clocks = {line.clock for line in drawn}
    if len(clocks) > 1:
        raise ValueError(
            f"clock must be one for all, got {sorted(clocks)} by default; name one, or draw apart."
        )
    if len(drawn) > _MOST:
        raise ValueError(
            f"curves draws at most {_MOST} lines, got {len(drawn)} settings; select some, for instance by "
            f"result.sel(ratio=...) or result.dataset.isel(learning_rate=[0, -1])."
        )
    made, axes = axes_or_new(ax)
    given = _own_styles(styles or {}, named)
    for line, look in zip(drawn, _looks(drawn), strict=True):
        style: dict[str, Any] = {"linewidth": 1.6, "label": line.label, **look, **given.get(line.name, {})}
        axes.plot(line.x, line.mean, **style)
        if band != "none":
            width = line.deviation if band == "deviation" else line.deviation / np.sqrt(max(line.count, 1))
            low = _not_below(line.mean - width, line.smallest)
            axes.fill_between(line.x, low, line.mean + width, color=style["color"], alpha=0.15, lw=0)
    axes.set_xlabel(_CLOCKS[drawn[0].clock])
    axes.set_ylabel(observable)
    if log:
        axes.set_yscale("log")
    _legend(axes, len(drawn), has_room=made.get_layout_engine() is not None)
    return made


def _own_styles(styles: dict[str, dict[str, Any]], named: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Keywords by name, each under the longest of its names: lw is linewidth."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    if unknown := sorted(set(styles) - set(named)):
        raise ValueError(f"styles must be of the names that are drawn, {sorted(named)}, got {unknown}.")
    return {name: normalize_kwargs(style, Line2D) for name, style in styles.items()}


def _looks(drawn: "list[_Line]") -> list[dict[str, Any]]:
    """A colour and a stroke for each line: the first without gaps, those after it with.

    Where up to four names have several lines, a setting has its colour in all and strokes tell the names.
    More colours than can be told apart go through a colour map in the order of the settings.
    """
    import matplotlib as mpl

    names = list(dict.fromkeys(line.name for line in drawn))
    several = 1 < len(names) < len(drawn) and len(names) <= 1 + len(_STROKES)
    keys = [line.setting or line.name for line in drawn]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    coloured = [places[keys[number]] if several else number for number in range(len(drawn))]
    stroked = [names.index(line.name) if several else number for number, line in enumerate(drawn)]
    many, shades = max(coloured) >= len(COLOURS), mpl.colormaps["viridis"]
    return [
        {
            "color": shades(0.9 * colour / max(coloured)) if many else COLOURS[colour],
            "linestyle": _STROKES[(stroke - 1) % len(_STROKES)] if stroke else "-",
        }
        for colour, stroke in zip(coloured, stroked, strict=True)
    ]


def _not_below(low: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """The lower end of a band: of what is never < 0 not below 0, but at its smallest value."""
    never = smallest >= 0
    return np.where(never, np.maximum(low, smallest), low) if (low < 0)[never].any() else low


def _legend(axes: "Axes", lines: int, *, has_room: bool) -> None:
    """Inside, or of many lines beside the axes where a layout makes room for it."""
    options: dict[str, Any] = {"frameon": False, "fontsize": None if lines <= 6 else 7}
    if lines > _FEW:
        beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "borderaxespad": 0, "labelspacing": 0.25}
        options |= beside if has_room else {"ncols": 2}
    axes.legend(**options)


@dataclass(frozen=True)
class _Line:
    """A mean with its spread over `count` chains or seeds, against a clock, of a setting of a sweep."""

    name: str
    label: str
    clock: str
    x: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    smallest: np.ndarray
    count: int
    setting: Hashable = None


def _lines(name: str, result: Any, observable: str, clock: str | None) -> list[_Line]:
    if is_sweep(result):
        return _of_sweep(name, result, observable, clock)
    if _is_pair(result):
        x, values = result
        return [_of_arrays(name, x, values, clock or "step")]
    _check_result(name, result)
    clock = clock or "step"
    kept = _kept(result, observable)
    return [_line(name, legend_name(name, result), clock, _clock(result, clock), kept)]


def _line(name: str, label: str, clock: str, x: np.ndarray, values: np.ndarray) -> _Line:
    """Of values of shape `(samples, chains)`."""
    smallest = values.min(axis=1) if values.shape[1] else np.full(len(values), np.nan)
    return _Line(name, label, clock, x, *_mean_and_deviation(values), smallest, values.shape[1])


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over the chains; of none NaN, of one no deviation."""
    samples, chains = values.shape
    mean = values.mean(axis=1) if chains else np.full(samples, np.nan)
    return mean, values.std(axis=1, ddof=1) if chains > 1 else np.zeros(samples)


def _is_pair(result: Any) -> bool:
    return isinstance(result, tuple) and len(result) == 2


def _of_arrays(name: str, x: Any, values: Any, clock: str) -> _Line:
    at = _checks.real(f"x of {name}", x)
    found = _checks.real(f"values of {name}", values)
    if at.ndim != 1 or found.ndim not in (1, 2) or len(at) != len(found) or not found.size:
        raise ValueError(
            f"{name} must be a pair (x, values) of shapes (samples,) and (samples, chains), got "
            f"{at.shape} and {found.shape}."
        )
    return _line(name, name, clock, at, found.reshape(len(at), -1))


def _of_sweep(name: str, result: Any, observable: str, clock: str | None) -> list[_Line]:
    values, dataset = quantity(name, result, observable)
    samples = sample_dimension(name, values)
    own = SAMPLES[samples]
    clock = clock or own
    if clock not in (own, "step"):
        raise ValueError(f"clock must be {own!r} or 'step' for the sweep {name}, got {clock!r}.")
    found = []
    for one in settings(name, values, dataset):
        x = np.asarray(values[samples].values)
        if clock != own:
            if one.updates is None:
                raise ValueError(
                    f"clock='step' needs the whole SweepResult in {name}, which knows its updates."
                )
            x = one.updates
        label = f"{name}, {one.label}" if one.label else name
        told = tuple((axis, rounded(one.coordinates[axis])) for axis in AXES if axis in one.coordinates)
        found.append(replace(_line(name, label, clock, x, one.values), setting=told))
    if len({line.setting for line in found}) < len(found):
        # there are axes of the user's own
        found = [replace(line, setting=line.label.removeprefix(name)) for line in found]
    return found


def _check_name(observable: Any) -> None:
    if not isinstance(observable, str):
        raise ValueError(f"observable must be the name of what was recorded, got {short(observable)}.")


def _check_result(name: str, result: Any) -> None:
    if not isinstance(result, Result):
        raise ValueError(
            f"{name} must be a Result of run, a SweepResult of sweep or a pair (x, values), got "
            f"{short(result)}."
        )


def curve(result: Result, observable: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the chains that did not diverge, shape `(samples,)` each.

    Raises:
        ValueError: if nothing was recorded under that name, or it is not a scalar.
    """
    _check_result("result", result)
    _check_name(observable)
    return _mean_and_deviation(_kept(result, observable))


def _kept(result: Result, observable: str) -> np.ndarray:
    """The record of the chains that did not diverge, shape `(samples, chains)`."""
    if observable not in result.record:
        listed = ", ".join(repr(name) for name in result.record) or "nothing"
        raise ValueError(
            f"observable {observable!r} was not recorded, but {listed}; "
            f"pass record={{{observable!r}: function}} to run."
        )
    values = np.asarray(result.record[observable], np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"observable {observable!r} is not one number per chain but has shape {values.shape[2:]}; record "
            f"each under a name of its own, or draw result.record[{observable!r}][..., i] yourself."
        )
    return values[:, result.alive]


def _clock(result: Result, clock: str) -> np.ndarray:
    if clock == "step":
        return result.record_steps
    x = result.epochs if clock == "epochs" else result.time
    if x.ndim > 1:
        raise ValueError("clock='time' needs one learning rate for all chains; use clock='step'.")
    return x
