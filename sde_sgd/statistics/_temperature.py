"""The temperature of an ensemble by equipartition: (d/2) T = ⟨(θ − θ*)·∇L⟩."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from sde_sgd import _checks
from sde_sgd._types import Numbers
from sde_sgd.statistics._hypothesis_test import HypothesisTest, plus_minus
from sde_sgd.statistics._moments import mean_error, student
from sde_sgd.statistics._samples import check_values

# Student's t of a mean as skewed as that of χ²₁ needs some
_FEWEST = 30


@dataclass(frozen=True, kw_only=True, repr=False)
class TemperatureTest(HypothesisTest):
    """A measured temperature against the expected one.

    `value` is the estimated T̂ and `standard_error` its error.

    Attributes:
        expected: T under the null (its mean where it differs from chain to chain).
        work: ⟨(θ − θ*)·∇L⟩, or what the identity has in its place, ± `work_error`.
        identity: the identity that was used, in symbols.
        dimensions: d, coordinates of one chain.
    """

    expected: float
    work: float
    work_error: float
    identity: str
    dimensions: int


def temperature_test(
    theta: PyTree,
    gradient: PyTree,
    temperature: Numbers,
    *,
    centre: PyTree | None = None,
    learning_rate: Numbers | None = None,
    laplacian: Numbers | None = None,
) -> TemperatureTest:
    r"""Is the temperature of a stationary ensemble T? By Student's t over independent chains.

    In any number of dimensions, and for any loss that confines and any fixed θ*, stationarity says

        ⟨(θ − θ*)·∇L⟩ = d T/2                              of the SDE (the default)
        ⟨(θ − θ*)·∇L⟩ = d T/2 + (η/2)⟨|∇L|²⟩               of SGD at its finite η: `learning_rate`
        ⟨|∇L|²⟩ = (T/2)⟨ΔL⟩                                of the Gibbs law: `laplacian`

    with L the whole loss, not a minibatch's. For isotropic noise, C = σ²I, T = ησ²/B. The first two
    hold for *any* gradient covariance with T = (η/(Bd)) ⟨Tr C(θ)⟩: Gibbs is not needed, only that
    E|θ − θ*|² no longer changes. So give T(θ_i) = η Tr C(θ_i)/(B d) for each chain where C depends on
    θ. The third needs isotropic, constant noise. Euler's method with step η dt has the second
    identity with ηdt for η. With momentum, T and η have the factor 1/(1 − m), and the second holds for
    θ − ηm v/(1 − m) in place of θ.

    Args:
        theta: θ of independent chains, an array or pytree with a leading axis of chains; a scalar
            parameter has shape `(n,)`.
        gradient: ∇L(θ), of the same shapes.
        temperature: T > 0, or one for each chain, shape `(n,)`.
        centre: θ*, the parameters of one chain, by default 0. Any fixed one is right, one near the
            mean has the smallest error. Not one for each chain: (θ − θ*)·∇L would then need the
            divergence of θ*(θ) too.
        learning_rate: η, for SGD itself or Euler's method with one substep, which are hotter than T
            by the second identity. A number or one for each chain.
        laplacian: ΔL(θ) = Tr ∇∇L, shape `(n,)`. For losses with several minima: there θ·∇L is far
            noisier than its mean, |∇L|² is not.

    Returns:
        `TemperatureTest`: T̂ ± standard error, p of "the temperature is T", two-sided.

    Raises:
        ValueError: for fewer than 30 chains, values that are not finite, or shapes that do not fit.

    Power at level .05 against T 5 % too high (L quadratic): one coordinate: .997 with 2·10⁴ chains; ten
    coordinates: .997 with 2000. The relative error of T̂ is √(2/(dn)) there, larger elsewhere.

    Level: with 100 chains of one coordinate the 5 % level is hit 6.6 % of the time (θL' is as skewed as
    χ²₁), with 1000 chains, or 100 of ten coordinates, 5 %.

    Source: equipartition, or Stein's identity for the Gibbs law; Yaida 2019 (arXiv:1810.00004) for the
    finite-η relation. The 30 chains are for Student's t: (θ − θ*)·∇L of one coordinate is as skewed
    as χ²₁.
    """
    moved, slopes = _moved(theta, centre), _leaves("gradient", gradient)
    if [leaf.shape for leaf in moved] != [leaf.shape for leaf in slopes]:
        raise ValueError(
            f"gradient must have the shapes of theta, {[leaf.shape for leaf in moved]}, "
            f"got {[leaf.shape for leaf in slopes]}."
        )
    n, dimensions = len(moved[0]), sum(leaf[0].size for leaf in moved)
    expected = _per_chain("temperature", temperature, n, above=0)
    squared = np.sum([(slope.reshape(n, -1) ** 2).sum(axis=1) for slope in slopes], axis=0)
    if laplacian is not None:
        if learning_rate is not None or centre is not None:
            raise ValueError("laplacian= is an identity of its own; leave centre and learning_rate out.")
        work = squared
        divergence = _per_chain("laplacian", laplacian, n)
        if divergence.mean() <= 0:
            raise ValueError(
                f"laplacian must have a mean > 0 in a stationary ensemble, got {divergence.mean():g}."
            )
        identity = "⟨|∇L|²⟩ = (T/2)⟨ΔL⟩"
    else:
        terms = [(leaf * slope).reshape(n, -1).sum(axis=1) for leaf, slope in zip(moved, slopes, strict=True)]
        work = np.sum(terms, axis=0)
        divergence = np.full(n, float(dimensions))
        identity = "⟨(θ − θ*)·∇L⟩ = d T/2"
        if learning_rate is not None:
            work = work - _per_chain("learning_rate", learning_rate, n, above=0) / 2 * squared
            identity += " + (η/2)⟨|∇L|²⟩"
    excess = work - expected * divergence / 2
    measured = 2 * float(work.mean() / divergence.mean())
    # the error of a ratio; where T differs from chain to chain it counts for itself only
    spread = work - (expected - expected.mean() + measured) * divergence / 2
    t, p = student(float(excess.mean()), mean_error(excess), n - 1)
    error = 2 * mean_error(spread) / float(divergence.mean())
    return TemperatureTest(
        name="temperature by equipartition",
        null=f"T = {expected.mean():.6g}, by {identity}",
        value=measured,
        standard_error=error,
        statistic=t,
        p=p,
        n=n,
        note=f"t = {t:.2f}; T̂/T = {plus_minus(measured / expected.mean(), error / expected.mean())}",
        expected=float(expected.mean()),
        work=float(work.mean()),
        work_error=mean_error(work),
        identity=identity,
        dimensions=dimensions,
    )


def _leaves(name: str, tree: Any) -> list[np.ndarray]:
    """Float64 arrays with one leading axis of at least 30 chains."""
    leaves = [_checks.real(name, leaf) for leaf in jax.tree.leaves(tree)]
    shapes = [leaf.shape for leaf in leaves]
    if not leaves or any(not shape or 0 in shape[1:] for shape in shapes) or len({s[0] for s in shapes}) != 1:
        raise ValueError(f"{name} must be arrays with one leading axis of chains, got shapes {shapes}.")
    for leaf in leaves:
        check_values(name, leaf, at_least=_FEWEST)
    return leaves


def _moved(theta: Any, centre: Any) -> list[np.ndarray]:
    """θ − θ*."""
    leaves = _leaves("theta", theta)
    if centre is None:
        return leaves
    at = [_checks.real("centre", leaf) for leaf in jax.tree.leaves(centre)]
    if [leaf.shape for leaf in at] != [leaf.shape[1:] for leaf in leaves]:
        raise ValueError(
            f"centre must have the shapes of one chain, {[leaf.shape[1:] for leaf in leaves]}, "
            f"got {[leaf.shape for leaf in at]}."
        )
    _checks.number("centre", np.concatenate([leaf.ravel() for leaf in at]))
    return [leaf - one for leaf, one in zip(leaves, at, strict=True)]


def _per_chain(name: str, value: Any, n: int, **bounds: Any) -> np.ndarray:
    """A number, or one for each chain, as an array of shape `(n,)`."""
    _checks.number(name, value, **bounds)
    array = np.asarray(value, np.float64)
    if array.shape not in ((), (n,)):
        raise ValueError(f"{name} must be a number or have shape ({n},), got shape {array.shape}.")
    return np.broadcast_to(array, (n,))
