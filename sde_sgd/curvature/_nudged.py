"""Steps that are shorter, or longer, along the sharpest directions than across them."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from sde_sgd import _checks
from sde_sgd._platform._shown import described, shown
from sde_sgd._types import Numbers, Scalar
from sde_sgd.curvature._eigenpairs import check_products, foremost
from sde_sgd.curvature._lanczos import lanczos, orthogonal_to
from sde_sgd.curvature._operators import (
    check_subset,
    check_theta,
    operator,
    parameter_count,
    parameters_of,
    precise,
)
from sde_sgd.problems._base import Problem
from sde_sgd.random import Stream, Words, at, check_key, normal, stream

Optimizer = Callable[..., optax.GradientTransformation]
# (number, θ, E, key) → E anew, whose directions are rows
_Search = Callable[[Any, Any, Array, Any], Array]
DIRECTIONS: tuple[str, ...] = ("sharpest", "random")
_MOST = 2**31 - 1  # steps are counted in int32
# sines of the angle that a last round may turn directions by at most, and the random part of where
# a round begins beside k eigenvectors: what is left of an angle falls with it (all seen on networks)
_TURNED, _TURNED_AT_FIRST = 0.5, 0.1
_RANDOM, _RANDOM_AGAIN = 1.0, 0.1
_ROUNDS = 5
# chains whose Hessian products an accelerator makes at once, as one leaves it idle, and examples of them all
_TOGETHER, _EXAMPLES = 64, 2**17


@shown
class Nudged(NamedTuple):
    """The state of an optimizer within `nudged`.

    Attributes:
        inner: its own state, which knows nothing of what its steps are scaled by.
        number: of steps so far.
        directions: Eᵀ, orthonormal rows over the raveled parameters; zeros before the first step.
        key: from which random directions are drawn; None without.
    """

    inner: Any
    number: Int[Array, ""]
    directions: Float[Array, "k d"]
    key: Key[Array, ""] | None

    def __repr__(self) -> str:
        return described(self)


def nudged(
    optimizer: Optimizer,
    problem: Problem,
    k: int = 5,
    *,
    every: int,
    factor: Scalar = 0.01,
    rest: Scalar = 1.0,
    directions: Literal["sharpest", "random"] = "sharpest",
    products: int | None = None,
    subset: Numbers | None = None,
    key: Key[Array, ""] | None = None,
) -> Callable[[Any], optax.GradientTransformationExtraArgs]:
    r"""An optimizer whose steps are scaled along the k sharpest directions: nudged SGD, for any optimizer.

        v' = v − E Eᵀv + γ E Eᵀv,    θ ← θ + v'

    with v the step that the optimizer would make and E the eigenvectors of the k largest eigenvalues of
    ∇∇L at the last multiple of `every` steps. Buffers of the optimizer hold v, not v'. With γ = 1 it is the
    optimizer itself to rounding, as XLA may fuse its step otherwise (on a CPU SGD, momentum and Adam were the
    same to the last bit); with k = d it is the optimizer with its steps times γ.

        steps = curvature.nudged(functools.partial(optax.sgd, momentum=0.9), net, every=80)
        run(SGD(net, hyper, optimizer=steps), ...)

    A refresh is `products` Hessian products by Lanczos' method, from the sum of the old eigenvectors and a
    random vector, inside the compiled program; the steps between have none. While what it finds is more than
    30° from what it began with (the first time 6°), it begins anew from there, at most five times: the first
    refresh takes three to five rounds, a few more take two, then it is one. A product costs two to three
    gradients of all examples, and an epoch one: `every` of several epochs, or a `subset` of the examples,
    makes it cheap. Chains that `vmap` runs side by side are refreshed one after the other on a CPU, elsewhere
    64 at once, or fewer where they have more than 2¹⁷ examples. A Hessian that is not finite makes the step
    NaN, so that the chain is marked as diverged.

    Controls: `directions="random"` draws E afresh at each refresh; γ > 1 makes longer steps along E; γ = 0
    takes these directions out of the step; γ = 1 with `rest` = 0 leaves nothing else.

    Args:
        optimizer: a function of the learning rate that returns an optax transformation, such as `optax.sgd`.
        problem: whose Hessian it is: the one that is trained, or another with the same parameters. A sweep
            over problems takes this one for all of them.
        k: how many directions, 1 <= k <= d.
        every: steps between two refreshes, the first of which is before the first step; in the paper an
            epoch.
        factor: γ >= 0, of the step along E.
        rest: of the step across E, >= 0; 1 but for the control.
        directions: "sharpest" or "random".
        products: of one round of a refresh, at most d; by default max(15, 3k) or d.
        subset: a number of examples to draw once, or their indices; by default all.
        key: draws the vectors (and the subset, if a number is given); by default a fixed one. Under `SGD` the
            run's key and the chain's number are mixed into it.

    Returns:
        A function of the learning rate, for `SGD(optimizer=...)`. Its state is `Nudged`.

    Raises:
        ValueError: if a value is out of range, or when `init` is given parameters that are not the problem's.

    Source: Jastrzębski, Kenton, Ballas, Fischer, Bengio, Storkey 2019, *On the relation between the sharpest
    directions of DNN loss and the SGD step length* (arXiv:1807.05031), section 5.
    """
    _check_optimizer(optimizer)
    size = parameter_count(parameters_of(problem))
    if products is None:
        products = min(size, max(15, 3 * _checks.integer("k", k, at_least=1)))
    k, products = check_products(k, products, size)
    every = _checks.integer("every", every, at_least=1, at_most=_MOST, hint="1 refreshes at every step.")
    along, across = (
        float(_checks.scalar(*pair, at_least=0)) for pair in (("factor", factor), ("rest", rest))
    )
    if along == across == 0:
        raise ValueError("factor and rest must not both be 0, or nothing moves; rest is 1 but for a control.")
    key = jax.random.key(0) if key is None else key
    check_key(key)
    examples = check_subset(problem, subset, jax.random.fold_in(key, 1))
    drawn = _checks.choice("directions", directions, DIRECTIONS) == "random"
    words = stream(key, Stream.DIRECTION)
    search = _random if drawn else _sharpest(problem, examples, products, words)
    size_of_product = (problem.dataset_size or 1) if examples is None else len(examples)
    refresh = _refresh(search, every, max(1, min(_TOGETHER, _EXAMPLES // size_of_product)))

    def made(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
        base = optax.with_extra_args_support(optimizer(learning_rate))

        def init(params: Any) -> Nudged:
            check_theta(problem, params, "params")
            none = jnp.zeros((k, size), ravel_pytree(params)[0].dtype)
            return Nudged(base.init(params), jnp.zeros((), jnp.int32), none, key if drawn else None)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Nudged]:
            if params is None:
                raise ValueError("params must be given to the update of nudged: the Hessian is taken there.")
            step, inner = base.update(updates, state.inner, params, **extra)
            found = refresh(state.number, params, state.directions, state.key)
            scaled = _scaled(step, found, along, across)
            return scaled, Nudged(inner, state.number + 1, found, state.key)

        return optax.GradientTransformationExtraArgs(init, update)

    # what is printed of a process with it
    settings = f"k={k}, every={every}, factor={along:g}, rest={across:g}, directions={directions!r}"
    made.__qualname__ = f"nudged({settings})"
    return made


def _scaled(step: Any, directions: Float[Array, "k d"], along: float, across: float) -> Any:
    """across · v + (along − across) E Eᵀv."""
    if along == across == 1:
        return step  # a product with 0 would round the step before it is added to θ
    v, unravel = ravel_pytree(step)
    with precise():
        return unravel(across * v + (along - across) * ((directions @ v) @ directions))


def _refresh(
    search: _Search, every: int, at_once: int
) -> Callable[[Int[Array, ""], Any, Any, Key[Array, ""]], Any]:
    """(number, θ, E, key) → E, searched anew where it is due.

    Under `vmap` a `cond` on a number of each chain does both of its branches at every step; here one on
    whether any chain is due goes around all chains, one by one or together.
    """

    def anew(number: Any, theta: Any, old: Any, key: Any) -> Any:
        with precise():
            return search(number, theta, old, key)

    def kept(number: Any, theta: Any, old: Any, key: Any) -> Any:
        del number, theta, key
        return old

    def one(number: Any, theta: Any, old: Any, key: Any) -> Any:
        return lax.cond(number % every == 0, anew, kept, number, theta, old, key)

    refresh = jax.custom_batching.custom_vmap(one)

    @refresh.def_vmap
    def _(chains: int, mapped: Any, *given: Any) -> Any:
        def whole(leaf: Any, has: bool) -> Any:
            return leaf if has else jnp.broadcast_to(leaf, (chains, *leaf.shape))

        def each(*ensemble: Any) -> Any:
            return lax.platform_dependent(
                *ensemble,
                cpu=functools.partial(one_by_one, one),
                default=functools.partial(together, one, at_once),
            )

        number, *others = jax.tree.map(whole, given, tuple(mapped))
        found = lax.cond(jnp.any(number % every == 0), each, kept, number, *others)
        return found, jax.tree.map(lambda _: True, found)

    return refresh


def one_by_one(function: Callable[..., Any], *ensemble: Any) -> Any:
    """A function of one chain, of each: a core is busy with one, and its memory is that of one."""
    return lax.map(lambda chain: function(*chain), ensemble)


def together(function: Callable[..., Any], at_once: int, *ensemble: Any) -> Any:
    """A function of one chain, of several at once: a `cond` on a chain does both of its branches."""
    return lax.map(lambda chain: function(*chain), ensemble, batch_size=at_once)


def _sharpest(
    problem: Problem, examples: Int[Array, " batch"] | None, products: int, words: Words
) -> _Search:
    """By Lanczos' method from the sum of the old directions, again from what it finds while they turn."""

    def search(number: Any, theta: Any, old: Float[Array, "k d"], key: None) -> Float[Array, "k d"]:
        del key
        made = operator(problem, theta, "hessian", examples)
        shape, dtype = made.origin.shape, made.origin.dtype

        def closer(carry: tuple[Int[Array, ""], Array, Array]) -> tuple[Int[Array, ""], Array, Array]:
            turn, rows, _ = carry
            noise, another = normal(at(words, number, turn), jnp.arange(2, dtype=jnp.uint32), shape, dtype)
            part = jnp.where(turn == 0, _RANDOM, _RANDOM_AGAIN).astype(dtype)
            start = jnp.sum(rows, axis=0) + part * noise / jnp.linalg.norm(noise)
            # of one parameter both are ±1: what is left of their sum may be nothing but rounding, which a
            # program that computes it twice may do differently
            start = jnp.where(jnp.linalg.norm(start) > part / 2, start, noise)
            _, found, _ = foremost(lanczos(made.product, start, products, another), len(rows), "largest")
            # the sum of the squared sines of the angles between both spaces; k at the first, from zeros
            return turn + 1, found, len(rows) - jnp.sum((found @ rows.T) ** 2)

        def far(carry: tuple[Int[Array, ""], Array, Array]) -> Array:
            turn, _, turned = carry
            return (turn < _ROUNDS) & (turned > jnp.where(number == 0, _TURNED_AT_FIRST, _TURNED) ** 2)

        _, found, _ = lax.while_loop(far, closer, (jnp.int32(0), old, jnp.full((), jnp.inf, dtype)))
        return found

    return search


def _random(number: Any, theta: Any, old: Float[Array, "k d"], key: Key[Array, ""]) -> Float[Array, "k d"]:
    """Orthonormal rows, by Gram's and Schmidt's method, twice."""
    del theta
    drawn = jax.random.normal(jax.random.fold_in(key, number), old.shape, old.dtype)

    def add(row: Int[Array, ""], basis: Array) -> Array:
        vector = drawn[row]
        for _ in range(2):
            vector = orthogonal_to(basis, vector)
            vector = vector / jnp.linalg.norm(vector)
        return basis.at[row].set(vector)

    basis: Array = lax.fori_loop(0, len(old), add, jnp.zeros_like(old))
    return basis


def _check_optimizer(optimizer: Any) -> None:
    if not callable(optimizer) or isinstance(optimizer, tuple):
        raise ValueError(
            f"optimizer must be a function of the learning rate such as optax.sgd, got "
            f"{_checks.short(optimizer)}; pass optax.sgd, not optax.sgd(0.1): the learning rate comes from "
            f"hyper, one for each chain."
        )
