"""Whether the loss of one example is its own: what C(θ) and every sum over examples rest on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd import _checks
from sde_sgd._platform import _jaxpr

_ROWS = 4
# Relative rounding that is allowed for batches of another size, by the bytes of the coarsest float.
# Batches of one size go through one program and differ by nothing.
_ROUNDING = {8: 1e-6, 4: 1e-3, 2: 0.05, 1: 0.5}
_SAME_SIZE = 1e-2


def check_independent(
    predict: Callable[..., Any],
    losses: Callable[..., Any],
    init: Callable[..., Any],
    inputs: Any,
    targets: Any,
) -> None:
    """Refuse a prediction or a loss of one example that depends on the others beside it, or on its place.

    The first and the last of four examples are looked at: once among the other two, once among two that
    are far from any of the data in mean and spread, and once alone. This at the problem's own starting
    parameters and at some shaken from there: those of a start may hide a layer (a scale of 0).
    Nothing is looked at inside `jit`, where there are no numbers yet.

    Raises:
        ValueError: if it does.
    """
    if not all(_checks.is_concrete(leaf) for leaf in jax.tree.leaves((inputs, targets))):
        return
    start = jax.jit(lambda: init(jax.random.key(0)))  # what has arrays cannot be hashed
    theta = start()
    if not all(_checks.is_concrete(leaf) for leaf in jax.tree.leaves(theta)):
        return

    def outcome(at: Any, x: Any, y: Any) -> dict[str, Any]:
        outputs = predict(at, x)
        return {"predict": outputs, "loss": losses(outputs, y)}

    here, elsewhere = _batches((inputs, targets))
    with jax.default_matmul_precision("highest"):
        try:
            together = jax.jit(outcome).trace(theta, *here)
            alone = jax.jit(outcome).trace(theta, *_row(here, 0))
        except Exception as error:
            raise ValueError(
                f"predict must take any number of examples, but failed on {_ROWS} or on 1 of them: "
                f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
            ) from error
        program = together.jaxpr.jaxpr
        rounding = _ROUNDING[min(_jaxpr.coarsest_float(program), 8)]
        of_all, of_one = together.lower().compile(), alone.lower().compile()
        for at in (theta, _shaken(theta)):
            first, second = of_all(at, *here), of_all(at, *elsewhere)
            ends = (0, _ROWS - 1)
            beside = [_compare(first, second, number, number, rounding * _SAME_SIZE) for number in ends]
            alone_now = [of_one(at, *_row(here, number)) for number in ends]
            size = [
                _compare(first, one, number, 0, rounding) for number, one in zip(ends, alone_now, strict=True)
            ]
            for found, how in ((beside, "with the examples beside it"), (size, "with the size of its batch")):
                name = next(filter(None, found), None)
                if name is not None:
                    raise ValueError(_message(name, how, draws=_jaxpr.draws(program)))


def _message(name: str, how: str, *, draws: bool) -> str:
    if draws:
        way_out = (
            "It draws random numbers, as dropout does. The mean of a loss over random masks is no finite sum "
            "over examples, and neither its gradient nor its C(θ) is known: switch dropout off "
            "(deterministic=True, train=False, eqx.nn.inference_mode), or make masks part of the inputs."
        )
    elif name == "loss":
        way_out = (
            "It may use the outputs and the target of one example: divide by no batch size, compare with no "
            "other example, and leave the mean to the problem."
        )
    else:
        way_out = (
            "Batch normalisation does this: keep its running averages as constant state (state=..., with "
            "use_running_average=True or eqx.nn.inference_mode), or use GroupNorm or LayerNorm."
        )
    return (
        f"{name} must give each example what depends on this example alone, but it changes {how}: there is "
        f"no loss ℓ_n of one example, no L(θ) = (1/N) Σ ℓ_n(θ) and no C(θ). {way_out}"
    )


def _batches(data: Any) -> tuple[Any, Any]:
    """Four examples, and the first and the last of them beside two that are far from all."""
    generator = np.random.default_rng(0)
    leaves, structure = jax.tree.flatten(data)
    size = leaves[0].shape[0]
    rows = generator.permutation(size)[:_ROWS] if size >= _ROWS else np.arange(_ROWS) % size
    some = np.unique(np.concatenate([rows, generator.integers(size, size=min(size, 256))]))
    here, elsewhere = [], []
    for leaf in leaves:
        seen = np.asarray(leaf[some])
        own = seen[np.searchsorted(some, rows)]
        other = own.copy()
        other[1:-1] = _far(seen, other[1:-1].shape, generator)
        here.append(jnp.asarray(own))
        elsewhere.append(jnp.asarray(other))
    return jax.tree.unflatten(structure, here), jax.tree.unflatten(structure, elsewhere)


def _far(seen: np.ndarray, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Examples that may stand beside those seen: any integers of their range, or numbers far off."""
    if not jnp.issubdtype(seen.dtype, jnp.floating):
        low, high = int(seen.min()), int(seen.max())
        return generator.integers(low, high + 1, shape).astype(seen.dtype)
    numbers = seen.astype(np.float64)
    centre, spread = float(numbers.mean()), float(numbers.std()) or 1.0
    return (centre + spread * (2 + 3 * generator.standard_normal(shape))).astype(seen.dtype)


def _row(data: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number : number + 1], data)


def _shaken(theta: Any) -> Any:
    """Parameters near θ, none of them at 0."""
    pattern = np.random.default_rng(1).standard_normal(1009)

    def one(leaf: Any) -> Any:
        size = 0.3 * float(jnp.sqrt(jnp.mean(leaf * leaf))) if leaf.size else 0.0
        noise = (size or 0.1) * np.resize(pattern, leaf.shape)
        return leaf + jnp.asarray(noise, leaf.dtype)

    return jax.tree.map(one, theta)


def _compare(first: Any, second: Any, row: int, place: int, tolerance: float) -> str | None:
    """The name of what differs between example `row` of one outcome and `place` of the other."""
    for name in ("predict", "loss"):
        pairs = zip(jax.tree.leaves(first[name]), jax.tree.leaves(second[name]), strict=True)
        for one, other in pairs:
            if one.ndim and one.shape[0] == _ROWS and other.shape[0] > place:
                scale = _numbers(one)
                finite = np.abs(scale[np.isfinite(scale)])
                allowed = tolerance * finite.max(initial=0.0)
                if not np.allclose(scale[row], _numbers(other)[place], rtol=0, atol=allowed, equal_nan=True):
                    return name
    return None


def _numbers(leaf: Any) -> np.ndarray:
    return np.asarray(leaf).astype(np.float64)
