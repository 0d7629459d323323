"""What pictures take from a sweep: its settings, its samples and its seeds."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from typing_extensions import TypeAliasType

from sde_sgd._platform._shown import digits, short
from sde_sgd._types import Numbers
from sde_sgd.simulation._sweep_result import SweepResult

# dimensions of samples, as sweeps name them, and what the clock of a picture is called then
SAMPLES = {"epoch": "epochs", "time": "time", "step": "step"}
# what sets runs of a sweep apart beside their seed
AXES = ("problem", "schedule", "learning_rate", "batch_size", "momentum")
# of them, what the label of a run always tells
_RUN = ("learning_rate", "batch_size")
_SYMBOLS = {"learning_rate": "η", "batch_size": "B", "momentum": "m", "ratio": "η/B"}
# what a sweep writes down beside the observables
_OWN = ("updates", "diverged_at", "stopped_at")


@runtime_checkable
class Labelled(Protocol):
    """A `Dataset` or `DataArray` of xarray."""

    @property
    def dims(self) -> Any: ...

    @property
    def coords(self) -> Any: ...


# numbers, or what they can be taken from
Table = TypeAliasType("Table", Numbers | SweepResult | Labelled)


@dataclass(frozen=True)
class Setting:
    """The runs of one setting.

    Attributes:
        label: what sets it apart, such as "η = 0.1, B = 8".
        values: of the observable, shape `(samples, seeds)`, without runs that diverged or are not finite.
        updates: parameter updates at the samples, None if they are not known.
        coordinates: name → value.
    """

    label: str
    values: np.ndarray
    updates: np.ndarray | None
    coordinates: dict[str, Any]


def is_sweep(what: Any) -> bool:
    """Whether this is a sweep, or something of xarray made from one."""
    return isinstance(what, SweepResult) or (hasattr(what, "dims") and hasattr(what, "coords"))


def quantity(name: str, what: Any, observable: str | None) -> tuple[Any, Any]:
    """One observable of a sweep, and the data set that it is from (None for a bare DataArray).

    Raises:
        ValueError: if there is none of that name.
    """
    dataset = what.dataset if isinstance(what, SweepResult) else what
    if not hasattr(dataset, "data_vars"):
        if observable is not None and dataset.name not in (None, observable):
            raise ValueError(
                f"observable {observable!r} was asked for, {name} holds {dataset.name!r}; ask for that, or "
                f"give the whole SweepResult."
            )
        return dataset, None
    there = [str(key) for key in dataset.data_vars if key not in _OWN]
    if observable is None:
        observable = there[0] if len(there) == 1 else "loss"
    if observable in _OWN:
        raise ValueError(
            f"observable must be what was recorded of chains, as {', '.join(map(repr, there))}, got "
            f"{observable!r}, which {name} tells of its runs; draw result[{observable!r}] yourself."
        )
    if observable not in there:
        raise ValueError(
            f"observable {observable!r} was not recorded in {name}, but {', '.join(map(repr, there))}; "
            f"name one of them, or pass record=[{observable!r}] to sweep."
        )
    return dataset[observable], dataset


def sample_dimension(name: str, values: Any) -> str:
    """The dimension of samples."""
    found = [dimension for dimension in SAMPLES if dimension in values.dims]
    if len(found) != 1:
        raise ValueError(
            f"{name} must have one of the dimensions {', '.join(SAMPLES)} for its samples, got {values.dims}."
        )
    return found[0]


def settings(name: str, values: Any, dataset: Any) -> list[Setting]:
    """Every setting of a sweep, in the order of its axes.

    Raises:
        ValueError: if the observable is not one number per run.
    """
    samples = sample_dimension(name, values) if set(values.dims) & set(SAMPLES) else None
    inner = [dimension for dimension in values.dims if str(dimension).startswith(f"{values.name}_")]
    if inner:
        sizes = tuple(values.sizes[dimension] for dimension in inner)
        raise ValueError(
            f"{name} must hold one number per run, got {sizes} of them; select one, for instance with "
            f"sweep.dataset.isel({inner[0]}=0)."
        )
    axes = [dimension for dimension in values.dims if dimension not in ("seed", samples)]
    order = [*axes, *([samples] if samples else []), *(["seed"] if "seed" in values.dims else [])]
    whole = values.transpose(*order)
    shape = [values.sizes[axis] for axis in axes]
    found = []
    for index in np.ndindex(*shape):
        place = dict(zip(axes, index, strict=True))
        here = whole.isel(place)
        numbers = np.asarray(here.values, np.float64)
        numbers = numbers.reshape(here.sizes[samples] if samples else 1, -1)
        known = {
            str(key): coordinate.item() for key, coordinate in here.coords.items() if coordinate.ndim == 0
        }
        kept = np.isfinite(numbers).all(axis=0) & _alive(dataset, place, numbers.shape[1])
        updates = None if dataset is None or "updates" not in dataset else _updates(dataset, place)
        label = ", ".join(_named(str(axis), index, known) for axis, index in place.items())
        if any(axis == "run" for axis in axes):
            told = [key for key in AXES if key in known and (key in _RUN or _varies(whole, key))]
            label = ", ".join(_named(key, 0, known) for key in told) or label
        found.append(Setting(label, numbers[:, kept], updates, known))
    return found


def rounded(value: Any) -> Any:
    """A coordinate as the user gave it: η/B · B in floats is off by rounding."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _varies(whole: Any, name: str) -> bool:
    """Whether a coordinate is another one elsewhere."""
    return len(np.unique(whole[name].values)) > 1


def _alive(dataset: Any, place: dict[Any, int], seeds: int) -> np.ndarray:
    """Which runs of a setting did not diverge."""
    if dataset is None or "diverged_at" not in dataset:
        return np.ones(seeds, bool)
    steps = dataset["diverged_at"]
    here = np.asarray(steps.isel({axis: at for axis, at in place.items() if axis in steps.dims}).values)
    return here.reshape(-1) < 0 if here.size == seeds else np.ones(seeds, bool)


def _updates(dataset: Any, place: dict[Any, int]) -> np.ndarray:
    updates = dataset["updates"]
    return np.asarray(updates.isel({axis: at for axis, at in place.items() if axis in updates.dims}).values)


def _named(axis: str, index: int, known: dict[str, Any]) -> str:
    value = known.get(axis, index)
    shown = (
        digits(value) if isinstance(value, float) else str(value) if isinstance(value, str) else short(value)
    )
    symbol = _SYMBOLS.get(axis, axis)
    if axis == "ratio" and known.get("momentum", 0) != 0:
        symbol = "η/((1 − m)B)"
    return f"{symbol} = {shown}"
