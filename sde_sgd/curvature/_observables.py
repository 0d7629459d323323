"""Curvature as something to record during a run."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._eigenpairs import Eigenpairs, check_products, top_eigenpairs
from sde_sgd.curvature._estimates import Estimate
from sde_sgd.curvature._operators import check_matrix, check_subset, parameter_count, parameters_of
from sde_sgd.curvature._quadrature import SpectralDensity
from sde_sgd.problems._base import Problem
from sde_sgd.random import check_key


class Sharpness(Shown, eqx.Module):
    """The k largest eigenvalues of ∇∇L(θ), to record: `run(..., record={"λ": Sharpness(net)})`.

    The same start vector and the same examples are used at every θ, so that a curve in time is smooth.
    Hyperparameters are not part of it: a new η compiles nothing.

    Args:
        problem: the one that is trained, or another with the same parameters (other examples).
        k: how many; one gives a scalar, more an array of shape (k,).
        products: of Lanczos, as in `top_eigenpairs`.
        which, matrix: as in `top_eigenpairs`.
        subset: a number of examples to draw once, or their indices; by default all.
        key: draws the start vector and the subset; by default a fixed one.

    Raises:
        ValueError: if a value is out of range.
    """

    problem: Problem
    examples: Int[Array, " batch"] | None
    key_data: UInt32[Array, " words"]
    impl: Any = eqx.field(static=True)
    k: int = eqx.field(static=True)
    products: int = eqx.field(static=True)
    which: Literal["largest", "smallest", "magnitude"] = eqx.field(static=True)
    matrix: Literal["hessian", "gauss_newton", "covariance"] = eqx.field(static=True)

    def __init__(
        self,
        problem: Problem,
        k: int = 1,
        *,
        products: int | None = None,
        which: Literal["largest", "smallest", "magnitude"] = "largest",
        matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
        subset: Numbers | None = None,
        key: Key[Array, ""] | None = None,
    ):
        theta = parameters_of(problem)
        key = jax.random.key(0) if key is None else key
        check_key(key)
        check_matrix(problem, matrix)
        self.k, self.products = check_products(k, products, parameter_count(theta))
        self.problem, self.which, self.matrix = problem, which, matrix
        self.examples = check_subset(problem, subset, jax.random.fold_in(key, 1))
        self.key_data, self.impl = jax.random.key_data(key), jax.random.key_impl(key)
        # refused now rather than inside a run
        jax.eval_shape(self, theta)

    def __call__(self, theta: Theta) -> Float[Array, "..."]:
        values = top_eigenpairs(
            self.problem,
            theta,
            self.k,
            key=jax.random.wrap_key_data(self.key_data, impl=self.impl),
            products=self.products,
            which=self.which,
            matrix=self.matrix,
            subset=self.examples,
        ).values
        return values[0] if self.k == 1 else values


class Observable(Shown, eqx.Module):
    """Any estimate of this module, to record during a run.

        record = {"trace": Observable(trace, net, key=jax.random.key(0), samples=8)}

    What is kept is the value of an `Estimate`, the eigenvalues of `Eigenpairs`, the density of a
    `SpectralDensity` (give it a `grid`), or else what the function returns.

    Args:
        function: `function(problem, theta, *, key, **options)`.
        problem: the one that is trained, or another with the same parameters.
        key: the same random vectors are used at every θ.
        options: as the function takes them. A subset given as a number is drawn once.
    """

    problem: Problem
    options: dict[str, Any]
    key_data: UInt32[Array, " words"]
    function: Callable[..., Any] = eqx.field(static=True)
    impl: Any = eqx.field(static=True)

    def __init__(
        self, function: Callable[..., Any], problem: Problem, *, key: Key[Array, ""], **options: object
    ):
        if not callable(function):
            raise ValueError(f"function must be one such as curvature.trace, got {function!r}.")
        theta = parameters_of(problem)
        check_key(key)
        if "subset" in options:
            options["subset"] = check_subset(problem, options["subset"], jax.random.fold_in(key, 1))
        # arrays are leaves, what is not sets the program
        self.options = {name: _leaf(value) for name, value in options.items()}
        self.function, self.problem = function, problem
        self.key_data, self.impl = jax.random.key_data(key), jax.random.key_impl(key)
        jax.eval_shape(self, theta)

    def __call__(self, theta: Theta) -> Array:
        key = jax.random.wrap_key_data(self.key_data, impl=self.impl)
        found = self.function(self.problem, theta, key=key, **self.options)
        if isinstance(found, Estimate):
            return found.value
        if isinstance(found, Eigenpairs):
            return found.values
        if isinstance(found, SpectralDensity):
            return found.density
        result: Array = found
        return result


def _leaf(value: Any) -> Any:
    return jnp.asarray(value) if isinstance(value, np.ndarray | list | tuple) else value
