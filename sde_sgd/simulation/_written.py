"""Values as the Python that makes them, as far as there is such text."""

import functools
import inspect
import math
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform.files._structure import key_parts
from sde_sgd._platform.reading._fingerprint import fingerprint
from sde_sgd._samplings import SAMPLINGS
from sde_sgd.data._known_names import name_of
from sde_sgd.problems._empirical_risk import EmpiricalRisk

_MOST = 64  # entries of an array that are written out


class Writer:
    """Writes values as Python text, and keeps what could not be written.

    Args:
        known: objects that have a name in the text, and it.

    Attributes:
        missing: in words what is `...` in the text.
        imports: what the text needs.
    """

    def __init__(self, known: Sequence[tuple[Any, str]] = ()):
        self.known = list(known)
        self.missing: list[str] = []
        self.imports: set[str] = set()

    def of(self, value: Any, name: str) -> str:
        """The text of a value; `...` where there is none, and a line in `missing`."""
        for one, known in self.known:
            if value is one:
                return known
        text: str | None = self._plain(value, name)
        if text is None and isinstance(value, jax.Array | np.ndarray | np.generic):
            text = self._array(value)
        if text is None and callable(value) and (not isinstance(value, eqx.Module) or _is_method(value)):
            text = self._function(value, name)
        if text is None:
            text = self._made(value, name)
        if text is None:
            self.missing.append(f"{name}: {in_words(value)}")
            return "..."
        return text

    def arguments(self, given: Mapping[str, Any], prefix: str = "") -> str:
        """`name=value, …`."""
        return ", ".join(f"{name}={self.of(value, prefix + name)}" for name, value in given.items())

    def _plain(self, value: Any, name: str) -> str | None:
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        if type(value) in (type(None), bool, int, float, str, bytes):
            return repr(value)
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            inside = [self.of(entry, f"{name}[{number}]") for number, entry in enumerate(value)]
            if isinstance(value, list):
                return f"[{', '.join(inside)}]"
            return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
        if isinstance(value, dict | types.MappingProxyType) and type(value) in (dict, types.MappingProxyType):
            entries = [f"{key!r}: {self.of(entry, f'{name}[{key!r}]')}" for key, entry in value.items()]
            return f"{{{', '.join(entries)}}}"
        if type(value) is range:
            return repr(value)
        return None

    def _array(self, value: Any) -> str | None:
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            self.imports.add("import jax")
            return key_text(value)
        array = np.asarray(value)
        if array.size > _MOST or array.dtype.kind not in "biufU":
            return None
        return self._plain(array.tolist(), "")

    def _function(self, value: Any, name: str) -> str | None:
        if isinstance(value, functools.partial):
            self.imports.add("import functools")
            parts = [self.of(value.func, f"{name}.func")]
            parts += [self.of(entry, f"{name}.args[{number}]") for number, entry in enumerate(value.args)]
            if value.keywords:
                parts.append(self.arguments(value.keywords, f"{name}."))
            return f"functools.partial({', '.join(parts)})"
        holder = getattr(value, "__self__", None)
        for one, text in self.known:
            if holder is not None and holder is one:
                return f"{text}.{value.__func__.__name__}"
        return self._path(value)

    def _path(self, value: Any) -> str | None:
        """Where a function or class can be imported from."""
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not module or not qualname or module == "__main__" or "<" in qualname:
            return None
        parts = module.split(".")
        private = [number for number, part in enumerate(parts) if part.startswith("_")]
        public = parts[: private[0]] if private else parts
        for place in dict.fromkeys((parts[0], ".".join(public))):
            found: Any = sys.modules.get(place)
            for step in qualname.split("."):
                found = getattr(found, step, None)
            if found is value:
                ours = parts[0] == "sde_sgd"
                self.imports.add("import sde_sgd as ss" if ours else f"import {place}")
                return f"{place}.{qualname}".replace("sde_sgd", "ss", 1) if ours else f"{place}.{qualname}"
        return None

    def _made(self, value: Any, name: str) -> str | None:
        """The constructor's call, if calling it with what the object holds makes the same object."""
        if type(value).__name__ == "Result":  # which is told by where it ended; its class imports this file
            return None
        if isinstance(value, EmpiricalRisk):
            return self._network(value, name)
        path = self._path(type(value))
        module = type(value).__module__.partition(".")[0]
        if path is None or module not in ("sde_sgd", "diffrax"):
            return None
        given = _constructor_arguments(value)
        if given is None:
            return None
        return f"{path}({self.arguments(given, f'{name}.')})"

    def _network(self, value: Any, name: str) -> str | None:
        """A multi-layer perceptron on a data set, which is left to be given."""
        sizes = getattr(value.predict, "sizes", None)
        if type(value.predict).__name__ != "DenseNetwork" or not isinstance(sizes, tuple):
            return None
        given = {"hidden": sizes[1:-1], "activation": value.predict.activation}
        given |= {"loss": "cross_entropy", "l2": _short(value.l2), "gain": value.predict.gain}
        for loss in ("cross_entropy", "squared_error"):
            if _is_network(value, sizes[-1], {**given, "loss": loss}):
                data = f"a Dataset of N = {value.size}, {in_words(value.inputs)}"
                called = name_of(value.inputs, value.targets)
                self.missing.append(f"dataset: {data}" + (f", called {called!r}" if called else ""))
                self.imports.add("import sde_sgd as ss")
                return f"ss.problems.mlp(..., {self.arguments({**given, 'loss': loss}, f'{name}.')})"
        return None


def _is_network(value: Any, outputs: int, given: Mapping[str, Any]) -> bool:
    """Whether these arguments of `mlp` make this problem: tried on a few of its examples."""
    from sde_sgd.data import Dataset
    from sde_sgd.problems import mlp

    labelled = jnp.issubdtype(value.targets.dtype, jnp.integer)
    few = (value.inputs[:8], value.targets[:8])
    try:
        other = mlp(Dataset(*few, classes=outputs if labelled else None), **given)
        fields = set(other.__dataclass_fields__) - {
            "inputs",
            "targets",
            "test_inputs",
            "test_targets",
            "size",
        }
        return all(_is_same(getattr(other, field), getattr(value, field)) for field in fields)
    except Exception:  # noqa: BLE001 - whatever `mlp` has against these arguments
        return False


def _constructor_arguments(value: Any) -> dict[str, Any] | None:
    """With what the constructor makes this object, shortest first; None where it cannot be told."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    renamed: dict[str, Any] = {}
    free: list[str] = []
    signature = inspect.signature(type(value)).parameters
    # what has another name inside than as an argument, in order: the matrix of a quadratic is its `hessian`
    other = [field for field in getattr(value, "__dataclass_fields__", {}) if field not in signature]
    for name, parameter in signature.items():
        held = getattr(value, name, inspect.Parameter.empty)
        if held is inspect.Parameter.empty or getattr(held, "__self__", None) is value:
            if other and not free and name != "sampling":
                renamed[name] = _short(getattr(value, other[0]))
            elif parameter.default is inspect.Parameter.empty:
                return None
            free.append(name)
        else:
            short = _short(getattr(held, "function", held) if type(held).__name__ == "Function" else held)
            is_needed = parameter.default is inspect.Parameter.empty
            (required if is_needed else optional)[name] = short
    tries: list[dict[str, Any]] = [{}, optional, renamed, {**renamed, **optional}]
    if "sampling" in free:
        tries += [{**optional, "sampling": one} for one in SAMPLINGS]
    for chosen in tries:
        if _makes(type(value), {**required, **chosen}, value):
            kept = dict(chosen)
            if sum(leaf.size for leaf in jax.tree.leaves(value) if eqx.is_array(leaf)) < 10_000:
                for name in chosen:
                    fewer = {other: entry for other, entry in kept.items() if other != name}
                    kept = fewer if _makes(type(value), {**required, **fewer}, value) else kept
            return {**required, **kept}
    return None


def _makes(kind: Any, given: Mapping[str, Any], wanted: Any) -> bool:
    """Whether a constructor with these arguments makes the same object."""
    try:
        return _is_same(kind(**given), wanted)
    except Exception:  # noqa: BLE001 - whatever a constructor has against these arguments
        return False


def _is_same(one: Any, other: Any) -> bool:
    """Whether two objects are of the same nodes and numbers; large arrays must be the same object."""
    structure: Any = jax.tree.structure(one)
    if structure != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(
        a is b or (a.dtype == b.dtype and a.size < 10_000 and np.array_equal(np.asarray(a), np.asarray(b)))
        for a, b in pairs
    )


def _short(value: Any) -> Any:
    """Small arrays as the shortest numbers that make them."""
    is_array = isinstance(value, jax.Array | np.ndarray | np.generic)
    if not is_array or jnp.issubdtype(value.dtype, jax.dtypes.prng_key) or value.size > _MOST:
        return value
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array.tolist()
    numbers = [float(str(entry)) for entry in array.reshape(-1)]
    return np.asarray(numbers).reshape(array.shape).tolist()


def key_text(key: Any) -> str:
    """A key as the call that makes it."""
    parts = key_parts(key)
    assert parts is not None
    kind, words = parts
    default = kind == "threefry2x32"
    if len(np.shape(words)) == 1 and default and words[0] == 0:
        return f"jax.random.key({words[1]})"
    return f"jax.random.wrap_key_data(jax.numpy.array({words}, 'uint32'), impl={kind!r})"


def in_words(value: Any) -> str:
    """What a value is that cannot be written."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array {fingerprint(value, 'it')['it']}"
    if callable(value) and not isinstance(value, eqx.Module):
        return f"a function {fingerprint(value, 'it').get('it', type(value).__name__)}"
    if type(value).__name__ == "Result":
        return f"the Result that ended at step {getattr(value, 'steps', '?')}"
    return f"an object of class {type(value).__name__}"


def _is_method(value: Any) -> bool:
    return hasattr(value, "__self__") and hasattr(value, "__func__")
