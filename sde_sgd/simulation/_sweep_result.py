"""Results of a sweep: named dimensions, files, selection by η/B."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import PyTree

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.files._dataset_file import read_dataset, write_dataset
from sde_sgd._platform.files._structure import packed, unpacked
from sde_sgd._types import FilePath
from sde_sgd.simulation import _panels

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, repr=False)
class SweepResult(Shown):
    """What a sweep leaves behind.

    Attributes:
        dataset: an `xarray.Dataset`. Dimensions: the axes of the sweep (or "run" for a list), "seed",
            and the samples ("epoch", "time" or "step"). Variables: what was recorded; `updates`, the
            number of updates at each sample; `diverged_at` and `stopped_at`, steps or −1. Coordinates:
            `learning_rate`, `batch_size`, `momentum` and `ratio` = η/(B(1 − m)).
        theta: final parameters with leading dimensions (axes …, seed), or None if not kept.
        seconds: wall-clock time, compilation included.
    """

    dataset: "xr.Dataset"
    theta: PyTree | None = None
    seconds: float = float("nan")

    def __repr__(self) -> str:
        return f"SweepResult({summary(self.dataset, self.seconds)})"

    def _panel(self) -> Panel:
        return _panels.of_sweep(self)

    def to_xarray(self) -> "xr.Dataset":
        """The results as an `xarray.Dataset`."""
        return self.dataset

    def __getitem__(self, name: str) -> "xr.DataArray":
        """One variable by its name."""
        return self.dataset[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the variables."""
        return iter(map(str, self.dataset))

    def sel(self, **values: object) -> "xr.Dataset":
        """The runs with these values, such as `sel(batch_size=8)` or `sel(ratio=0.01)`.

        A list, a range or an array of one dimension takes several values, a slice all within both ends, the
        larger of which may come first. An axis comes in the order of the list, each value once; with a slice
        in its own order. Where the coordinate is no axis of its own, as the ratio of a grid of η and B, the
        points that have it are put in a row along a dimension "run", in the order of the sweep. Numbers
        match to a relative 10⁻⁵. What else xarray can, such as the nearest value, is `dataset.sel`.

        Raises:
            ValueError: if no run has a value, with those there are.
        """
        found = self.dataset
        for name, value in values.items():
            if name not in found.coords:
                raise ValueError(
                    f"{name!r} is no coordinate of this sweep; there are {sorted(map(str, found.coords))}. "
                    f"Options of xarray go to .dataset.sel(...)."
                )
            coordinate = found[name]
            asked, one = _asked(name, value)
            places = _places(name, coordinate.values.ravel(), asked)
            if coordinate.ndim == 0:
                continue
            if coordinate.dims == (name,):
                found = found.isel({name: places[0] if one and len(places) == 1 else places})
            elif coordinate.ndim == 1:
                found = found.isel({coordinate.dims[0]: np.sort(places)})
            else:
                names = [entry for entry in coordinate.dims if entry in found.indexes]
                stacked = (
                    found.reset_index(names)
                    .reset_coords(drop=False)
                    .set_coords([entry for entry in found.coords if entry in found.variables])
                    .stack(run=coordinate.dims, create_index=False)
                )
                found = stacked.isel(run=np.sort(places)).transpose("run", ...)
        return found

    def diverged(self) -> list[dict[str, Any]]:
        """The log of what diverged: the setting, seed and step of each such run."""
        steps = self.dataset["diverged_at"]
        log = []
        for index in np.argwhere(steps.values >= 0):
            place = dict(zip(steps.dims, index, strict=True))
            here = steps.isel(place)
            log.append(
                {**{str(name): value.item() for name, value in here.coords.items()}, "step": int(here)}
            )
        return log

    def save(self, path: FilePath, *, overwrite: bool = False) -> Path:
        """Write the dataset as NetCDF (`.nc`) or Zarr (`.zarr`), which xarray opens too; θ is not written.

        It is written beside `path` and put in its place whole: what was there stays until then, whatever
        happens. A checksum of every variable and of every byte goes with it, for `read_sweep`.

        Raises:
            ValueError: for another ending, or if there is something already and not `overwrite`.
            FileError: if it cannot be written; what was there is as it was.
            ImportError: without netCDF4 or zarr, whichever it takes.
        """
        return write_dataset(self.dataset, path, "sweep", overwrite=overwrite)

    def __reduce__(self) -> Any:
        return _unpickled, (self.dataset, packed(self.theta), self.seconds)


def _unpickled(dataset: "xr.Dataset", theta: dict[str, Any], seconds: float) -> SweepResult:
    return SweepResult(dataset, unpacked(theta), seconds)


def read_sweep(path: FilePath) -> SweepResult:
    """Read what `SweepResult.save` has written, to the last bit.

    Raises:
        ValueError: if there is no such file, or it ends in neither .nc nor .zarr.
        FileError: if it is damaged in any way, or was not written by `SweepResult.save`.
        ImportError: without netCDF4 or zarr, whichever it takes.
    """
    dataset = read_dataset(path, "sweep")
    return SweepResult(dataset, seconds=float(dataset.attrs.get("seconds", np.nan)))


def summary(dataset: "xr.Dataset", seconds: float) -> str:
    """Sizes, variables, how many runs diverged and how long it took, in one line."""
    sizes = ", ".join(f"{name}: {size}" for name, size in dataset.sizes.items())
    diverged = dataset.get("diverged_at")
    lost = "" if diverged is None else f", {int((diverged >= 0).sum())} runs diverged"
    return f"{sizes}; {', '.join(map(str, dataset.data_vars))}{lost}, {seconds:.3g} s"


def free_dimension(dimension: str, names: Collection[str]) -> str:
    """A name for a dimension that no variable has."""
    while dimension in names:
        dimension += "_"
    return dimension


def build_dataset(
    axes: Mapping[str, list[Any] | np.ndarray],
    seeds: int,
    samples: tuple[str, np.ndarray],
    variables: Mapping[str, np.ndarray],
    per_point: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
) -> "xr.Dataset":
    """Put arrays whose leading axis is the point of the sweep onto its named dimensions.

    Args:
        axes: axis → values, in the order of the points, last fastest.
        seeds: number of seeds.
        samples: name and values of the dimension of samples.
        variables: name → array `(points, seeds, samples, …)`; or `(points, seeds)`.
        per_point: name → array `(points,)`, or `(points, samples)`.
        attributes: of the dataset.
    """
    import xarray as xr

    shape = tuple(len(values) for values in axes.values())
    names = tuple(axes)
    dimension, where = samples
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {name: (name, np.asarray(values)) for name, values in axes.items()}
    coords |= {"seed": np.arange(seeds), dimension: where}
    for name, values in variables.items():
        extra = tuple(free_dimension(f"{name}_{number}", variables) for number in range(values.ndim - 3))
        dims = (*names, "seed", dimension, *extra)[: len(names) + values.ndim - 1]
        data[name] = (dims, values.reshape((*shape, *values.shape[1:])))
    for name, values in per_point.items():
        dims = (*names, dimension)[: len(names) + values.ndim - 1]
        placed = values.reshape((*shape, *values.shape[1:]))
        if values.ndim == 2:
            data[name] = (dims, placed)
        elif name not in names:
            coords[name] = (names, placed)
    return xr.Dataset(data, coords, dict(attributes))


def _asked(name: str, value: Any) -> tuple[list[Any], bool]:
    """What is asked for, one by one, and whether it is one value and no list of some."""
    if isinstance(value, slice):
        return [value], False
    _checks.check_unmasked(name, value)
    try:
        # of objects: a list of texts and numbers stays one
        given = np.asarray(value, object)
    except ValueError:  # arrays of several shapes
        given = np.empty((1, 1), object)
    asked: list[Any] = given.ravel().tolist()
    if given.ndim > 1 or any(np.asarray(one, object).ndim for one in asked):
        raise ValueError(
            f"{name} must be one value, a list of values or a slice of two numbers, got "
            f"{_checks.short(value)}. Give a list without lists in it."
        )
    if not asked:
        raise ValueError(f"{name} must hold at least one value, got {_checks.short(value)}.")
    return asked, given.ndim == 0


def _places(name: str, there: np.ndarray, asked: list[Any]) -> np.ndarray:
    """Where the values are that are asked for, or a refusal of one that is not there."""
    places: dict[int, None] = {}  # each once, in the order of what is asked for
    for one in asked:
        match = _matches(name, there, one)
        if not match.any():
            known = np.unique(there).tolist()
            numbers = there.dtype.kind in "fiu"
            shown = ", ".join(f"{entry:g}" if numbers else repr(entry) for entry in known)
            raise ValueError(f"no run has {name} = {one!r}; there are {shown}.")
        places |= dict.fromkeys(np.flatnonzero(match).tolist())
    return np.asarray(list(places))


def _matches(name: str, there: np.ndarray, asked: Any) -> np.ndarray:
    """Whether each is the value that is asked for, or lies within the slice."""
    numbers = there.dtype.kind in "fiu"
    if not isinstance(asked, slice):
        if numbers:
            return _close(there, _checks.scalar(name, asked))
        return np.asarray([entry == asked for entry in there.tolist()], bool)
    if not numbers or asked.step is not None:
        raise ValueError(f"{name} must be values or a slice of two numbers, got {asked!r}.")
    low, high = sorted(
        default if end is None else float(_checks.scalar(name, end))
        for end, default in ((asked.start, -np.inf), (asked.stop, np.inf))
    )
    within: np.ndarray = (there > low) & (there < high) | _close(there, low) | _close(there, high)
    return within


def _close(there: np.ndarray, value: float) -> np.ndarray:
    result: np.ndarray = np.isclose(there, value, rtol=1e-5, atol=0)
    return result
