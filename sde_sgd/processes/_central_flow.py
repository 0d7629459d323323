"""The time average of full-batch gradient descent at the edge of stability, as a flow of its own."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform.reading import _traces
from sde_sgd.curvature._band import band_lanczos
from sde_sgd.curvature._eigenpairs import check_products
from sde_sgd.curvature._operators import check_theta, operator, parameter_count, parameters_of, precise
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.problems._models import DenseNetwork
from sde_sgd.processes._base import ChainState, RateSchedule, SingleProcess
from sde_sgd.processes._complementarity import complementary, pairs
from sde_sgd.processes._heavy_ball import refuse_momentum
from sde_sgd.random import Chains, Stream, Words, normal, stream

# Lanczos' method is begun anew so often where there are no directions yet
_FIRST = 8
# an eigenvalue that is not held back must stay below the edge by this share of it
_BELOW = 0.001
_KINKED = ("relu",)


class _Found(NamedTuple):
    """At one θ: the top of the spectrum, what the flow does there, and Σ = Uᵀ X U."""

    values: Float[Array, " b"]
    directions: Float[Array, "b d"]
    covariance: Float[Array, "k k"]
    velocity: Float[Array, " d"]


class CentralFlow(SingleProcess):
    r"""The central flow: where full-batch gradient descent is on average at the edge of stability.

        dθ/dt = −∇L(θ) − ½ ∇⟨∇∇L(θ), Σ⟩,    t = ηk,
        0 ⪯ Σ ⊥ (2/η) I − ∇∇L(θ) ⪰ 0        at all times

    Gradient descent whose curvature has grown to 2/η swings across the valley, and the swings lower the
    curvature. Σ is their covariance: as much as keeps each eigenvalue of ∇∇L from growing beyond 2/η, and
    none where all are below it, where this is gradient flow. It has two predictions beside its path: Σ, and
    the mean loss L + ½⟨∇∇L, Σ⟩, by `mean_loss`.

    A unit of the clock is one step of gradient descent, made in `substeps`. In each, with U the k foremost
    eigenvectors, g_ab = ∇(u_aᵀ ∇∇L u_b) and s Heun's slope of gradient flow, X = Uᵀ Σ U follows from

        0 ⪯ X ⊥ (2/η) I − Uᵀ∇∇L U + dt g·(s + ½ Σ X_cd g_cd) ⪰ 0,

    what is left of the room below the edge at the end of the substep, so that no error adds up. A path that
    begins far above the edge has no such flow; what is returned there is one jump to it.

    Kept in the state, as `result.state.extra`: "values" and "directions", the k + 1 foremost eigenpairs, and
    "covariance", X, at the begin of the last substep.

    A chain becomes NaN, so that `run` marks it as diverged, where its Hessian is not finite, where nothing
    lowers the curvature that is above the edge (on a quadratic), and where more than k eigenvalues come to
    the edge: the next one is watched, and must stay .1 % below.

    Args:
        problem: what is minimised; its loss must have three derivatives (tanh, not ReLU).
        hyper: η, one or one for each chain; B = N for problems of data, and of no account for others.
        k: how many directions may be at the edge, 1 <= k <= d.
        substeps: of one step, at least 2: Heun's slope along the edge is stable from there on.
        products: Hessian products in a substep, k + 1 <= products <= d; by default max(12, 4(k + 1)) or d.
            Each substep also takes two gradients and k(k + 1)/2 third derivatives.
        schedule: multiplies η, and moves the edge.

    Raises:
        ValueError: for momentum, B other than N, and values out of range.

    Source: Cohen, Damian, Talwalkar, Kolter, Lee 2024 (arXiv:2410.24206), section 3.
    """

    k: int = eqx.field(static=True)
    substeps: int = eqx.field(static=True)
    products: int = eqx.field(static=True)

    def __init__(
        self,
        problem: Problem,
        hyper: Hyperparameters,
        *,
        k: int = 1,
        substeps: int = 4,
        products: int | None = None,
        schedule: RateSchedule | None = None,
    ):
        super().__init__(problem, hyper, schedule)
        refuse_momentum(hyper, type(self).__name__, "Use momentum 0; with it the edge is at 2(1 + m)/η.")
        size = problem.dataset_size
        if size is not None and hyper.batch_size != size:
            raise ValueError(
                f"batch_size must be N = {size} for CentralFlow, got {hyper.batch_size}: it is the average "
                f"of full-batch gradient descent. Use Hyperparameters(learning_rate, {size})."
            )
        network = getattr(problem, "predict", None)
        if isinstance(network, DenseNetwork) and network.activation in _KINKED:
            raise ValueError(
                f"problem must have a loss with three derivatives for CentralFlow, got an mlp of "
                f"{network.activation!r}, whose slope jumps. Use activation='tanh', 'gelu' or 'softplus'."
            )
        count = parameter_count(parameters_of(problem))
        self.k, _ = check_products(k, None, count)
        band = min(self.k + 1, count)
        if products is None:
            products = min(count, max(12, 4 * band))
        _, self.products = check_products(band, products, count)
        self.substeps = _checks.integer("substeps", substeps, at_least=2, hint="4 is the default.")

    @property
    def against_divergence(self) -> str:
        return (
            f"More than k = {self.k} eigenvalues of the Hessian may have come to the edge: raise k. Or the "
            f"start lies above the edge: begin where some steps of gradient descent end, run(..., "
            f"initial=theta)."
        )

    @property
    def examples_per_gradient(self) -> None:
        return None

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        def nothing(theta: Any) -> dict[str, Array]:
            flat, _ = ravel_pytree(theta)
            band = min(self.k + 1, flat.size)
            rows = jnp.zeros((band, flat.size), flat.dtype)
            return {"values": rows[:, 0], "directions": rows, "covariance": rows[: self.k, : self.k] * 0}

        return ChainState(theta, chain, jax.vmap(nothing)(theta))

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        del key  # nothing is drawn: runs of any key are the same
        return {}

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        del words
        # one chain after the other: each has the numbers it has alone, and the memory of one
        rate = jnp.broadcast_to(self.rate(step), (_tree.chain_count(state.theta),))
        theta, extra = lax.map(lambda one: self._one(*one), (state.theta, state.extra, rate))
        return ChainState(theta, state.chain, extra)

    def mean_loss(self, theta: Any) -> Float[Array, ""]:
        """L + ½⟨∇∇L, Σ⟩ of one chain at θ: the loss of gradient descent, averaged over its swings.

        To record: `run(flow, record={"mean loss": flow.mean_loss})`, for one η without a schedule.

        NaN where the flow is not, as where more than k eigenvalues are at the edge or above it.

        Raises:
            ValueError: for parameters that are not the problem's, or one η for each chain.
        """
        theta = check_theta(self.problem, theta)
        found = self.at(theta)
        return self.problem.loss(theta) + 0.5 * jnp.sum(
            found["values"][: self.k] * jnp.diagonal(found["covariance"])
        )

    def at(self, theta: Any) -> dict[str, Array]:
        """What is kept in the state of one chain, "values", "directions" and "covariance", at θ.

        Raises:
            ValueError: for parameters that are not the problem's, or one η for each chain.
        """
        theta = check_theta(self.problem, theta)
        if self.hyper.learning_rate.ndim:
            raise ValueError(
                f"learning_rate must be one number here, got an array of shape "
                f"{self.hyper.learning_rate.shape}. Build a CentralFlow for the chain you mean."
            )
        found: dict[str, Array] = _at(self, theta)
        return found

    def _one(self, theta: Any, extra: Any, rate: Float[Array, ""]) -> tuple[Any, Any]:
        """One unit of the clock of one chain."""
        flat, unravel = ravel_pytree(theta)
        rate = rate.astype(flat.dtype)

        def small_step(number: Int[Array, ""], carry: tuple[Array, Any]) -> tuple[Array, Any]:
            del number
            at, extra = carry
            found = self._found(unravel(at), extra["directions"], rate)
            moved = at + rate / self.substeps * found.velocity
            return moved, {name: getattr(found, name) for name in extra}

        with precise():
            flat, extra = lax.fori_loop(0, self.substeps, small_step, (flat, extra))
        return unravel(flat), extra

    def _found(self, theta: Any, old: Float[Array, "b d"], rate: Float[Array, ""]) -> _Found:
        hessian = operator(self.problem, theta, "hessian")
        flat, build = hessian.origin, hessian.unravel
        words = stream(jax.random.key(0), Stream.DIRECTION)
        another = normal(words, jnp.zeros((1,), jnp.uint32), flat.shape, flat.dtype)[0]

        def closer(number: Int[Array, ""], found: tuple[Array, Array]) -> tuple[Array, Array]:
            del number
            return band_lanczos(hessian.product, found[1], self.products, another)[:2]

        turns = jnp.where(jnp.all(old == 0), _FIRST, 1)
        values, rows = lax.fori_loop(0, turns, closer, (old[:, 0], old))

        def gradient(at: Array) -> Array:
            result: Array = jax.grad(lambda at: self.problem.loss(build(at)))(at)
            return result

        def bend(both: tuple[Array, Array]) -> Array:
            """∇(uᵀ ∇∇L v)."""
            along, across = both
            result: Array = jax.jvp(lambda at: jax.jvp(gradient, (at,), (along,))[1], (flat,), (across,))[1]
            return result

        first, second, often = pairs(self.k)
        bends = lax.map(bend, (rows[first], rows[second]))
        # η may be 0 at the end of a schedule, where the edge is far off and nothing moves
        rate = jnp.maximum(rate, 1e-30)
        time, edge = rate / self.substeps, 2 / rate  # as Hyperparameters.edge_of_stability, without momentum
        slope = gradient(flat)
        slope = 0.5 * slope + 0.5 * gradient(flat - time * slope)
        drift = jnp.zeros((self.k, self.k), flat.dtype).at[first, second].set(time * (bends @ slope))
        room = drift + jnp.triu(drift, 1).T + jnp.diag(edge - values[: self.k])
        covariance, solved = complementary(room, time / 2 * (bends @ bends.T))
        push = (jnp.asarray(often, flat.dtype) * covariance[first, second]) @ bends
        good = solved & ~jnp.any(values[self.k :] > (1 - _BELOW) * edge)
        velocity = jnp.where(good, -(slope + 0.5 * push), jnp.nan)
        covariance = jnp.where(good, covariance, jnp.nan)
        return _Found(values, rows, covariance, velocity)


@_traces.jit
def _at(flow: CentralFlow, theta: Any) -> dict[str, Array]:
    flat, _ = ravel_pytree(theta)
    with precise():
        none = jnp.zeros((min(flow.k + 1, flat.size), flat.size), flat.dtype)
        found = flow._found(theta, none, flow.hyper.learning_rate.astype(flat.dtype))
    return {name: getattr(found, name) for name in ("values", "directions", "covariance")}
