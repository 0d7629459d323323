"""Whether it is a problem, and one of a user's own keeps the contract, by shapes: nothing is computed."""

from typing import Any

import jax
import jax.numpy as jnp

from sde_sgd import _tree
from sde_sgd._platform._shown import short
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import _given as given
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem

_USE_JAX = "Inside it use jax.numpy in place of math and numpy, and neither float(...) nor if on numbers."


def check_problem(problem: object, name: str = "problem") -> Problem:
    """The problem itself; refuse what is none.

    Raises:
        ValueError: with what it is, and how a problem is made of data.
    """
    if isinstance(problem, Dataset):
        raise ValueError(
            f"{name} must be a sde_sgd problem, got the data alone, {short(problem)}; make one of them, such "
            f"as problems.mlp(data)."
        )
    if not isinstance(problem, Problem):
        raise ValueError(
            f"{name} must be a sde_sgd problem such as problems.DoubleWell() or problems.mlp(data), got "
            f"{short(problem)}."
        )
    return problem


def check_contract(problem: Problem) -> None:
    """Refuse a user's problem whose methods fail or return what they should not.

    Raises:
        ValueError: with the method, what it returned and what it should.
    """
    if type(problem).__module__.partition(".")[0] == "sde_sgd":
        return
    name = type(problem).__name__
    theta = given.shapes_of(f"{name}.init(key)", problem.init, _tree.key_shape())
    leaves = jax.tree.leaves(theta)
    if not leaves or any(not jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise ValueError(
            f"{name}.init(key) must return floating-point parameters, got {_tree.dtypes(theta) or 'none'}; "
            f"for instance jnp.zeros(3)."
        )
    if isinstance(problem, FiniteSumProblem):
        _check_examples(problem, theta)
    loss = given.shapes_of(f"{name}.loss(theta)", problem.loss, theta, hint=_USE_JAX)
    if not _is_number(loss):
        raise ValueError(
            f"{name}.loss(theta) must return one real number, L(θ), got {_told(loss)} for theta of shapes "
            f"{_tree.describe(theta)}. Sum over the parameters, or take the mean over examples, with jnp.sum "
            f"or jnp.mean."
        )
    _check_like(f"{name}.gradient(theta)", theta, problem.gradient, theta)
    number = jax.ShapeDtypeStruct((), jnp.result_type(*leaves))
    try:
        noise = problem.driving_noise(theta)
        told = f"{name}.noisy_gradient(theta, drift, diffusion, noise)"
        _check_like(told, theta, problem.noisy_gradient, theta, number, number, noise)
    except (NotKnownError, NotImplementedError):  # a problem for SGD alone
        pass
    except ValueError as error:
        if not isinstance(error.__cause__, NotKnownError | NotImplementedError):
            raise


def _check_examples(problem: FiniteSumProblem, theta: Any) -> None:
    name, size = type(problem).__name__, problem.dataset_size
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            f"{name}.dataset_size must be an integer >= 1, the number of examples, got {size!r}."
        )
    for told, count, indices in (
        ("theta", size, ()),
        ("theta, indices", 3, (jax.ShapeDtypeStruct((3,), jnp.int32),)),
    ):
        losses = given.shapes_of(f"{name}.example_losses({told})", problem.example_losses, theta, *indices)
        if getattr(losses, "shape", None) != (count,):
            asked = "all examples" if not indices else "3 indices"
            raise ValueError(
                f"{name}.example_losses({told}) must return one number for each example, shape ({count},) "
                f"for {asked}, got {_told(losses)}."
            )


def _check_like(told: str, theta: Any, method: Any, *args: Any) -> None:
    """A method must return something of the structure, shapes and dtypes of θ."""
    found = given.shapes_of(told, method, *args, hint=_USE_JAX)
    same = _tree.same_structure(found, theta) and all(
        one.shape == other.shape and one.dtype == other.dtype
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(theta), strict=True)
    )
    if not same:
        raise ValueError(
            f"{told} must return what theta is like, {_told(theta)}, got {_told(found)}. "
            f"Without a gradient of your own it is jax.grad of loss."
        )


def _is_number(value: Any) -> bool:
    return getattr(value, "shape", None) == () and bool(jnp.issubdtype(value.dtype, jnp.floating))


def _told(tree: Any) -> str:
    return f"shapes {_tree.describe(tree)} ({_tree.dtypes(tree) or 'nothing'})"
