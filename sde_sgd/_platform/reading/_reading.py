"""What a value is and what its functions read when they are called, as text under names."""

import builtins
import collections
import copyreg
import functools
import importlib
import importlib.util
import inspect
import logging
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

from sde_sgd._platform.reading import _reads
from sde_sgd._platform.reading._array_text import array_text, checksum, plain_text
from sde_sgd._platform.reading._origin import class_text, is_library_dataclass, is_own, told

_PLAIN = (str, bytes, int, float, complex, bool, types.NoneType, types.EllipsisType, types.NotImplementedType)
_PLAIN_TYPES = frozenset(_PLAIN)
_BUILTIN_FUNCTIONS = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
_NUMPY = (np.ndarray, np.memmap)  # others hold more than their numbers, such as a mask
_WRAPPERS = (type(jax.jit(lambda: None)), type(functools.cache(lambda: None)))
_STATELESS = (type(threading.Lock()), type(threading.RLock()), logging.Logger)
# they wrap a function and add nothing to what it does
_CHECKERS = ("jaxtyping", "beartype", "typeguard")
# of a class, but not what it does
_NOT_READ = ("_abc_impl", "__init_subclass__", "__class_getitem__")
# built-in functions by which code reaches what its text does not name
_HIDING = ("globals", "eval", "exec", "__import__")
_MANY = 64
# methods that give nothing back: a list that a function only appends to does not change what it does
_WRITABLE = (list, dict, set, collections.deque)
_WRITES = ("append", "appendleft", "extend", "insert", "add", "update", "clear")


class Argument:
    """In the place of an array that a compiled program is given when it is called."""


ARGUMENT = Argument()


class Reading:
    """Everything that was found, name by name.

    A function is its code, what it has closed over, its defaults, and the globals that its code loads,
    each by its value; functions and classes among these likewise. An object is its class and its state
    as `pickle` would have it. What belongs to a library is told by its name and version.

    Attributes:
        found: name → text, equal for equal values in every process.
        unseen: name → what lies there, where the value could not be looked into.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.unseen: dict[str, str] = {}
        self._first: dict[int, str] = {}  # where an object was met first
        self._open: set[int] = set()  # containers that are being read
        self._kept: list[Any] = []  # so that no number of an object is used twice

    def read(self, value: Any, name: str) -> None:
        """Read a value under a name."""
        kind: Any = type(value)
        if kind in _PLAIN_TYPES:
            self._put(name, plain_text(value))
        elif value is ARGUMENT:
            self._put(name, "an argument")
        else:
            _way(kind)(self, value, name)

    def _once(self, value: Any, name: str) -> None:
        """What may be met again: then it says where it was met first."""
        first = self._first.setdefault(id(value), name)
        if first != name:
            self._put(name, f"as {first}")
            return
        self._kept.append(value)
        kind: Any = type(value)
        _way_once(kind)(self, value, name)

    def _tracer(self, _: Any, name: str) -> None:
        self._miss(name, "a number that is being traced")

    def _text(self, value: Any, name: str) -> None:
        # the function of a signature is read for itself
        self._put(name, ", ".join(value.parameters) if isinstance(value, inspect.Signature) else str(value))

    def _put(self, name: str, text: str) -> None:
        while self.found.get(name, text) != text:
            name += "'"
        self.found[name] = text

    def _miss(self, name: str, what: str) -> None:
        self._put(name, what)
        self.unseen[name] = what

    def _array(self, value: Any, name: str) -> None:
        if isinstance(value, jax.Array):
            if value.is_deleted():
                self._miss(name, "an array that has been deleted")
            else:
                self._put(name, array_text(value))
        elif value.dtype.hasobject or value.dtype.kind == "T":  # its bytes are addresses
            self._put(name, f"{value.dtype}{list(value.shape)}")
            self.read(value.tolist(), f"{name}.entries")
        else:
            self._put(name, array_text(value))

    def _structure(self, value: Any, name: str) -> None:
        """The structure of a pytree, whose nodes may hold functions."""
        node = value.node_data()
        self._put(name, f"a tree of {value.num_leaves} leaves")
        if node is not None:
            self.read(node, f"{name}.node")
            for number, child in enumerate(value.children()):
                self.read(child, f"{name}[{number}]")

    def _container(self, value: Any, name: str) -> None:
        if id(value) in self._open:
            self._put(name, "what it lies in")
            return
        kind = "" if type(value).__module__ == "builtins" else f"{type(value).__qualname__} of "
        size = f"{kind}{len(value)} entries"
        if len(value) > _MANY and isinstance(value, list | tuple) and set(map(type, value)) <= _PLAIN_TYPES:
            self._put(name, f"{size} with checksum {checksum(repr(value).encode())}")
            return
        self._put(name, size)
        if kind and is_own(type(value).__module__):
            self._kind(type(value), f"{name}.class")
        self._open.add(id(value))
        self._kept.append(value)
        if isinstance(value, set | frozenset):
            self._put(name, f"{kind}{{{', '.join(sorted(map(self._whole, value)))}}}")
        elif isinstance(value, Mapping):
            for number, (key, entry) in enumerate(value.items()):
                if isinstance(key, _PLAIN):
                    self.read(entry, f"{name}[{key!r}]")
                else:
                    self.read(key, f"{name}.key {number}")
                    self.read(entry, f"{name}[key {number}]")
        else:
            for number, entry in enumerate(value):
                self.read(entry, f"{name}[{number}]")
        self._open.discard(id(value))

    def _whole(self, value: Any) -> str:
        """All of a value in one text, for the members of a set, which have no names."""
        if type(value) in _PLAIN_TYPES:
            return plain_text(value)
        apart = Reading()
        apart.read(value, "")
        self._kept.append(apart)
        for name, what in apart.unseen.items():
            self._miss(name, what)
        return repr(sorted(apart.found.items()))

    def _method(self, value: Any, name: str) -> None:
        self.read(value.__func__, name)
        self.read(value.__self__, f"{name}.self")

    def _built_in(self, value: Any, name: str) -> None:
        self._put(name, value.__qualname__)
        if not isinstance(getattr(value, "__self__", None), types.ModuleType | type | None):
            self.read(value.__self__, f"{name}.self")

    def _partial(self, value: Any, name: str) -> None:
        self._put(name, "partial")
        for part in ("func", "args", "keywords"):
            self.read(getattr(value, part), f"{name}.{part}")

    def _wrapped(self, value: Any, name: str) -> None:
        self.read(value.__wrapped__, name)

    def _function(self, value: types.FunctionType, name: str) -> None:
        code, module = value.__code__, value.__globals__.get("__name__")
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and (module or code.co_filename.lstrip("<@")).startswith(_CHECKERS):
            self.read(wrapped, name)
            return
        own, found = is_own(module), _reads.reads(code)
        self._put(name, f"{told(code.co_qualname, module)} (code {found.checksum})")
        if not own and "<locals>" not in code.co_qualname:  # it is as its version has it
            return
        cells = dict(zip(code.co_freevars, value.__closure__ or (), strict=True))
        for variable, cell in cells.items():
            try:
                content = cell.cell_contents
            except ValueError:  # a cell that is still empty
                continue
            chains = [chain for chain in found.cells if chain[0] == variable] or [(variable,)]
            self._followed(content, chains, f"{name}.{variable}")
        if value.__defaults__:
            self.read(value.__defaults__, f"{name}.defaults")
        if value.__kwdefaults__:
            self.read(value.__kwdefaults__, f"{name}.keyword_defaults")
        if own:
            self._globals(value, found, name)

    def _globals(self, value: types.FunctionType, found: _reads.Reads, name: str) -> None:
        here = value.__globals__
        chains: dict[str, list[_reads.Chain]] = {}
        for chain in found.globals:
            chains.setdefault(chain[0], []).append(chain)
        for variable, some in chains.items():
            if variable in here:
                self._followed(here[variable], some, f"{name}.{variable}")
            elif variable in _HIDING:
                self._miss(f"{name}.{variable}", f"what it looks up by {variable}() when it is called")
            elif not hasattr(builtins, variable):
                self._put(f"{name}.{variable}", "not set")
        for imported, level, taken in found.imports:
            self._imported(imported, level, taken, here, name)
        for attribute, entry in vars(value).items():
            if attribute != "__wrapped__":  # which the function has closed over
                self.read(entry, f"{name}.{attribute}")

    def _followed(self, value: Any, chains: list[_reads.Chain], name: str) -> None:
        """A value, of a module only what is looked up in it, and of what is only written to nothing."""
        if type(value) in _WRITABLE and all(chain[1:2] and chain[1] in _WRITES for chain in chains):
            self._put(name, "written to")
            return
        if not isinstance(value, types.ModuleType) or not is_own(value.__name__):
            self.read(value, name)
            return
        for _, *attributes in chains:
            at: Any = value
            here = name
            for attribute in attributes:
                if not isinstance(at, types.ModuleType):
                    break
                here = f"{here}.{attribute}"
                at = getattr(at, attribute, _UNSET)
            if at is _UNSET:
                self._put(here, "not set")
            elif here not in self.found:
                self.read(at, here)

    def _imported(self, module: str, level: int, taken: _reads.Chain, here: Any, name: str) -> None:
        """A module that a function of the user's imports when it is called."""
        try:
            whole = importlib.util.resolve_name("." * level + module, here.get("__package__"))
            if not is_own(whole):
                return
            at = importlib.import_module(whole)
        except Exception:  # noqa: BLE001 - it will say so itself if it comes to that
            self._put(f"{name}.{module}", "cannot be imported")
            return
        self._followed(at, [(module, each) for each in taken] or [(module,)], f"{name}.{module}")

    def _module(self, value: types.ModuleType, name: str) -> None:
        self._put(
            name, told("module", value.__name__) if not is_own(value.__name__) else f"module {value.__name__}"
        )
        if is_own(value.__name__):
            for attribute, entry in sorted(vars(value).items()):
                if not attribute.startswith("__"):
                    self.read(entry, f"{name}.{attribute}")

    def _kind(self, kind: type, name: str) -> None:
        """The class of an object under the object's name, and once what it does."""
        first = self._first.get(id(kind))
        if first is None and is_own(kind.__module__):
            self._first[id(kind)] = name
            self._kept.append(kind)
            self._class(kind, name)
        else:
            self._put(name, f"{class_text(kind)}{'' if first is None else f' as {first}'}")

    def _class(self, kind: type, name: str) -> None:
        self._put(name, class_text(kind))
        if not is_own(kind.__module__):
            return
        self._put(f"{name}.bases", ", ".join(class_text(base) for base in kind.__mro__[1:]))
        for base in kind.__mro__:
            if is_own(base.__module__):
                for attribute, entry in sorted(vars(base).items()):
                    self._attribute(attribute, entry, f"{name}.{base.__name__}.{attribute}")
        if is_own(type(kind).__module__):
            self._kind(type(kind), f"{name}.metaclass")

    def _attribute(self, attribute: str, entry: Any, name: str) -> None:
        """What a class has under a name."""
        if isinstance(entry, property | functools.cached_property | staticmethod | classmethod):
            for part in ("fget", "fset", "func", "__func__"):
                self.read(getattr(entry, part, None), name)
            return
        hidden = attribute in _NOT_READ or (attribute.startswith("__") and not callable(entry))
        if not hidden and not isinstance(entry, types.MemberDescriptorType | types.GetSetDescriptorType):
            self.read(entry, name)

    def _fields(self, value: Any, name: str) -> None:
        """An object that is what its fields are."""
        if "__func__" in type(value).__dataclass_fields__:
            self._method(value, name)
            return
        if type(value).__qualname__ == "_JitWrapper":
            self._wrapped(value, name)
            return
        self._kind(type(value), name)
        there = getattr(value, "__dict__", {})  # Equinox looks twice at an attribute that is asked for
        for field in type(value).__dataclass_fields__:
            entry = there.get(field)
            own = entry is not None and not isinstance(entry, types.MethodType)
            self.read(entry if own else getattr(value, field, None), f"{name}.{field}")

    def _object(self, value: Any, name: str) -> None:
        kind = type(value)
        if isinstance(value, _STATELESS):
            self._put(name, class_text(kind))
            return
        if is_library_dataclass(kind):  # beside its fields lies what its library does with it
            self._fields(value, name)
            return
        try:
            reducer = copyreg.dispatch_table.get(kind)
            made = value.__reduce_ex__(4) if reducer is None else reducer(value)
        except Exception:  # noqa: BLE001 - whatever it raises, it does not say what it holds
            if getattr(value, "__wrapped__", None) is not None:
                self._kind(kind, name)
                self.read(value.__wrapped__, f"{name}.wrapped")
            else:
                self._miss(name, f"an object of {class_text(kind)} that does not show what it holds")
            return
        self._kept.append(made)
        if isinstance(made, str):
            self._put(name, told(made, getattr(value, "__module__", None) or kind.__module__))
            return
        self._kind(kind, name)
        maker, args, *rest = made
        state, items, pairs = (*rest, None, None, None)[:3]
        if maker is copyreg.__newobj__ or maker is copyreg.__newobj_ex__:  # type: ignore[attr-defined]
            args = args[1:]
        elif maker is not kind:
            self.read(maker, f"{name}.maker")
        if args:
            self.read(args, f"{name}.arguments")
        self._state(state, kind, name)
        for listed, what in ((items, list), (pairs, dict)):
            if listed is not None:
                self.read(what(listed), f"{name}.entries")

    def _state(self, state: Any, kind: type, name: str) -> None:
        parts: tuple[Any, ...] = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if all(part is None or type(part) is dict for part in parts):
            for part in parts:
                for attribute, entry in (part or {}).items():
                    if not isinstance(getattr(kind, str(attribute), None), functools.cached_property):
                        self.read(entry, f"{name}.{attribute}")
        else:
            self.read(state, f"{name}.state")


_UNSET = object()
_Way = Callable[[Reading, Any, str], None]
_CONTAINERS = (dict, list, tuple, set, frozenset, types.MappingProxyType)
# of what may be met again, the first that fits
_WAYS: tuple[tuple[Any, _Way], ...] = (
    (types.FunctionType, Reading._function),
    (types.MethodType, Reading._method),
    (_BUILTIN_FUNCTIONS, Reading._built_in),
    (type, Reading._class),
    (types.ModuleType, Reading._module),
    (functools.partial, Reading._partial),
    (_WRAPPERS, Reading._wrapped),
    (jax.tree_util.PyTreeDef, Reading._structure),
    (eqx.Module, Reading._fields),
    (object, Reading._object),
)


@functools.lru_cache(maxsize=4096)
def _way(kind: type) -> _Way:
    """How the values of a type are read."""
    if issubclass(kind, Tracer):
        return Reading._tracer
    if issubclass(kind, jax.Array | np.generic) or kind in _NUMPY:
        return Reading._array
    if issubclass(kind, _CONTAINERS) and (kind.__module__ == "builtins" or hasattr(kind, "_fields")):
        return Reading._container
    return Reading._text if issubclass(kind, np.dtype | np.ufunc | inspect.Signature) else Reading._once


@functools.lru_cache(maxsize=4096)
def _way_once(kind: type) -> _Way:
    """How those are read that may be met again."""
    return next(read for kinds, read in _WAYS if issubclass(kind, kinds))
