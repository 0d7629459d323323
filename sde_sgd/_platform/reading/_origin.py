"""Whose code it is: the user's own, which is looked into, or a library's, which its version tells."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import platform
import sys
from pathlib import Path
from types import ModuleType

# their versions are kept with every checkpoint
VERSIONED = ("sde_sgd", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")
_STANDARD = frozenset(sys.stdlib_module_names) | frozenset(sys.builtin_module_names)
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def versions(*others: str) -> dict[str, str]:
    """Of Python, of the libraries in `VERSIONED`, and of others, as far as they are there."""
    found = {"python": platform.python_version()}
    told = {name: version(name) for name in (*VERSIONED, *others)}
    return found | {name: one for name, one in told.items() if one is not None}


def version(name: str) -> str | None:
    """Of a library, "not installed" where it is imported from a folder, or None where it is not there."""
    try:
        return _installed(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed" if name in sys.modules else None


_installed = functools.cache(importlib.metadata.version)  # of this process: it reads files


def is_own(module: str | None) -> bool:
    """Whether a module is the user's own: not of Python, and not where packages are installed."""
    top = (module or "").partition(".")[0]
    if top == "__main__":
        return True
    if top in VERSIONED or top in _STANDARD:
        return False
    loaded = sys.modules.get(top)
    return _is_outside(_places(loaded) if loaded is not None else _places_to_load(top))


@functools.lru_cache(maxsize=1024)
def _places(module: ModuleType) -> tuple[str, ...]:
    return tuple(filter(None, [getattr(module, "__file__", None), *getattr(module, "__path__", ())]))


def _places_to_load(top: str) -> tuple[str, ...]:
    try:
        spec = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        spec = None
    found = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    return tuple(filter(None, found))


@functools.lru_cache(maxsize=1024)
def _is_outside(places: tuple[str, ...]) -> bool:
    return not any(_INSTALLED & set(Path(place).parts) for place in places)


def told(name: str, module: str | None) -> str:
    """A name with what says which one of that name: of a library its module and version.

    The versions of the libraries in `VERSIONED` are not part of it: every checkpoint has them.
    """
    if is_own(module) or not module:
        return name
    top = module.partition(".")[0]
    if top in ("sde_sgd", "builtins"):
        return name
    return f"{module}.{name}" if top in VERSIONED or top in _STANDARD else f"{module}.{name}{_version(top)}"


@functools.lru_cache(maxsize=1024)
def _version(top: str) -> str:
    told = getattr(sys.modules.get(top), "__version__", None)
    if not isinstance(told, str):
        names = importlib.metadata.packages_distributions().get(top, [top])
        try:
            told = importlib.metadata.version(names[0])
        except importlib.metadata.PackageNotFoundError:
            told = "without a version"
    return f" of {top} {told}"


def class_text(kind: type) -> str:
    """The name of a class, with what tells its library's version."""
    return told(kind.__qualname__, kind.__module__)


def is_library_dataclass(kind: type) -> bool:
    """Whether its fields were declared in a library."""
    return dataclasses.is_dataclass(kind) and any(
        "__dataclass_fields__" in vars(base) and not is_own(base.__module__) for base in kind.__mro__
    )
