"""The Langevin SDE as diffrax terms, for the whole ensemble and on the step clock.

The Brownian increment of a step is drawn ahead, keyed by the integer step, and handed to the term:
every step is solved from time zero, and no increment is looked up by a rounded float32 time.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from sde_sgd import _tree
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem


class LangevinTerm(diffrax.AbstractTerm[Any, Any]):
    r"""Drift and diffusion of dΘ = −η∇L dk + η (C(Θ)/B)^{1/2} dW_k in one product.

    The control is the pair (dk, dW) and `vf_prod` is all that the solvers need. For a finite sum
    it is −Σ_n w_n ∇ℓ_n with w_n = η dk/N − η (ξ_n − ξ̄)/√(B N): one backward pass.

    The other noises reshape the problem's own draw n = C^{1/2} ξ with a second normal vector z
    and keep its trace: "isotropic" turns n into a random direction, |n| z/|z|, of covariance
    (Tr C/d) I; "diagonal" flips the signs of its entries, of covariance diag(C).
    """

    problem: Problem
    rate: Float[Array, "*chains"]
    noise_scale: Float[Array, "*chains"]
    noise: str = eqx.field(static=True)
    increment: Any

    def vf(self, t: Any, y: Any, args: Any) -> Any:
        raise ValueError(
            "this solver asks for the drift and the diffusion matrix apart, which are never formed. "
            "Use diffrax.Euler(), or for additive noise Heun, Midpoint, Ralston, SEA, SRA1 or ShARK."
        )

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return t1 - t0, self.increment

    def prod(self, vf: Any, control: Any) -> Any:
        return self.vf(None, vf, control)

    def vf_prod(self, t: Any, y: Any, args: Any, control: Any) -> Any:
        dt, noise = control
        axes = (0, None if self.rate.ndim == 0 else 0, None if self.noise_scale.ndim == 0 else 0, 0)
        return jax.vmap(self._one, in_axes=axes)(y, -self.rate * dt, self.noise_scale, noise)

    def parts(self, t: Any, y: Any, args: Any, control: Any) -> tuple[Any, ...]:
        """What `vf_prod` adds up: drift and noise where they cost nothing apart, else their sum.

        The sum of two products is rounded in two ways, by which of them is fused with the addition. Added
        to `y` one after the other they leave no choice, whatever the size of the ensemble.
        """
        if not isinstance(self.problem, AnalyticProblem):
            return (self.vf_prod(t, y, args, control),)
        dt, noise = control
        kick = jax.vmap(self.problem.noise.scaled, in_axes=(0, None if self.noise_scale.ndim == 0 else 0, 0))
        return drift(self.problem, self.rate * dt, y), kick(y, self.noise_scale, noise["brownian"])

    def _one(self, theta: Any, drift: Array, diffusion: Array, noise: Any) -> Any:
        if self.noise == "none":
            return jax.tree.map(lambda g: drift * g, self.problem.gradient(theta))
        if self.noise == "problem":
            return self.problem.noisy_gradient(theta, drift, diffusion, noise["brownian"])
        own = self.problem.noisy_gradient(theta, jnp.zeros_like(drift), diffusion, noise["brownian"])
        if self.noise == "diagonal":
            kick = jax.tree.map(jnp.multiply, own, noise["direction"])
        else:
            # an entry of exactly 0 must not make the length of a one-dimensional z vanish
            z = jax.tree.map(lambda leaf: jnp.where(leaf == 0, 1e-6, leaf), noise["direction"])
            stretch = jnp.sqrt(_tree.squared_norm(own) / _tree.squared_norm(z))
            kick = jax.tree.map(lambda leaf: stretch * leaf, z)
        gradient = self.problem.gradient(theta)
        return jax.tree.map(lambda g, k: drift * g + k, gradient, kick)


def drift(
    problem: Problem, rate: Float[Array, "*chains"], theta: PyTree[Float[Array, "chains ..."]]
) -> PyTree[Float[Array, "chains ..."]]:
    """−η∇L for the whole ensemble."""
    gradient = jax.vmap(problem.gradient)(theta)
    return jax.tree.map(lambda leaf: -_tree.column(rate, leaf) * leaf, gradient)


class AdditiveNoiseTerm(diffrax.AbstractTerm[Any, Any]):
    """η (C/B)^{1/2} dW where C does not depend on θ, as solvers for additive noise want it.

    The vector field is the scale alone; `prod` applies the constant C^{1/2}.
    """

    problem: Any
    noise_scale: Float[Array, "*chains"]
    increment: diffrax.SpaceTimeLevyArea

    def vf(self, t: Any, y: Any, args: Any) -> Any:
        return self.noise_scale

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return self.increment if kwargs.get("use_levy") else self.increment.W

    def prod(self, vf: Any, control: Any) -> Any:
        def one(xi: Array) -> Array:
            result: Array = self.problem.noise.apply(jnp.zeros_like(xi), xi)
            return result

        noise = jax.vmap(one)(control)
        return _tree.column(vf, noise) * noise


def step_once(
    solver: diffrax.AbstractSolver[Any], terms: Any, theta: Any, dt: float, carried: Any | None = None
) -> Any:
    """One step of a diffrax solver over [0, dt]; returns the new parameters.

    `carried` is the solver's state from the step before, if it has one.
    """
    dtype = jnp.result_type(*jax.tree.leaves(theta))
    start, end = jnp.zeros((), dtype), jnp.full((), dt, dtype)
    solver_state = solver.init(terms, start, end, theta, None) if carried is None else carried
    moved, _, _, _, _ = solver.step(terms, start, end, theta, None, solver_state, made_jump=False)
    return moved
