"""What is compiled and kept: found again by what functions read, not by which objects they are."""

import collections
import contextlib
import ctypes
import functools
import gc
import hashlib
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import numpy as np

from sde_sgd import _checks, _tree
from sde_sgd._platform import _settings
from sde_sgd._platform.reading import _array_text, _reads
from sde_sgd._platform.reading._reading import ARGUMENT, Reading

_T = TypeVar("_T")
# What is kept of compiled programs at most. One takes 1 to 8 MB.
_MOST = 64
_STORES: "weakref.WeakSet[Store[Any]]" = weakref.WeakSet()
_COMPILED: list[Any] = []


class Store(Generic[_T]):
    """What was compiled, the last used of it. Threads may share it."""

    def __init__(self) -> None:
        self._entries: collections.OrderedDict[Any, _T] = collections.OrderedDict()
        self._lock = threading.Lock()
        _STORES.add(self)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Any) -> _T | None:
        """What was kept under a key, which then counts as the last used."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def keep(self, key: Any, value: _T) -> None:
        """Keep it, and let go of what has not been used for longest if there is too much."""
        with self._lock:
            self._entries[key] = value
        self.cut(_MOST)

    def cut(self, most: int) -> None:
        """Let go of all but the `most` last used."""
        with self._lock:
            while len(self._entries) > most:
                self._entries.popitem(last=False)


def clear_cache(*, limit: int | None = None) -> None:
    """Let go of compiled programs, and of what was traced for them.

    Programs are kept, so that they are not compiled again: of `run` and `sweep` the 64 last used, of 1 to
    8 MB each, and those of `theory`, `curvature`, `validity` and `bayes`. They are told apart by what the
    functions in them read, so that a function built again with equal values finds the program of the first.
    What the user has jitted keeps the globals of its first trace, as everywhere in JAX, until
    `jax.clear_caches()`.

    Args:
        limit: from now on keep at most so many programs of `run` and `sweep`; 0 keeps none.

    Raises:
        ValueError: for a limit that is not an integer ≥ 0.
    """
    global _MOST  # noqa: PLW0603 - it is a setting of the process, as those of JAX are
    if limit is not None:
        _MOST = _checks.integer("limit", limit, at_least=0)
    for store in list(_STORES):
        store.cut(0)
    for compiled in _COMPILED:
        compiled.clear_cache()
    _array_text.forget()
    _reads.reads.cache_clear()
    _reads.checksum.cache_clear()
    gc.collect()  # a traced function and its trace hold each other
    with contextlib.suppress(OSError, AttributeError):  # else the C library keeps what was freed for later
        ctypes.CDLL(None).malloc_trim(0)


def is_given(leaf: Any) -> bool:
    """Whether a leaf is an array that `jit` hands over when it is called."""
    return eqx.is_array(leaf) or isinstance(leaf, np.ndarray | np.generic)


def without_arrays(tree: Any, given: Callable[[Any], bool] = is_given) -> Any:
    """A pytree with a placeholder for each leaf that is given to a program when it is called."""
    return jax.tree.map(lambda leaf: ARGUMENT if given(leaf) else leaf, tree)


def mark(tree: Any) -> bytes | None:
    """A digest of a pytree with all that its functions read.

    Two trees without arrays of equal marks are compiled to one program for arrays of one shape. None where
    something in it does not show what it holds: then nobody can say.
    """
    reading = Reading()
    try:
        reading.read(tree, "")
    except RecursionError:
        return None
    if reading.unseen:
        return None
    found = hashlib.blake2b(digest_size=20)
    for name, text in reading.found.items():
        found.update(f"{name}\0{text}\0".encode("utf-8", "surrogatepass"))
    return found.digest()


class _Rest:
    """Arguments without their arrays, equal to others of the same mark."""

    def __init__(self, tree: Any, told: bytes | None):
        self.tree, self.told = tree, told

    def __hash__(self) -> int:
        return hash(self.told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rest) and self.told == other.told


class _Static(eqx.Module):
    """What a function gives back beside arrays, on its way out of `jax.jit`."""

    value: Any = eqx.field(static=True)


class Jitted:
    """A function that is compiled once for arguments that are equal in all that is read of them."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)

        def traced(rest: _Rest, arrays: list[Any]) -> tuple[Any, _Static]:
            given = iter(arrays)
            args, kwargs = jax.tree.map(lambda leaf: next(given) if leaf is ARGUMENT else leaf, rest.tree)
            dynamic, static = eqx.partition(function(*args, **kwargs), eqx.is_array)
            return dynamic, _Static(static)

        traced.__name__ = traced.__qualname__ = function.__name__
        self._traced, self._compiled = traced, jax.jit(traced, static_argnums=0)
        _COMPILED.append(self._compiled)
        self._shapes: Store[Any] = Store()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rest, arrays = _told_apart((args, kwargs), is_given)
        if rest.told is None:  # nobody can say what it reads: nothing of it is used again
            dynamic, static = jax.jit(functools.partial(self._traced, rest))(arrays)
        else:
            dynamic, static = self._compiled(rest, arrays)
        return eqx.combine(dynamic, static.value)

    def shapes(self, *args: Any, **kwargs: Any) -> Any:
        """What a call would give, with shapes for arrays, and nothing computed.

        Arguments may hold shapes too. It is traced once, as what is compiled is.
        """
        rest, arrays = _told_apart((args, kwargs), _is_shaped)
        if rest.told is None:
            dynamic, static = jax.eval_shape(functools.partial(self._traced, rest), arrays)
            return eqx.combine(dynamic, static.value)
        # JAX remembers them too, but takes longer to find them than a call may cost
        given = tuple((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in arrays)
        key = (rest, given, *_settings.compiled_in().values())
        found = self._shapes.get(key)
        if found is None:
            dynamic, static = self._compiled.eval_shape(rest, arrays)
            found = eqx.combine(dynamic, static.value)
            self._shapes.keep(key, found)
        return found


def _told_apart(arguments: Any, given: Callable[[Any], bool]) -> tuple[_Rest, list[Any]]:
    """The arguments without what is given to the program, and that."""
    tree = without_arrays(arguments, given)
    return _Rest(tree, mark(tree)), [leaf for leaf in jax.tree.leaves(arguments) if given(leaf)]


def _is_shaped(leaf: Any) -> bool:
    return is_given(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def jit(function: Callable[..., Any]) -> Jitted:
    """`equinox.filter_jit`, traced again when what the functions in its arguments read has changed.

    Arguments are pytrees of arrays and of functions or objects, such as a problem. Those that are equal in
    all that is read find what was compiled for the first of them.
    """
    return Jitted(function)


def parameter_shapes(init: Callable[..., Any]) -> Any:
    """The shapes of the parameters that a problem's `init` draws for a key."""
    return _called.shapes(init, _tree.key_shape())


@jit
def _called(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)
