"""One part of a sweep: what it holds, and its file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import PyTree

from sde_sgd._platform._shown import Shown
from sde_sgd._platform.files._dataset_file import read_dataset, write_dataset
from sde_sgd._platform.files._structure import names_of, packed, put_together, taken_apart, unpacked
from sde_sgd._types import FilePath
from sde_sgd.simulation._sweep_result import free_dimension, summary

if TYPE_CHECKING:
    import xarray as xr

KIND = "part of a sweep"
TOLD = "sde_sgd_part"  # the attribute with what is needed to put parts together
_THETA = "sde_sgd_theta"  # in files


@dataclass(frozen=True, repr=False)
class SweepPart(Shown):
    """What `sweep(..., part=(i, n))` leaves behind: some of the runs, for `merge_sweeps` to put together.

    Attributes:
        part: (i, n): the i-th of n, counted from 0.
        dataset: an `xarray.Dataset` with the runs of this part along "chain", the number of the chain of
            `key` whose noise a run has. Variables are those of `SweepResult`; the axes of the sweep, "seed",
            η, B, m and ratio are coordinates along the runs.
        theta: final parameters with a leading axis of runs, or None if not kept.
        seconds: wall-clock time, compilation included.
    """

    part: tuple[int, int]
    dataset: "xr.Dataset"
    theta: PyTree | None = None
    seconds: float = float("nan")

    def __repr__(self) -> str:
        is_empty = "diverged_at" not in self.dataset
        return (
            f"SweepPart(part={self.part}, {'no runs' if is_empty else summary(self.dataset, self.seconds)})"
        )

    def save(self, path: FilePath, *, overwrite: bool = False) -> Path:
        """Write it, θ included, as NetCDF (`.nc`) or Zarr (`.zarr`), for `merge_sweeps`.

        It is written and sealed as by `SweepResult.save`.

        Raises:
            ValueError: for another ending, or if there is something already and not `overwrite`.
            FileError: if it cannot be written; what was there is as it was.
            ImportError: without netCDF4, or Zarr.
        """
        return write_dataset(_with_theta(self), path, KIND, overwrite=overwrite)

    def __reduce__(self) -> Any:
        return _unpickled, (self.part, self.dataset, packed(self.theta), self.seconds)


def _unpickled(
    part: tuple[int, int], dataset: "xr.Dataset", theta: dict[str, Any], seconds: float
) -> SweepPart:
    return SweepPart(part, dataset, unpacked(theta), seconds)


def read_part(path: FilePath) -> SweepPart:
    """Read what `SweepPart.save` has written, to the last bit; nodes of θ as in `read_run`.

    Raises:
        ValueError: if there is no such file, or it ends in neither .nc nor .zarr.
        FileError: if it is damaged in any way, or was not written by `SweepPart.save`.
    """
    dataset = read_dataset(path, KIND)
    description, names = json.loads(dataset.attrs.pop(_THETA))
    theta = put_together(description, [dataset[name].values for name in names])
    left = dataset.drop_vars(names)
    return SweepPart(told_in(left)["part"], left, theta, float(left.attrs["seconds"]))


def told_in(dataset: "xr.Dataset") -> dict[str, Any]:
    """What the data set of a part says of the whole: see `part_dataset`."""
    told: dict[str, Any] = json.loads(dataset.attrs[TOLD])
    return {**told, "part": tuple(told["part"])}


def _with_theta(part: SweepPart) -> "xr.Dataset":
    """The data set with the arrays of θ among its variables."""
    description, leaves = taken_apart(part.theta)
    chain = told_in(part.dataset)["chain"]
    names: list[str] = []
    data: dict[str, Any] = {}
    for path, number in names_of(description, "theta"):
        names.append(free_dimension(path, {*map(str, part.dataset.variables), *data}))
        taken = {*map(str, part.dataset.variables), *data, *names}
        extra = [free_dimension(f"{path}_{axis}", taken) for axis in range(leaves[number].ndim - 1)]
        data[names[-1]] = ([chain, *extra], leaves[number])
    return part.dataset.assign(data).assign_attrs({_THETA: json.dumps([description, names])})


def part_dataset(
    told: dict[str, Any],
    chains: np.ndarray,
    samples: tuple[str, np.ndarray],
    variables: dict[str, np.ndarray],
    per_run: dict[str, np.ndarray],
    attributes: dict[str, Any],
) -> "xr.Dataset":
    """Put arrays whose leading axis is the run of the part onto named dimensions.

    Args:
        told: what `merge_sweeps` needs: `part`, the `config` of the sweep, its `axes` and `seeds`, the
            names of what belongs to a setting (`settings`), and what it was computed on (`made_on`).
        chains: number of each run.
        samples: name and values of the dimension of samples.
        variables: name → array `(runs, samples, …)`; or `(runs,)`.
        per_run: name → array `(runs,)`, or `(runs, samples)`.
        attributes: of the dataset.
    """
    import xarray as xr

    chain, dimension = free_dimension("chain", {*variables, *per_run}), samples[0]
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {chain: chains, dimension: samples[1]}
    for name, values in variables.items():
        extra = tuple(free_dimension(f"{name}_{number}", variables) for number in range(values.ndim - 2))
        data[name] = ((chain, dimension, *extra)[: values.ndim], values)
    for name, values in per_run.items():
        (data if values.ndim == 2 else coords)[name] = ((chain, dimension)[: values.ndim], values)
    told = {**told, "chain": chain, "samples": dimension}
    return xr.Dataset(data, coords, {**attributes, TOLD: json.dumps(told)})
