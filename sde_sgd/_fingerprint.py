"""What a run was set to, as text: to tell whether a checkpoint belongs to it."""

import functools
import inspect
import types
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

_LIBRARIES = {"builtins", "sde_sgd", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy", "flax"}


def fingerprint(value: Any, name: str) -> dict[str, str]:
    """Everything that sets a result, each under its own name: the path to it from `name`.

    Arrays are told apart by shape, dtype and a checksum of their bytes; functions by their name, a
    checksum of their code and what they have closed over.
    """
    found: dict[str, str] = {}
    _collect(value, name, found, frozenset())
    return found


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Lines that say what differs between two fingerprints."""
    missing = "not set"
    return [
        f"{name} is {here.get(name, missing)} here, {there.get(name, missing)} in the checkpoint"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]


def _collect(value: Any, name: str, found: dict[str, str], above: frozenset[int]) -> None:
    if id(value) in above:  # a function that refers to itself
        return
    inside = above | {id(value)}
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        found[name] = _array(value)
    elif isinstance(value, eqx.Module):
        found[name] = _class(type(value))
        for field in value.__dataclass_fields__:
            _collect(getattr(value, field, None), f"{name}.{field}", found, inside)
    elif isinstance(value, functools.partial):
        found[name] = "partial"
        _collect(value.func, f"{name}.func", found, inside)
        _collect(value.args, f"{name}.args", found, inside)
        _collect(value.keywords, f"{name}.keywords", found, inside)
    elif isinstance(value, Mapping):
        found[name] = f"{len(value)} entries"
        for key, entry in value.items():
            _collect(entry, f"{name}[{key!r}]", found, inside)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        found[name] = f"{len(value)} entries"
        for number, entry in enumerate(value):
            _collect(entry, f"{name}[{number}]", found, inside)
    elif callable(value):
        _collect_function(value, name, found, inside)
    elif isinstance(value, str | bytes | int | float | complex | set | frozenset | None | np.dtype):
        found[name] = _text(value)
    else:
        found[name] = type(value).__qualname__


def _collect_function(value: Any, name: str, found: dict[str, str], above: frozenset[int]) -> None:
    if isinstance(value, types.MethodType):
        _collect(value.__func__, name, found, above)
        _collect(value.__self__, f"{name}.self", found, above)
        return
    plain = inspect.unwrap(value)
    code = getattr(plain, "__code__", None)
    if code is None:
        found[name] = getattr(plain, "__qualname__", _class(type(plain)))
        if _is_foreign(type(plain)):  # an object with a __call__ of its own, and what it holds
            _collect(getattr(plain, "__dict__", None), f"{name}.attributes", found, above)
        return
    found[name] = plain.__qualname__
    found[name] += f" (code {_code_checksum(code):08x})"
    for variable, cell in zip(code.co_freevars, plain.__closure__ or (), strict=False):
        try:
            _collect(cell.cell_contents, f"{name}.{variable}", found, above)
        except ValueError:  # a cell that is still empty
            continue
    _collect(plain.__defaults__, f"{name}.defaults", found, above)
    _collect(plain.__kwdefaults__, f"{name}.keyword_defaults", found, above)


def _class(kind: type) -> str:
    """The name of a class, and for a user's own the code of its methods."""
    if not _is_foreign(kind):
        return kind.__qualname__
    total = 0
    for name, entry in sorted(vars(kind).items()):
        function = inspect.unwrap(entry) if callable(entry) else getattr(entry, "fget", None)
        if isinstance(function, types.FunctionType):
            total = zlib.crc32(f"{name} {_code_checksum(function.__code__)}".encode(), total)
    return f"{kind.__qualname__} (code {total:08x})"


def _is_foreign(kind: type) -> bool:
    """Whether a class is the user's own: those of libraries are told apart by their versions."""
    return kind.__module__.partition(".")[0] not in _LIBRARIES


def _text(constant: Any) -> str:
    """`repr`, but the same in every process: that of a set of strings follows their hashes."""
    if isinstance(constant, set | frozenset):
        return f"{{{', '.join(sorted(map(_text, constant)))}}}"
    if isinstance(constant, tuple):
        return f"({', '.join(map(_text, constant))})"
    return repr(constant)


def _code_checksum(code: types.CodeType) -> int:
    total = zlib.crc32(code.co_code)
    for constant in code.co_consts:
        nested = isinstance(constant, types.CodeType)
        text = str(_code_checksum(constant)) if nested else _text(constant)
        total = zlib.crc32(text.encode(), total)
    return zlib.crc32(" ".join(code.co_names).encode(), total)


def _array(value: Any) -> str:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return f"{jax.random.key_impl(value)} {np.asarray(jax.random.key_data(value)).tolist()}"
    array = np.asarray(value)
    if array.size <= 4:
        return f"{array.tolist()!r} ({array.dtype})"
    checksum = zlib.crc32(np.ascontiguousarray(array).tobytes())
    return f"{array.dtype}{list(array.shape)} with checksum {checksum:08x}"
