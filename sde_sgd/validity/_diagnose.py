"""`diagnose`: how far is a run of SGD from its SDE, and why?"""

import contextlib
import dataclasses
import time
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._progress import Progress
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Sampling
from sde_sgd.curvature._operators import check_theta
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process, check_hyper
from sde_sgd.processes._sgd import SGD
from sde_sgd.random import check_key
from sde_sgd.theory._setting import alike_batches
from sde_sgd.validity._causes import causes, directions
from sde_sgd.validity._diagnosis import Diagnosis
from sde_sgd.validity._pilot import STAGES, Pilot, follow, run_pilot, separate, usual_chains
from sde_sgd.validity._weak_error import WeakError

_PILOT_STEPS = 2000


def diagnose(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    steps: int,
    key: Key[Array, ""],
    sampling: Sampling = "replacement",
    initial: PyTree | None = None,
    chains: int | None = None,
    pilot_steps: int | None = None,
    directions_followed: int = 4,
    optimizer: None = None,
    progress: bool | None = None,
) -> Diagnosis:
    r"""How far a run of SGD is from its SDE, and why, from a short pilot.

        print(diagnose(net, Hyperparameters(0.08, 8), steps=4000, key=jax.random.key(0)))

    Some chains warm up. From where the first ends, `chains` of SGD are followed along the sharpest
    directions e_i of the Hessian, and as many of the same SDE in steps a quarter as long or less: of
    the SDE itself where the noise is a formula, of smaller batches at the same η/B (or SVAG) for data.
    The answer is "yes", "no" or "cannot tell". What is looked at, each with an interval of probability
    .99 and the limit in `validity.LIMITS`:

    - step size: the variance of SGD along e_i over that in small steps, less 1: on a quadratic
      2(1 + m)/(2(1 + m) − ηλ). It is measured as ⟨C_ii⟩(1 + e_i)/h_i over ⟨C_ii⟩/h_i there, with
      e_i = η Var(∂_iL)/((1 + m)T_i) the heat of finite steps and h_i the curvature felt;
    - sampling: the variance under shuffled epochs or subsets over that of independent examples, less 1;
    - skewness: of the stationary law, from that of one example's gradient: (2√2/3) κ₃
      (ηλ/((1 − m)B))^{1/2} for small η;
    - momentum: the share of the run, m/((1 − m) steps), in which the velocity builds up;
    - unexplained: measured temperatures against the SDE's with the factors of the first two;
    - measured: variances of SGD over those of the SDE, nothing calculated. It must be shown to be near 1
      for a "yes";
    - anisotropy: eigenvalues of e_iᵀCe_j against Tr C/d. It does not part SGD from its SDE, but the SDE
      from exp(−2L/T).

    Judged are directions with λ_i ≥ λ₁/10, which come to rest within the pilot, by what SGD does near the
    place where the warm-up ends: wells that a run finds later are not seen.

    Args:
        problem, hyper, sampling: as for `SGD`, one learning rate and momentum.
        steps: length of the run in question.
        key: of the pilot's random numbers.
        initial: where the run starts, parameters of one chain; by default the problem's own start.
        chains: of the pilot, at least 4: intervals shrink as 1/√chains. By default as many
            as cost little: 512 where there are few examples and parameters, 32 where the product of their
            numbers is above a million.
        pilot_steps: to warm up, and at most to measure, which ends after 65 relaxation times of the
            sharpest direction; by default `steps`, at most 2000.
        directions_followed: k, at most the number of parameters.
        optimizer: must be None: what is judged is heavy-ball SGD beside its SDE.
        progress: show a progress bar, as in `run`.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: for arguments out of range, sampling="shuffle_all" where B does not divide N, a process in
            place of a problem, or an optimizer.

    Source: d Var(θ_i)/dt = −2 Cov(θ_i, ∂_iL) + T_i + step · Var(∂_iL) holds for any loss; the factor of
    sampling is exact for quadratics (`theory.discrete_covariance`).
    """
    _refuse_process(problem, optimizer)
    check_hyper(problem, hyper)
    sampling = alike_batches(
        sampling,
        hyper.batch_size,
        problem.dataset_size or 1,
        "sampling must not be 'shuffle_all' for diagnose: the batches of an epoch have noise and "
        "skewness of two kinds, and one is judged. Use sampling='shuffle', which leaves the last N mod B "
        "examples of an epoch out.",
    )
    check_key(key)
    for name in ("learning_rate", "momentum"):
        if getattr(hyper, name).ndim:
            raise ValueError(
                f"{name} must be one number, got shape {getattr(hyper, name).shape}; diagnose one run at a "
                f"time, or draw `phase_diagram`."
            )
    # what is not given follows from steps, so that a message names what was given
    least, hint = (2, "Or give pilot_steps.") if pilot_steps is None else (1, "")
    steps = _checks.integer("steps", steps, at_least=least, hint=hint)
    followed = _checks.integer("directions_followed", directions_followed, at_least=1)
    length = min(steps, _PILOT_STEPS) if pilot_steps is None else pilot_steps
    length = _checks.integer("pilot_steps", length, at_least=2)
    started = time.perf_counter()
    keys = jax.random.split(key, 3)
    began = _init(problem, keys[0]) if initial is None else check_theta(problem, initial, "initial")
    chains = usual_chains(problem, began) if chains is None else _checks.integer("chains", chains, at_least=4)
    with (
        contextlib.closing(Progress(STAGES + 1, "diagnose", progress, unit="stage")) as bar,
        np.errstate(invalid="ignore", over="ignore", divide="ignore"),
    ):
        process = SGD(problem, hyper, sampling=sampling)
        starts, lost = _warm_up(process, began, length, chains, followed, keys[1])
        bar.advance(1)
        pilot = run_pilot(
            problem,
            hyper,
            starts,
            sampling=sampling,
            chains=chains,
            steps=length,
            directions=followed,
            key=keys[2],
            bar=bar,
        )
        pilot = dataclasses.replace(pilot, diverged=max(lost, pilot.diverged))
        found = causes(pilot, hyper, sampling, problem.dataset_size, steps)
        return Diagnosis(
            problem=problem,
            hyper=hyper,
            sampling=sampling,
            steps=steps,
            causes=tuple(found),
            directions=directions(pilot),
            weak_error=_mean_loss(pilot, hyper),
            pilot=pilot,
            seconds=time.perf_counter() - started,
        )


def _refuse_process(problem: Any, optimizer: Any) -> None:
    if optimizer is not None:
        raise ValueError(
            f"optimizer must be None, got {optimizer!r}: diagnose compares heavy-ball SGD with its SDE, and "
            f"an adaptive optimizer has another one. Momentum belongs in "
            f"Hyperparameters(learning_rate, batch_size, momentum); for other optimizers compare "
            f"run(SGD(..., optimizer=...)) at several (η, B)."
        )
    if not isinstance(problem, Process):
        return
    name = type(problem).__name__
    if getattr(problem, "optimizer", None) is not None:
        raise ValueError(
            f"problem must be a problem, got {name} with an optimizer: diagnose compares heavy-ball SGD with "
            f"its SDE, and an adaptive optimizer has another one. diagnose(process.problem, hyper, ...) asks "
            f"about heavy-ball SGD; for other optimizers compare run(SGD(..., optimizer=...)) at several "
            f"(η, B)."
        )
    raise ValueError(
        f"problem must be a problem such as problems.DoubleWell(), got a process, {name}: diagnose runs SGD "
        f"by itself. Use diagnose(process.problem, process.hyper, ...), with sampling=... as in the process."
    )


def _warm_up(
    process: SGD, began: PyTree, steps: int, chains: int, directions: int, key: Key[Array, ""]
) -> tuple[list[PyTree], int]:
    """Where runs end, that of median loss first, or where they began if all diverged; and how many did.

    All chains go, by the program of the pilot: fewer would need one of their own.
    """
    ended = follow(process, began, directions=directions, chains=chains, steps=steps, every=steps, key=key)
    losses = ended.record["along"][-1, ended.alive, -1]
    sound = np.flatnonzero(np.isfinite(losses))
    ends = separate(ended, chains)
    order = sound[np.argsort(np.abs(losses[sound] - np.median(losses[sound])))] if len(sound) else sound
    return [ends[chain] for chain in order] or [began], chains - len(sound)


@_traces.jit
def _init(problem: Problem, key: Key[Array, ""]) -> PyTree:
    return problem.init(key)


def _mean_loss(pilot: Pilot, hyper: Hyperparameters) -> WeakError | None:
    """Of SGD less that of the SDE, at the end of the pilot."""
    own, other = pilot.loss[-1], pilot.finer_loss
    if pilot.diverged or not len(other):
        return None
    return WeakError(
        names=("loss",),
        value=np.array([own.mean() - other.mean()]),
        standard_error=np.array([(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other)) ** 0.5]),
        sgd=np.array([own.mean()]),
        sde=np.array([other.mean()]),
        n=len(own),
        dropped=0,
        process=pilot.finer_name,
        learning_rate=float(hyper.learning_rate),
        time=pilot.steps * float(hyper.effective_learning_rate),
        steps=pilot.steps,
    )
