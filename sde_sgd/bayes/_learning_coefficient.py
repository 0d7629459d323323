"""The local learning coefficient by Langevin dynamics that a spring holds near a minimum."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Sampling
from sde_sgd.bayes._energy import Energy
from sde_sgd.bayes._estimate import LearningCoefficient, averages
from sde_sgd.bayes._localised import Heated, Localised
from sde_sgd.bayes._temper import inverse_temperature_of, samples_of
from sde_sgd.curvature._operators import check_theta
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.problems._contract import check_contract, check_problem
from sde_sgd.processes._base import Process
from sde_sgd.processes._langevin import Langevin
from sde_sgd.processes._white_noise import SGLD
from sde_sgd.random import check_key
from sde_sgd.simulation._result import Result
from sde_sgd.simulation._run import run

_OPTIONS = ("devices", "chunk", "memory_limit", "progress", "checkpoint", "resume")


def local_learning_coefficient(
    problem: Problem,
    at: PyTree,
    *,
    key: Key[Array, ""],
    learning_rate: float,
    steps: int,
    burn_in: int | None = None,
    chains: int = 64,
    every: int = 10,
    samples: int | None = None,
    inverse_temperature: float | None = None,
    localisation: float = 1.0,
    batch_size: int | None = None,
    sampling: Sampling = "replacement",
    **options: Any,
) -> LearningCoefficient:
    r"""How fast the volume of low loss shrinks around a minimum θ*: d/2 where it is regular, less where not.

        λ̂(θ*) = nβ (⟨L⟩ − L(θ*)),    θ ~ exp(−nβ L(θ) − (γ/2)|θ − θ*|²),    β = 1/ln n

    The law is Gibbs exp(−2L_γ/T) of L_γ = L + γ|θ − θ*|²/(2nβ) at T = 2/(nβ). All chains start at θ*.

    - `batch_size=None`: every step takes the full gradient, by `Langevin` with the scheme of Leimkuhler
      and Matthews. No minibatch heats the chains, and on a quadratic no step size does: its law is
      exact for η(h + γ/(nβ)) < 2, elsewhere its error is O(η²). That on λ̂ can be twice that on the
      temperature: on x²y², nβ = 145, γ = 1 it is +8 ± 1 % and +4 ± 1 % at η = .2, nothing to be seen at .1.
    - `batch_size=B`: `SGLD` as in the paper, whose step size is ε = 2η/(nβ). On a quadratic with curvatures
      h_i and gradient variances c_i the chains are too hot by (1 + ηnβ c_i/(2B))/(1 − ηh_i/2), and for
      γ ≪ nβh_i λ̂ is too large by as much: with c = h, for a likelihood, keep η ≪ 2B/(nβh).

    Both heatings, and chains that are not at equilibrium, are measured: `temperature_ratio` is 1 where there
    are none, and `rescaled` is λ̂ at the temperature that the chains have.

    λ̂ is λ only in a limit, n → ∞ with γ/(nβ) → 0. A quadratic has ½ Σ nβh_i/(nβh_i + γ)
    (`gaussian_learning_coefficient`); where λ has the multiplicity m, λ̂ ≈ λ − (m − 1)/ln(nβ).
    The standard error knows of neither.

    Args:
        problem: whose L is the mean negative log-likelihood of n examples. An `l2` counts as part of L: for
            the model itself leave it 0.
        at: θ*, parameters of one chain. Where L falls further nearby λ̂ is no learning coefficient:
            `lowest` tells.
        key: `jax.random.key(seed)`.
        learning_rate: η, of SGD's clock. A tenth to a half of 1/h, for the largest curvature h that the
            chains see, not only at θ*.
        steps: of each chain. A direction that only γ holds takes nβ/(γη) steps to fill.
        burn_in: steps that are left out; by default half of them.
        chains: 2 or more; the error comes from their spread.
        every: steps between samples, each of which takes a full gradient.
        samples: n, where the problem has no data set.
        inverse_temperature: β > 0, in place of 1/ln n.
        localisation: γ ≥ 0, in units of 1/θ²: a spring of width γ^{−1/2}. With 0 there is none.
        batch_size, sampling: of SGLD, as for `SGD`; None for all examples.
        **options: to `run`: devices, chunk, memory_limit, progress, checkpoint, resume.

    Returns:
        `LearningCoefficient`. Print it: it says what speaks against its value.

    Raises:
        ValueError: for values out of range, parameters that do not fit or are not finite, or fewer than
            two chains that did not diverge.

    Source: Lau, Furman, Wang, Murfet, Wei 2023 (arXiv:2308.12108) for λ̂ and its SGLD. The temperature by the
    virial and both heatings: derived here.
    """
    problem, at = _checked(problem, at)
    check_key(key)
    eta = float(_checks.scalar("learning_rate", learning_rate, above=0, kept=True))
    steps = _checks.integer("steps", steps, at_least=2)
    burn_in = steps // 2 if burn_in is None else _checks.integer("burn_in", burn_in, at_least=0)
    chains = _checks.integer("chains", chains, at_least=2, hint="The error comes from their spread.")
    every = _checks.integer("every", every, at_least=1)
    if every > steps:
        raise ValueError(f"every must be <= steps = {steps} for a sample to be taken at all, got {every}.")
    if burn_in // every >= steps // every:
        raise ValueError(
            f"burn_in must be < {steps - steps % every}, the last sample of {steps} steps with "
            f"every = {every}, to leave something to average; got {burn_in}."
        )
    unknown = set(options) - set(_OPTIONS)
    if unknown:
        raise ValueError(f"options to run may be {', '.join(_OPTIONS)}, got {', '.join(sorted(unknown))}.")
    n = samples_of(problem, samples)
    beta = inverse_temperature_of(n, inverse_temperature)
    gamma = float(_checks.scalar("localisation", localisation, at_least=0))
    scale = n * beta
    localised = Localised(problem, at, _checks.array("localisation/(nβ)", gamma / scale, at_least=0))
    process = _process(localised, eta, 2 / scale, batch_size, sampling)
    result = run(
        process,
        chains=chains,
        steps=steps,
        key=key,
        every=every,
        record={"energy": Energy(localised)},
        **options,
    )
    kept = np.asarray(result.record["energy"], np.float64)
    alive = np.isfinite(kept).all(axis=(0, 2)) & result.alive
    if alive.sum() < 2:
        raise ValueError(
            f"learning_rate must be small enough for chains to stay finite, got {eta:g}: "
            f"{chains - alive.sum()} of {chains} diverged. Take a smaller one, below 2/h for the largest "
            f"curvature h."
        )
    d = sum(leaf.size for leaf in jax.tree.leaves(at))
    energy, virial = scale * kept[:, alive, 0], scale / d * kept[:, alive, 1]
    late = result.record_steps > burn_in
    return LearningCoefficient(
        **averages(energy[late], virial[late]),
        lowest=float(energy.min()),
        dimension=d,
        samples=n,
        inverse_temperature=beta,
        localisation=gamma,
        learning_rate=eta,
        batch_size=None if batch_size is None else int(batch_size),
        steps=steps,
        burn_in=burn_in,
        every=every,
        chains=int(alive.sum()),
        diverged=int((~alive).sum()),
        trace_steps=np.asarray(result.record_steps),
        trace=energy.mean(axis=1),
        per_chain=energy[late].mean(axis=0),
    )


def _process(
    localised: Localised, rate: float, temperature: float, batch_size: Any, sampling: Sampling
) -> Process:
    """What settles in exp(−2L_γ/T)."""
    if batch_size is not None:
        hyper = Hyperparameters(rate, batch_size)
        return SGLD(localised, hyper, temperature=temperature, sampling=sampling)
    if sampling != "replacement":
        raise ValueError(f"sampling needs a batch_size, got {sampling!r} and batch_size=None: all examples.")
    variance = _checks.array("2/(nβ learning_rate)", temperature / rate, above=0)
    return Langevin(Heated(localised, variance), Hyperparameters(rate))


def _checked(problem: Any, at: Any) -> tuple[Problem, Any]:
    """The problem, and the parameters of one chain in its own dtypes."""
    check_problem(problem)
    if isinstance(at, Result):
        raise ValueError(
            f"at must be the parameters of one chain, got a Result of {len(at.diverged_at)} chains. Take one "
            f"of them: jax.tree.map(lambda leaf: leaf[0], result.theta)."
        )
    check_contract(problem)
    at = check_theta(problem, at, "at")
    for path, leaf in jax.tree_util.tree_leaves_with_path(at):
        if not bool(jnp.isfinite(leaf).all()):
            raise ValueError(
                f"at{jax.tree_util.keystr(path)} must be finite, got {int((~jnp.isfinite(leaf)).sum())} "
                f"numbers that are not: this chain diverged. Take another."
            )
    wanted = _traces.parameter_shapes(problem.init)
    return problem, jax.tree.map(lambda leaf, want: leaf.astype(want.dtype), at, wanted)
