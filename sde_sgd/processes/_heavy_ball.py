"""The update that SGD and its kin share: heavy-ball momentum, or none."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from sde_sgd import _checks, _tree
from sde_sgd.hyperparameters import Hyperparameters


def still(hyper: Hyperparameters, theta: PyTree[Float[Array, "chains ..."]]) -> Any:
    """The velocity v before the first step: zero, or None where there is no momentum."""
    return jax.tree.map(jnp.zeros_like, theta) if hyper.has_momentum else None


def heavy_ball(
    hyper: Hyperparameters, rate: Float[Array, "*chains"], theta: Any, gradient: Any, velocity: Any
) -> tuple[Any, Any]:
    """v ← m v + ĝ, θ ← θ − η v; returns θ and v. Without momentum v is ĝ itself and is not kept."""
    if velocity is not None:
        velocity = jax.tree.map(lambda v, g: _tree.column(hyper.momentum, v) * v + g, velocity, gradient)
    direction = gradient if velocity is None else velocity
    moved = jax.tree.map(lambda at, v: at - _tree.column(rate, at) * v, theta, direction)
    return moved, velocity


def refuse_momentum(hyper: Hyperparameters, name: str, way_out: str) -> None:
    """Refuse hyperparameters with momentum for a process that is defined without."""
    if hyper.has_momentum:
        known = _checks.is_concrete(hyper.momentum)
        got = f"{float(jnp.max(hyper.momentum)):g}" if known else "momentum"
        raise ValueError(f"momentum must be 0 for {name}, got {got}: it is derived for plain SGD. {way_out}")
