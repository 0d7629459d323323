"""Which parameters are meant: by a tree of flags, or by a rule on their paths."""

from typing import Any

import equinox as eqx
import jax
import numpy as np


def paths(tree: Any) -> list[str]:
    """The path of every leaf, such as "layers/0/bias"."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in found]


def selected(name: str, which: Any, theta: Any) -> tuple[bool, ...]:
    """One flag for each leaf of θ.

    Args:
        name: of the argument, for messages.
        which: a function of a leaf's path, or a tree of bools like θ; one bool may stand for a whole branch.
        theta: the parameters.

    Raises:
        ValueError: if it is neither, does not fit, or means no parameter at all.
    """
    known = paths(theta)
    if callable(which) and not isinstance(which, eqx.Module):
        flags: list[Any] = [which(path) for path in known]
    else:
        try:
            spread = jax.tree.map(lambda flag, under: jax.tree.map(lambda _: flag, under), which, theta)
            flags = jax.tree.leaves(spread)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must be a function of a path such as {known[0]!r}, or a tree of bools like theta, "
                f"which has {_listed(known)}: {str(error).splitlines()[0]}"
            ) from error
    wrong = [flag for flag in flags if not isinstance(flag, bool | np.bool_)]
    if wrong or len(flags) != len(known):
        raise ValueError(
            f"{name} must say True or False for each of {_listed(known)}, got "
            f"{f'{wrong[0]!r}' if wrong else f'{len(flags)} flags'}."
        )
    if not any(flags):
        raise ValueError(f"{name} must mean one parameter at least, but none of {_listed(known)}.")
    return tuple(bool(flag) for flag in flags)


def split(theta: Any, flags: tuple[bool, ...]) -> tuple[Any, Any]:
    """θ with the leaves that are flagged, and with the others; None stands in for what is left out."""
    leaves, structure = jax.tree.flatten(theta)
    pairs = list(zip(leaves, flags, strict=True))
    chosen = jax.tree.unflatten(structure, [leaf if flag else None for leaf, flag in pairs])
    return chosen, jax.tree.unflatten(structure, [None if flag else leaf for leaf, flag in pairs])


def _listed(known: list[str]) -> str:
    shown = ", ".join(repr(path) for path in known[:8])
    return f"{shown} and {len(known) - 8} more" if len(known) > 8 else shown
