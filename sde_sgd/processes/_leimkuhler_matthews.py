"""The scheme of Leimkuhler and Matthews: one gradient a step, and a stationary law of second order."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
from jaxtyping import PyTree

from sde_sgd._types import ArrayLike, Theta


class LeimkuhlerMatthews(diffrax.AbstractItoSolver[Any]):
    r"""Euler's step, driven by the mean of two neighbouring Brownian increments:

        θ_{j+1} = θ_j − η' ∇L(θ_j) dt + η' (C/B)^{1/2} (ΔW_j + ΔW_{j+1})/2

    Each increment is used twice, so a step costs one gradient and one draw. For C = σ²I the
    stationary law has an error O(dt²), where Euler's has O(dt), and on a quadratic loss the stationary
    variance is that of the SDE, ησ²/(2Bh), at any stable step. Over short times it is of weak order 1 like
    Euler's: after n steps from a point the free diffusion has the variance of n − ½. For noise that
    is constant and not isotropic the covariance in the eigenbasis of the Hessian is off by
    −(η dt/4)(λ_i − λ_j)²/(λ_i + λ_j) of itself: its diagonal is right, the rest of first order.
    Not valid for noise that depends on θ, nor where η jumps from step to step: of two rates a and b in turn
    it makes the noise of (a + b)²/2 for a² + b². A change of a few per cent a step does no harm.

    As a diffrax solver its state is the increment before, and the control of its term, a `LangevinTerm`,
    the one after.

    Source: Leimkuhler, Matthews 2013 (arXiv:1203.5428). The error for anisotropic noise: derived here.
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., diffrax.LocalLinearInterpolation]] = (
        diffrax.LocalLinearInterpolation
    )

    def order(self, terms: Any) -> int:
        return 1

    def strong_order(self, terms: Any) -> float:
        return 0.5

    def init(self, terms: Any, t0: ArrayLike, t1: ArrayLike, y0: Theta, args: PyTree) -> PyTree:
        """The increment with which the scheme begins; `Langevin` hands its own to `step`."""
        return terms.contr(t0, t1)[1]

    def step(
        self,
        terms: Any,
        t0: ArrayLike,
        t1: ArrayLike,
        y0: Theta,
        args: PyTree,
        solver_state: PyTree,
        made_jump: ArrayLike,
    ) -> tuple[Theta, None, dict[str, PyTree], PyTree, diffrax.RESULTS]:
        del made_jump
        dt, following = terms.contr(t0, t1)
        # halves are exact, so that the sum is the same to the last bit however the compiler fuses it
        mean = jax.tree.map(lambda now, after: 0.5 * now + 0.5 * after, solver_state, following)
        y1 = y0
        for part in terms.parts(t0, y0, args, (dt, mean)):
            y1 = jax.tree.map(lambda at, move: at + move, y1, part)
        done: Any = diffrax.RESULTS.successful
        return y1, None, {"y0": y0, "y1": y1}, following, done

    def func(self, terms: Any, t0: ArrayLike, y0: Theta, args: PyTree) -> PyTree:
        return terms.vf(t0, y0, args)
