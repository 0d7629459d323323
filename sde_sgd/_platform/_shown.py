"""How objects print: their class and their numbers in few digits, arrays shortened, in a line or a few."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sde_sgd._platform._html import Panel, preformatted

# so many numbers, entries or characters are shown; of more the first and the last ones
_NUMBERS, _ENTRIES, _CHARACTERS = 6, 4, 80
_LARGE = 2**24  # bytes that are not fetched from an accelerator for a picture
_T = TypeVar("_T")


class Shown:
    """Prints as its class with its fields; those that are None are left out."""

    def __repr__(self) -> str:
        return described(self)

    def _panel(self) -> Panel:
        """What a notebook shows; classes with more to say than their fields have their own."""
        return Panel(type(self).__name__, rows=fields_in_words(self))

    def _repr_html_(self) -> str:
        """As HTML for a notebook: a table and small pictures, all words escaped, at most 60 kB."""
        try:
            return self._panel().html()
        except Exception:  # noqa: BLE001 - traced, deleted or replaced fields: what prints is shown
            return preformatted(repr(self))


def shown(kind: type[_T]) -> type[_T]:
    """Give a named tuple, which takes nothing from other classes, what `Shown` has for notebooks."""
    mixed: Any = kind
    mixed._panel = getattr(kind, "_panel", Shown._panel)
    mixed._repr_html_ = Shown._repr_html_
    return kind


def described(thing: Any, fields: Mapping[str, Any] | None = None) -> str:
    """`Class(field=value, …)`, of all fields or of those given; None is left out.

    Nothing is asked of the values: in a transformed program they may be tracers, deleted, or replaced by
    anything else, and are shown as what they are.
    """
    if fields is None:
        names = getattr(thing, "_fields", None) or [
            field.name for field in dataclasses.fields(thing) if field.repr
        ]
        fields = {name: getattr(thing, name, None) for name in names}
    inside = ", ".join(f"{name}={short(value)}" for name, value in fields.items() if value is not None)
    return f"{type(thing).__name__}({inside})"


def fields_in_words(thing: Any) -> dict[str, str]:
    """Name → value of all fields that a class shows; None is left out."""
    names = getattr(thing, "_fields", None) or [
        field.name for field in dataclasses.fields(thing) if field.repr
    ]
    values = {name: getattr(thing, name, None) for name in names}
    return {name: short(value) for name, value in values.items() if value is not None}


def few(array: Any, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Entries along the first axis, evenly spread and at most about so many, and their places.

    They come to the host without the others where an array is large and on an accelerator. None where they
    cannot be looked at.
    """
    if isinstance(array, np.ndarray):
        places = np.arange(0, len(array), max(1, -(-len(array) // most)))
        return places, array[places]
    if not isinstance(array, jax.Array) or isinstance(array, Tracer) or array.is_deleted():
        return None
    if not array.is_fully_addressable or not array.ndim:
        return None
    step = max(1, -(-len(array) // most))
    found = []
    for shard in array.addressable_shards:
        if shard.replica_id or any(part != slice(None) for part in shard.index[1:]):
            continue
        first = shard.index[0].start or 0
        begin = -first % step
        large = shard.data.nbytes > _LARGE and shard.device.platform != "cpu"
        data = shard.data[begin::step] if large else np.asarray(shard.data)[begin::step]
        found.append((first + begin + step * np.arange(len(data)), np.asarray(data)))
    places, entries = zip(*sorted(found, key=lambda one: int(one[0][0]) if len(one[0]) else 0), strict=True)
    return np.concatenate(places), np.concatenate(entries)


def short(value: Any) -> str:
    """Any value in a few words."""
    if isinstance(value, bool | int) or value is None:
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= _CHARACTERS else f"{value[: _CHARACTERS - 1]}…")
    if isinstance(value, float):
        return digits(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct):
        return _array(value)
    if isinstance(value, functools.partial):
        named = [f"{name}={short(given)}" for name, given in value.keywords.items()]
        return f"partial({', '.join([short(value.func), *map(short, value.args), *named])})"
    if isinstance(value, Mapping):
        entries = [f"{short(key)}: {short(entry)}" for key, entry in _some(list(value.items()))]
        return f"{{{_joined(entries, len(value))}}}"
    if isinstance(value, Sequence) and not hasattr(value, "_fields"):
        left, right = "()" if isinstance(value, tuple) else "[]"
        return f"{left}{_joined([short(entry) for entry in _some(list(value))], len(value))}{right}"
    if hasattr(value, "dims") and (lengths := getattr(value, "sizes", None)) is not None:  # of xarray
        sizes = ", ".join(f"{name}: {size}" for name, size in lengths.items())
        return f"{type(value).__name__}({sizes})"
    return _other(value)


def digits(value: Any) -> str:
    """A number in four digits."""
    return f"{float(value):.4g}"


def known(value: Any) -> np.ndarray | None:
    """The numbers of an array, or None where they cannot be looked at: traced, deleted or on other hosts."""
    if isinstance(value, Tracer | jax.ShapeDtypeStruct) or value is None:
        return None
    if isinstance(value, jax.Array):
        if value.is_deleted() or not value.is_fully_addressable:
            return None
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return None
    elif not isinstance(value, np.ndarray | np.generic | int | float | list | tuple):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" or array.dtype == jnp.bfloat16 else None


def parameters(tree: Any) -> str:
    """A pytree of parameters as one number, a few, or the shapes of its arrays."""
    leaves = jax.tree.leaves(tree)
    if len(leaves) == 1:
        return short(leaves[0])
    shapes = [_array(leaf) if hasattr(leaf, "shape") else short(leaf) for leaf in _some(leaves)]
    return f"{len(leaves)} arrays: {_joined(shapes, len(leaves))}"


def _array(value: Any) -> str:
    """`0.1`, `[0.1, 0.2]`, `[0, 1, …, 9] of 10`; type and shape where there are more axes or no numbers."""
    array = known(value)
    shape = tuple(value.shape)
    if array is None or (array.ndim > 1 and array.size > _NUMBERS) or array.size == 0:
        word = f"{value.dtype}{list(shape)}" if shape else f"{value.dtype}"
        if isinstance(value, Tracer):
            return f"{word} (traced)"
        gone = isinstance(value, jax.Array) and value.is_deleted()
        return f"{word} (deleted)" if gone else word
    if array.size <= _NUMBERS:
        return _nested(array)
    some = [_one(entry) for entry in (array[0], array[1], array[-1])]
    return f"[{some[0]}, {some[1]}, …, {some[2]}] of {array.size}"


def _nested(array: Any) -> str:
    return f"[{', '.join(map(_nested, array))}]" if array.ndim else _one(array)


def _one(entry: Any) -> str:
    return digits(entry) if np.asarray(entry).dtype.kind not in "biu" else str(np.asarray(entry).item())


def _other(value: Any) -> str:
    """A function by its name, anything else by its own words if they are few."""
    inner = getattr(value, "function", None)
    if type(value).__module__ == "sde_sgd._tree" and callable(inner):
        return short(inner)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return str(value.__qualname__).rpartition("<locals>.")[2]
    words = repr(value)
    few = isinstance(value, Shown) or (len(words) <= _CHARACTERS and " at 0x" not in words)
    return " ".join(words.split()) if few else type(value).__name__


def _some(entries: list[Any]) -> list[Any]:
    return entries if len(entries) <= _ENTRIES else entries[:_ENTRIES]


def _joined(shown: list[str], count: int) -> str:
    return ", ".join(shown) + (f", … {count} in all" if count > len(shown) else "")
