"""A `Result` as an `xarray.Dataset`, and back."""

import json
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sde_sgd._platform.files._structure import key_of, key_parts, made_of, names_of, put_together, taken_apart
from sde_sgd.processes._base import ChainState
from sde_sgd.simulation._provenance import created_by
from sde_sgd.simulation._recording import HistogramCounts, Moments
from sde_sgd.simulation._saved_process import facts, rebuilt, saved_process
from sde_sgd.simulation._sweep_result import free_dimension

if TYPE_CHECKING:
    import xarray as xr

    from sde_sgd.simulation._result import Result

TOLD = "sde_sgd_result"  # the attribute with what is no array
_TAKEN = ("step", "chain", "time", "learning_rate", "momentum", "diverged_at", "stopped_at")
_BEGINNINGS = ("theta", "state", "record.", "moments.", "histograms.")


class _Builder:
    """Puts arrays under names that are free."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self._dimensions: list[tuple[str, tuple[str, ...], list[str]]] = []

    def add(self, name: str, values: Any, *dims: str, attributes: dict[str, Any] | None = None) -> str:
        """One array whose first dimensions are `dims`; the others are named after it."""
        array = np.asarray(values)
        extra = [f"{name}_{number}" for number in range(array.ndim - len(dims))]
        self.data[name] = ([*dims[: array.ndim], *extra], array, attributes or {})
        return name

    def dataset(self, coordinates: dict[str, Any], attributes: dict[str, Any]) -> "xr.Dataset":
        import xarray as xr

        names = {*self.data, *coordinates}
        for name, (dims, array, told) in self.data.items():
            free = [free_dimension(dim, names) if dim.startswith(f"{name}_") else dim for dim in dims]
            self.data[name] = (free, array, told)
        return xr.Dataset(self.data, coordinates, attributes)


def to_dataset(result: "Result") -> "xr.Dataset":
    """All of a result but its process, of which there is the description."""
    build = _Builder()
    chains = len(result.diverged_at)
    process = saved_process(result.process, result.time)
    content: dict[str, Any] = {"steps": result.steps, "start": result.start, "seconds": result.seconds}
    content |= {"key": key_parts(result.key), "process": facts(process)}
    content["record"] = {
        name: build.add(_name(name), values, "step", "chain") for name, values in result.record.items()
    }
    for name in ("diverged_at", "stopped_at"):
        build.add(name, getattr(result, name), "chain")
    content["moments"] = {}
    for name, moments in result.moments.items():
        parts = {
            field: build.add(f"moments.{name}.{field}", getattr(moments, field), "chain")
            for field in ("mean_per_chain", "variance_per_chain", "alive")
        }
        content["moments"][name] = {"count": int(moments.count), **parts}
    content["histograms"] = {}
    for name, counted in result.histograms.items():
        fields: dict[str, Any] = {
            field: int(getattr(counted, field)) for field in ("below", "above", "not_a_number")
        }
        where = f"histograms.{name}"
        fields["edges"] = build.add(f"{where}.edges", counted.edges)
        fields["counts"] = build.add(f"{where}.counts", counted.counts, attributes=dict(fields))
        content["histograms"][name] = fields
    for name, tree in (("theta", result.state.theta), ("state", result.state.extra)):
        description, leaves = taken_apart(tree)
        variables = {}
        for path, number in names_of(description, name):
            dims = ("chain",) if leaves[number].shape[:1] == (chains,) else ()
            variables[str(number)] = build.add(path, leaves[number], *dims)
        content[name] = {"description": description, "variables": variables}
    content["chain_on_host"] = not isinstance(result.state.chain, jax.Array)
    for name in ("learning_rate", "momentum"):
        values = np.asarray(getattr(process.hyper, name))
        build.add(name, values, *(("chain",) if values.shape == (chains,) else ()))
    coordinates = {
        "step": ("step", np.asarray(result.record_steps)),
        "chain": ("chain", np.asarray(result.state.chain)),
        "time": (("step", "chain")[: np.ndim(process.times)], np.asarray(process.times)),
    }
    provenance = result.provenance
    attributes = {
        "created_by": created_by(provenance),
        "process": process.name,
        "problem": process.problem.name,  # type: ignore[attr-defined]
        "call": provenance["call"],
        "provenance": json.dumps(provenance),
        "steps": result.steps,
        "start": result.start,
        "seconds": result.seconds,
        TOLD: json.dumps(content),
    }
    return build.dataset(coordinates, attributes)


def from_dataset(dataset: "xr.Dataset") -> dict[str, Any]:
    """The fields of the result that a data set was made of."""
    content = json.loads(dataset.attrs[TOLD])

    def values(name: str) -> np.ndarray:
        return np.asarray(dataset[name].values)

    def tree(name: str) -> Any:
        told = content[name]
        leaves = [values(told["variables"][str(number)]) for number in range(len(told["variables"]))]
        return put_together(told["description"], leaves)

    chain = values("chain")
    state = {
        "theta": tree("theta"),
        "chain": chain if content["chain_on_host"] else jax.numpy.asarray(chain),
        "extra": tree("state"),
    }
    rates = {name: values(name) for name in ("learning_rate", "momentum")}
    return {
        "state": made_of(ChainState, state),
        "process": rebuilt(content["process"], rates, values("time")),
        "steps": content["steps"],
        "record_steps": values("step"),
        "record": {name: values(variable) for name, variable in content["record"].items()},
        "moments": {
            name: Moments(
                told["count"],
                values(told["mean_per_chain"]),
                values(told["variance_per_chain"]),
                values(told["alive"]),
            )
            for name, told in content["moments"].items()
        },
        "histograms": {
            name: HistogramCounts(
                values(told["edges"]),
                values(told["counts"]),
                told["below"],
                told["above"],
                told["not_a_number"],
            )
            for name, told in content["histograms"].items()
        },
        "diverged_at": values("diverged_at"),
        "stopped_at": values("stopped_at"),
        "seconds": content["seconds"],
        "key": key_of(content["key"]),
        "start": content["start"],
        "asked": None,
        "told": dataset.attrs["provenance"],
    }


def _name(name: str) -> str:
    return f"record.{name}" if name in _TAKEN or name.startswith(_BEGINNINGS) else name
