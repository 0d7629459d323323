"""What a result is the result of: what sets it, and the call that repeats it."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform import _chain_kernel
from sde_sgd._platform.reading import _traces
from sde_sgd._platform.reading._fingerprint import fingerprint
from sde_sgd._platform.reading._origin import versions
from sde_sgd.data._known_names import name_of
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.simulation._written import Writer, in_words

# what does not change the numbers
_OTHER = {"progress", "devices", "memory_limit", "checkpoint", "resume", "part", "throw"}
# a call: the arguments as text, what could not be written, what the text imports, and the block it was in
Told = tuple[str, tuple[str, ...], tuple[str, ...], str]
_DATA = ("inputs", "targets", "test_inputs", "test_targets")
# of a provenance, what is of the process
_PARTS = ("process", "hyperparameters", "problem", "data")
_MOST = 16  # entries of an array that are told one by one


def told_arguments(function: Callable[..., Any], asked: Mapping[str, Any]) -> Told:
    """The arguments of a call as text, what could not be written, what it imports, and the block around it.

    Args:
        function: `run` or `sweep`.
        asked: name → value, as given.
    """
    process, problem = asked.get("process"), asked.get("problem")
    known: list[tuple[Any, str]] = [(process, "process")] if isinstance(process, Process) else []
    of_process = process.problem if isinstance(process, Process) else problem
    known += [(of_process, "problem")] if isinstance(of_process, Problem) else []
    writer = Writer(known)
    kernel = _chain_kernel.asked()
    block = "" if kernel is None else str(kernel)
    try:
        given = {
            name: asked[name]
            for name, parameter in inspect.signature(function).parameters.items()
            if name in asked and name not in _OTHER and asked[name] is not parameter.default
        }
        parts = [writer.of(given.pop(name), name) for name in ("process", "problem") if name in given]
        text = ", ".join([*parts, *([writer.arguments(given)] if given else [])])
    except Exception as error:  # noqa: BLE001 - no result is lost over its description
        return "...", (f"the arguments: {type(error).__name__}",), (), block
    return text, tuple(writer.missing), tuple(sorted(writer.imports)), block


def call_text(function: str, arguments: Told, process: Any, problem: Any) -> str:
    """Python that repeats a call, with a comment for each thing that is `...` in it.

    Args:
        function: "run" or "sweep".
        arguments: what `told_arguments` gave.
        process: that was run, or None where the arguments have it.
        problem: of the process, or the one that was swept, or None where the arguments have it.
    """
    writer = Writer()
    lines = []
    if problem is not None:
        lines.append(f"problem = {writer.of(problem, 'problem')}")
        writer.known.append((problem, "problem"))
    if process is not None:
        lines.append(f"process = {writer.of(process, 'process')}")
    text, notes, needed, block = arguments
    call = f"result = ss.{function}({text})"
    lines += [f"with {block}:", f"    {call}"] if block else [call]
    imports = {"import jax", "import sde_sgd as ss", *writer.imports, *needed}
    comments = [f"# not written, give it again: {note}" for note in (*writer.missing, *notes)]
    settings = ["jax.config.update('jax_enable_x64', True)"] if _in_float64() else []
    return "\n".join([*sorted(imports), *settings, *comments, *lines])


def of_process(process: Process) -> dict[str, Any]:
    """Process and hyperparameters, in words and numbers."""
    hyper = process.hyper
    found: dict[str, Any] = {
        "process": described(process, leave_out=("problem", "hyper")),
        "hyperparameters": {
            "learning_rate": _value(hyper.learning_rate),
            "batch_size": hyper.batch_size,
            "momentum": _value(hyper.momentum),
        },
    }
    sampling = getattr(process, "sampling", None)
    factor = getattr(process, "population_factor", None)
    if sampling is None and factor is not None and process.problem.dataset_size is not None:
        found["process"]["sampling"] = "replacement" if float(factor) == 1 else "subset"
    return found


def differences(told: Mapping[str, Any], process: Process) -> list[str]:
    """What of a process and its problem is not as a provenance tells it: a line each, with both values.

    Functions are not looked at: their text may be another in another version of Python.
    """
    here = {**of_process(process), **of_problem(process.problem)}
    old, new = (dict(_flat({part: each.get(part) for part in _PARTS})) for each in (told, here))
    return [
        f"{name} is {new.get(name, 'not set')} here, {old.get(name, 'not set')} there"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name) and not any("code " in str(side.get(name)) for side in (old, new))
    ]


def _flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of everything in dictionaries in dictionaries."""
    if not isinstance(tree, Mapping):
        yield name, json.loads(json.dumps(tree))
        return
    for key, entry in tree.items():
        yield from _flat(entry, f"{name}.{key}" if name else str(key))


def of_problem(problem: Problem) -> dict[str, Any]:
    """A problem and its data, in words and numbers."""
    found: dict[str, Any] = {"problem": described(problem, leave_out=_DATA)}
    try:
        theta = _traces.parameter_shapes(problem.init)
        shapes = jax.tree_util.tree_leaves_with_path(theta)
        found["parameters"] = {
            jax.tree_util.keystr(path) or "theta": list(leaf.shape) for path, leaf in shapes
        }
    except Exception:  # noqa: BLE001, S110 - a start that is no function of a key alone
        pass
    if problem.dataset_size is not None:
        called = name_of(getattr(problem, "inputs", None), getattr(problem, "targets", None))
        data: dict[str, Any] = {"name": called, "N": problem.dataset_size}
        for name in _DATA:
            held = getattr(problem, name, None)
            if held is not None:
                data[name] = _value(held) if eqx.is_array(held) else fingerprint(held, name)
        targets = data_targets(problem)
        if targets is not None:
            data["classes"] = int(targets.max()) + 1
        found["data"] = data
    return found


def of_sweep(
    make: Callable[..., Any],
    process: Process,
    problems: Mapping[str, Problem],
    key: Any,
    sizes: tuple[int, int],
    asked: Told,
) -> dict[str, str]:
    """What a sweep is the result of, and the call that repeats it, as attributes of a data set.

    Args:
        make: what made the processes.
        process: that of the first point.
        problems: all of them by name; one without a name under "".
        key: of the sweep.
        sizes: numbers of points and of seeds.
        asked: what `told_arguments` gave.
    """
    told = {name: of_problem(problem) for name, problem in problems.items()}
    here, words = environment(), fingerprint(key, "key")["key"]
    call = call_text("sweep", asked, None, problems.get("") if len(problems) == 1 else None)
    provenance = {
        "made_by": "sweep",
        "process": of_process(process)["process"],
        **(told[""] if set(told) == {""} else {"problems": told}),
        "points": sizes[0],
        "seeds": sizes[1],
        "key": words,
        **here,
        "call": call,
    }
    return {
        "created_by": created_by(here),
        "key": words,
        "process": process_text(make),
        "call": call,
        "provenance": json.dumps(provenance),
    }


def created_by(told: Mapping[str, Any]) -> str:
    """The versions that matter most, in words."""
    return f"sde_sgd {told['versions']['sde_sgd']}, jax {told['versions']['jax']}"


def process_text(make: Callable[..., Any]) -> str:
    """What a sweep makes its processes with, such as `partial(Langevin, noise='isotropic')`."""
    writer = Writer()
    text = writer.of(make, "process").replace("functools.", "").replace("ss.", "")
    return f"{text}: {'; '.join(writer.missing)}" if writer.missing else text


def data_targets(problem: Problem) -> np.ndarray | None:
    """Class labels, if it has any."""
    targets = getattr(problem, "targets", None)
    if targets is None or not eqx.is_array(targets) or not jnp.issubdtype(targets.dtype, jnp.integer):
        return None
    return np.asarray(targets)


def described(value: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The class of an object and what its fields hold."""
    fields = {
        field.name: _value(getattr(value, field.name, None))
        for field in (dataclasses.fields(value) if dataclasses.is_dataclass(value) else ())
        if field.name not in leave_out
    }
    return {"class": type(value).__name__, **fields}


def environment(state: Any = None) -> dict[str, Any]:
    """Versions, on what kind of device it was computed, and whether JAX computes in float64.

    Args:
        state: whose arrays lie where they were computed, if they are not on the host.
    """
    arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
    device = min(arrays[0].devices(), key=lambda one: one.id) if arrays else jax.local_devices()[0]
    kind = device.device_kind
    return {
        "versions": versions(),
        "device": kind if kind == device.platform else f"{device.platform}: {kind}",
        "x64": _in_float64(),
    }


def _in_float64() -> bool:
    result: bool = jnp.result_type(float) == jnp.float64
    return result


def _value(value: Any) -> Any:
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        return fingerprint(value, "it")["it"] if is_key or value.size > _MOST else np.asarray(value).tolist()
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [_value(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(name): _value(entry) for name, entry in value.items()}
    if type(value).__name__ == "Function" and hasattr(value, "function"):
        value = value.function
    if hasattr(value, "__self__") and hasattr(value, "__func__"):
        return f"{type(value.__self__).__name__}.{value.__func__.__name__}"
    ours = type(value).__module__.startswith("sde_sgd")
    if isinstance(value, eqx.Module) and ours:
        return described(value)
    if callable(value) or isinstance(value, eqx.Module):
        text = Writer().of(value, "it")
        return in_words(value) if "..." in text else text
    return {name.removeprefix("it"): text for name, text in fingerprint(value, "it").items()}
