"""What a module shows of itself to `dir` and to whoever presses the tab key."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def public(namespace: Mapping[str, Any]) -> Callable[[], list[str]]:
    """A module's `__dir__`: the names it offers, without what it imports for itself.

        __dir__ = public(globals())

    Args:
        namespace: of the module.
    """
    package = "__path__" in namespace

    def names() -> list[str]:
        offered = (name for name, value in namespace.items() if not name.startswith("_") and mine(value))
        return sorted(offered)

    def mine(value: Any) -> bool:
        """Whether this is of a package and in it, was defined in a module, or is a constant."""
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if home is None:
            return True
        return str(home).partition(".")[0] == "sde_sgd" if package else home == namespace["__name__"]

    return names
