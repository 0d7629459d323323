"""`diagnose`: how far is a run of SGD from its SDE, and why?"""

import dataclasses
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.processes._langevin import Langevin
from sde_sgd.random import check_key
from sde_sgd.validity._causes import Cause, Directions, causes, directions
from sde_sgd.validity._pilot import Pilot, follow, run_pilot
from sde_sgd.validity._weak_error import WeakError, weak_error

_PILOT_STEPS = 2000
# of the paths that share their noise: few where each step of the SDE takes gradients over all the data
_COUPLED_STEPS = 100
_COUPLED_CHAINS = 8
_COUPLED_SUBSTEPS = 4


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. Print it, or draw it with `plot.diagnosis`.

    Attributes:
        problem, hyper, sampling, steps: what was asked about.
        causes: every way to fail, worst first.
        directions: temperatures per direction, predicted, corrected and measured.
        weak_error: E f(SGD) − E f(SDE) for the loss, with Gaussian noise in both; None if chains diverged.
        pilot: all that was measured.
        seconds: wall-clock time.
    """

    problem: Problem
    hyper: Hyperparameters
    sampling: str
    steps: int
    causes: tuple[Cause, ...]
    directions: Directions
    weak_error: WeakError | None
    pilot: Pilot
    seconds: float

    def worst(self, breaks: str | None = None) -> Cause | None:
        """The worst cause that goes beyond its limit: of any kind, of "sde" or of "gibbs"."""
        for cause in self.causes:
            if not cause.holds and breaks in (None, cause.breaks):
                return cause
        return None

    @property
    def sde_holds(self) -> bool:
        """Whether nothing was found that parts SGD from its SDE."""
        return self.worst("sde") is None

    @property
    def gibbs_holds(self) -> bool:
        """Whether, beyond that, one temperature describes all directions."""
        return self.worst() is None

    def __str__(self) -> str:
        h = self.hyper
        head = (
            f"SGD on {type(self.problem).__name__}: η = {float(h.learning_rate):g}, B = {h.batch_size}, "
            f"m = {float(h.momentum):g}, sampling {self.sampling}, {self.steps} steps\n"
            f"pilot: {self.pilot.chains} chains of {self.pilot.steps} steps, {self.seconds:.1f} s\n"
        )
        lines = [self._verdict("sde"), self._verdict("gibbs"), ""]
        mark = {True: "ok", False: "NO"}
        lines += [f"  {mark[cause.holds]}  {cause.name:12} {cause.text}" for cause in self.causes]
        if self.weak_error is not None:
            found, error = self.weak_error["loss"]
            summary = (
                f"  mean loss after {self.weak_error.steps} steps, SGD less SDE on common Gaussian noise: "
                f"{found:+.2g} ± {error:.1g} of {self.weak_error.sde[0]:.3g}"
            )
            lines += ["", summary]
        lines += ["", "  direction      λ      T of the SDE   corrected     measured"]
        along = self.directions
        for number, value in enumerate(self.pilot.curvature):
            lines.append(
                f"  {number + 1:5} {value:12.4g} {along.predicted[number]:12.4g} "
                f"{along.corrected[number]:12.4g} {along.measured[number]:12.4g} "
                f"± {along.measured_error[number]:.2g}"
            )
        return head + "\n".join(lines)

    def _verdict(self, breaks: str) -> str:
        cause = self.worst(breaks)
        what = {"sde": "SGD follows its SDE", "gibbs": "one temperature for all directions"}[breaks]
        if cause is None:
            return f"{what}: yes, as far as this pilot can see"
        return f"{what}: NO, because of {cause.name} ({cause.text})"


def diagnose(
    problem: Problem | Any,
    hyper: Hyperparameters | Any,
    *,
    steps: int | Any,
    key: Key[Array, ""] | Any,
    sampling: str = "replacement",
    initial: PyTree | None = None,
    chains: int | Any = 32,
    pilot_steps: int | Any | None = None,
    directions_followed: int | Any = 4,
) -> Diagnosis:
    """How far a run of SGD is from its SDE, and why, from a short pilot.

        print(diagnose(net, Hyperparameters(0.08, 8), steps=4000, key=jax.random.key(0)))

    Chains warm up; from where the first ends, as many are followed along the sharpest directions e_i of
    the Hessian. What is looked at, with the effect that counts (limits in `validity.LIMITS`):

    - step size: 2(1 + m)/(2(1 + m) − ηλ₁) − 1, the excess variance of SGD along the sharpest direction;
    - sampling: the variance under shuffled epochs or subsets over that of independent examples, less 1;
    - skewness: of the stationary law, (2√2/3) κ₃ (ηλ/((1 − m)B))^{1/2}, from κ₃ of one example's gradient;
    - momentum: the share of the run, m/((1 − m) steps), in which the velocity builds up;
    - unexplained: measured temperatures against the SDE's with the exact factors of the first two;
    - anisotropy: eigenvalues of e_iᵀCe_j against Tr C/d. It does not part SGD from its SDE, but the SDE
      from exp(−2L/T).

    Args:
        problem, hyper, sampling: as for `SGD`, one learning rate and momentum.
        steps: length of the run in question.
        key: of the pilot's random numbers.
        initial: where the run starts, parameters of one chain; by default the problem's own start.
        chains: of the pilot, at least 4: the error of a measured temperature falls as 1/√chains.
        pilot_steps: to warm up, and at most to measure, which ends after 60 relaxation times of the
            sharpest direction; by default `steps`, at most 2000.
        directions_followed: k, at most the number of parameters.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: for arguments out of range.

    Source: the factors are exact for quadratics (`theory.discrete_covariance`); temperatures are
    measured by d Var(θ_i)/dt = −2 Cov(θ_i, ∂_iL) + T_i, which holds for any loss.
    """
    check_hyper(problem, hyper)
    check_key(key)
    for name in ("learning_rate", "momentum"):
        if getattr(hyper, name).ndim:
            raise ValueError(
                f"{name} must be one number, got shape {getattr(hyper, name).shape}; diagnose one run at a "
                f"time, or draw `phase_diagram`."
            )
    steps = _checks.integer("steps", steps, at_least=1)
    chains = _checks.integer("chains", chains, at_least=4)
    followed = _checks.integer("directions_followed", directions_followed, at_least=1)
    length = min(steps, _PILOT_STEPS) if pilot_steps is None else pilot_steps
    length = _checks.integer("pilot_steps", length, at_least=2)
    started = time.perf_counter()
    keys = jax.random.split(key, 3)
    options: dict[str, Any] = {"sampling": sampling, "chains": chains, "steps": length}
    start, lost = _warm_up(problem, hyper, initial, followed, keys[0], **options)
    pilot = run_pilot(problem, hyper, start, directions=followed, key=keys[1], **options)
    pilot = dataclasses.replace(pilot, diverged=max(lost, pilot.diverged))
    size = problem.dataset_size
    found = causes(pilot, hyper, sampling, size, steps)
    return Diagnosis(
        problem=problem,
        hyper=hyper,
        sampling=sampling,
        steps=steps,
        causes=tuple(found),
        directions=directions(pilot, hyper, sampling, size),
        weak_error=None if pilot.diverged else _coupled(problem, hyper, start, length, keys[2]),
        pilot=pilot,
        seconds=time.perf_counter() - started,
    )


def _warm_up(
    problem: Problem,
    hyper: Hyperparameters,
    initial: PyTree | None,
    directions: int,
    key: Key[Array, ""],
    **options: Any,
) -> tuple[PyTree, int]:
    """Where a run ends, or where it began if all diverged; and how many did."""
    began = problem.init(key) if initial is None else initial
    size = jax.flatten_util.ravel_pytree(began)[0].size
    vectors = jnp.zeros((min(directions, size), size))
    ended = follow(problem, hyper, initial, vectors, key=key, **options)
    there = jax.tree.map(lambda leaf: leaf[0], ended.samples()) if ended.alive.any() else began
    return there, ended.diverged


def _coupled(
    problem: Problem, hyper: Hyperparameters, start: PyTree, steps: int, key: Key[Array, ""]
) -> WeakError | None:
    steps = min(steps, _COUPLED_STEPS)
    options: dict[str, Any] = {}
    if problem.dataset_size is not None:
        langevin = partial(Langevin, substeps=_COUPLED_SUBSTEPS)
        options = {"process": langevin, "chains": _COUPLED_CHAINS * 2}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*chains diverged")
        try:
            time = steps * float(hyper.effective_learning_rate)
            return weak_error(problem, hyper, time=time, initial=start, key=key, progress=False, **options)
        except ValueError as error:
            if "diverged" not in str(error):
                raise
            return None
