"""What is minimised, and how its gradient fluctuates: the contract of every problem."""

import abc
from typing import Any

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _tree
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Theta
from sde_sgd.random import Chains, Words


class NotKnownError(ValueError):
    """An exact fact (minima, Hessian, covariance) was asked of a problem that does not know it."""


class Sampler(Shown, eqx.Module):
    """How the batches of an ensemble are drawn, step by step."""

    @abc.abstractmethod
    def init(self, chain: Chains) -> PyTree:
        """State before the first step (for shuffling: the order of the data; else nothing)."""

    @abc.abstractmethod
    def draw(
        self, state: PyTree, words: dict[str, Words], step: Array, chain: Chains, origin: Array | int = 0
    ) -> tuple[PyTree, PyTree]:
        """The batches of step `step`, one per chain on the leading axis, and the new state.

        Where there are epochs, the first of them begins at step `origin`.
        """


class FreshSampler(Sampler):
    """Every step draws its batches anew, and nothing is kept from one to the next."""

    def init(self, chain: Chains) -> None:
        del chain

    def draw(
        self, state: None, words: dict[str, Words], step: Array, chain: Chains, origin: Array | int = 0
    ) -> tuple[PyTree, None]:
        del origin
        return self.fresh(words, step, chain), state

    @abc.abstractmethod
    def fresh(self, words: dict[str, Words], step: Array, chain: Chains) -> PyTree:
        """The batches of step `step`, one per chain on the leading axis."""


class Problem(Shown, _tree.Hashed, eqx.Module):
    r"""A loss L(θ) and the law of its stochastic gradient.

    All methods act on the parameters of *one* chain; processes map them over the ensemble.
    With C(θ) the covariance of one example's gradient,

        E ĝ_B = ∇L,    Cov ĝ_B = C/B    (with replacement).

    The methods are functions like any others: `jax.jit(problem.loss)`, `jax.grad(problem.loss)`. For a
    problem of your own subclass `AnalyticProblem` (a formula and its noise: give `init`, `loss`, `noise`
    and `noise_law`) or `FiniteSumProblem` (a mean over examples: give `init`, `example_losses` and
    `dataset_size`), which have the rest.
    """

    def __new__(cls, *args: Any, **options: Any) -> Any:
        del args, options
        fields = getattr(cls, "__abstractvars__", ())  # Equinox's; where it has another name it speaks itself
        missing = ", ".join(sorted({*getattr(cls, "__abstractmethods__", ()), *fields}))
        if missing:
            raise TypeError(
                f"{cls.__name__} lacks {missing}. A loss in closed form with its noise subclasses "
                f"AnalyticProblem and gives init(key), loss(theta), noise and noise_law; a mean over "
                f"examples subclasses FiniteSumProblem and gives init(key), "
                f"example_losses(theta, indices=None) and dataset_size; the rest is then there. "
                f"Data with a model needs no class: EmpiricalRisk."
            )
        return super().__new__(cls)

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> Theta:
        """A starting point θ, drawn from the problem's own initial law."""

    @abc.abstractmethod
    def loss(self, theta: Theta) -> Float[Array, ""]:
        """The mean loss L(θ)."""

    @abc.abstractmethod
    def sampler(self, sampling: str, batch_size: int) -> Sampler:
        """How SGD draws its batches from this problem.

        Raises:
            ValueError: for a sampling this problem has no meaning for, or B > N without replacement.
        """

    @abc.abstractmethod
    def batch_gradient(self, theta: Theta, batch: PyTree) -> Theta:
        """ĝ(θ): the mean gradient over one batch drawn by `sampler`."""

    @abc.abstractmethod
    def driving_noise(self, theta: PyTree) -> PyTree[jax.ShapeDtypeStruct]:
        """Shapes of the standard Brownian motion ξ that drives this problem's SDE."""

    @abc.abstractmethod
    def noisy_gradient(
        self, theta: Theta, drift: Float[Array, ""], diffusion: Float[Array, ""], noise: PyTree
    ) -> Theta:
        """drift · ∇L(θ) + diffusion · C(θ)^{1/2} ξ, in one backward pass."""

    @abc.abstractmethod
    def noise_variance(self) -> Float[Array, ""]:
        """σ² where C(θ) = σ²I exactly and for every θ.

        Raises:
            NotKnownError: if the noise is not isotropic and constant.
        """

    @abc.abstractmethod
    def gradient_covariance(self, theta: Theta) -> Float[Array, "d d"]:
        """C(θ) as a dense matrix over the raveled parameters: for small problems and checks."""

    @property
    @abc.abstractmethod
    def dataset_size(self) -> int | None:
        """N, or None where examples are drawn from a population without end."""

    def gradient(self, theta: Theta) -> Theta:
        """∇L(θ)."""
        return jax.grad(self.loss)(theta)

    def hessian(self, theta: Theta) -> Float[Array, "d d"]:
        """∇∇L(θ) as a dense matrix over the raveled parameters: for small problems and checks.

        Symmetric to the last bit, and of products with all bits of float32, which a GPU may round.
        """
        flat, unravel = ravel_pytree(theta)
        with jax.default_matmul_precision("float32"):
            found: Float[Array, "d d"] = jax.hessian(lambda vector: self.loss(unravel(vector)))(flat)
        return (found + found.T) / 2

    def minima(self) -> tuple[Float[Array, "..."], ...]:
        """Where L is smallest, as far as this is known.

        Raises:
            NotKnownError: if it is not.
        """
        raise NotKnownError(
            f"{type(self).__name__} does not know its minima; pass the points you mean, "
            f"for instance as `start` or `bounds`."
        )
