"""How far the averages of SGD are from those of its SDE, by paths that share their noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffrax
import equinox as eqx
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Observable
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.processes._diffusion import Diffusion
from sde_sgd.processes._langevin import Langevin
from sde_sgd.simulation._run import run
from sde_sgd.statistics._hypothesis_test import plus_minus
from sde_sgd.validity import _panels
from sde_sgd.validity._coupled import Coupled

MakeDiffusion = Callable[[Problem, Hyperparameters], Diffusion]


@dataclass(frozen=True, repr=False)
class WeakError(Shown):
    """E f(SGD) − E f(SDE) at one time, for one or more observables f.

    Attributes:
        names: of the observables; all arrays below have one entry for each.
        value: the weak error.
        standard_error: of `value`, from `n` independent values.
        sgd, sde: E f of each.
        n: independent values: pairs of antithetic paths, or paths.
        dropped: values left out because a path diverged or an observable was not finite.
        not_finite: those of them where no path diverged.
        process: name of the SDE.
        learning_rate, time, steps: η, SDE time t, and SGD steps.
    """

    names: tuple[str, ...]
    value: np.ndarray
    standard_error: np.ndarray
    sgd: np.ndarray
    sde: np.ndarray
    n: int
    dropped: int
    process: str
    learning_rate: float
    time: float
    steps: int
    not_finite: int = 0

    def __getitem__(self, name: str) -> tuple[float, float]:
        """The error of one observable and its standard error."""
        if name not in self.names:
            raise KeyError(f"no observable {name!r}; there are {', '.join(map(repr, self.names))}.")
        where = self.names.index(name)
        return float(self.value[where]), float(self.standard_error[where])

    def __repr__(self) -> str:
        each = (f"{name}: {plus_minus(*self[name])}" for name in self.names)
        return f"WeakError({self.process}, η = {self.learning_rate:.4g}; {', '.join(each)}; n = {self.n})"

    def _panel(self) -> Panel:
        return _panels.of_weak_error(self)

    def __str__(self) -> str:
        diverged = self.dropped - self.not_finite
        lost = f", {diverged} diverged and left out" if diverged else ""
        lost += f", {self.not_finite} not finite and left out" if self.not_finite else ""
        head = f"weak error of {self.process} at η = {self.learning_rate:.6g}, t = {self.time:g} "
        lines = [f"{head}({self.steps} steps); n = {self.n}{lost}"]
        width = max(map(len, self.names))
        for name, value, error, sgd, sde in zip(
            self.names, self.value, self.standard_error, self.sgd, self.sde, strict=True
        ):
            lines.append(f"  {name:<{width}}  {value:+.3e} ± {error:.1e}   (SGD {sgd:.6g}, SDE {sde:.6g})")
        return "\n".join(lines)


def weak_error(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    time: float,
    key: Key[Array, ""],
    process: MakeDiffusion | None = None,
    observables: Mapping[str, Observable] | Observable | None = None,
    chains: int = 10_000,
    antithetic: bool = True,
    initial: PyTree | None = None,
    **options: Any,
) -> WeakError:
    r"""E f(SGD) − E f(SDE) at a time, from paths of the two that share their noise.

    Each SGD step takes as its gradient noise the sum of the Brownian increments of the SDE's
    solver over that step, so that what differs is the laws and not the draws: the standard error
    falls with the distance of the paths, to a hundredth of what independent paths would have.

    SGD's noise is Gaussian here, with the exact covariance C(θ)/B: SGD itself where the noise of an
    analytic problem is Gaussian. Real minibatches have higher cumulants as well; for those compare
    `run(SGD(...))` with `run(SVAG(..., l=...))`.

    Args:
        problem, hyper: of the SGD; one η and one m.
        time: SDE time t = ηk/(1 − m), a whole number of steps.
        key: `jax.random.key(seed)`.
        process: the SDE, a function (problem, hyper) → process such as `SecondOrderLangevin` or
            `partial(Langevin, substeps=16)`. What its solver does wrong counts as its error, so give
            it substeps: Euler's method with one is SGD itself. By default the first-order `Langevin`,
            by 8 steps of Heun's method where the noise does not depend on θ, else 32 of Euler's.
        observables: name → scalar function of one chain's parameters, or one such function; by
            default the loss.
        chains: number of paths of each.
        antithetic: make paths in pairs with opposite noise (see `Coupled`).
        initial: where to start, as in `run`; by default the problem's own law.
        **options: to `run`, such as `devices`, `chunk`, `progress`.

    Returns:
        `WeakError`. Print it.

    Raises:
        ValueError: for a time that is not a whole number of steps, an η per chain, an SDE that the
            problem's own noise does not drive, fewer than 8 values that did not diverge, or an
            observable that is not scalar.

    Source: of the order of these errors: Li, Tai, E 2017 (arXiv:1511.06251).
    """
    check_hyper(problem, hyper)
    if hyper.effective_learning_rate.ndim:
        raise ValueError(
            f"hyper must hold one learning rate and one momentum, got shape "
            f"{hyper.effective_learning_rate.shape}; call weak_error for each."
        )
    length = float(_checks.scalar("time", time, above=0))
    steps = _whole_steps(length, float(hyper.effective_learning_rate))
    count = _checks.integer("chains", chains, at_least=2)
    if antithetic and count % 2:
        raise ValueError(f"chains must be even for antithetic pairs, got {count}; or antithetic=False.")
    diffusion = _diffusion(problem, hyper, process)
    functions = _named(problem, observables)
    result = run(
        Coupled(diffusion, bool(antithetic)),
        chains=count,
        steps=steps,
        key=key,
        initial=initial,
        record={
            f"{which} {name}": _Of(which, function)
            for name, function in functions.items()
            for which in ("sgd", "sde")
        },
        **options,
    )
    ends = {name: np.asarray(values[-1], np.float64) for name, values in result.record.items()}
    for name, values in ends.items():
        if values.ndim != 1:
            raise ValueError(f"observables must return one number, {name!r} has shape {values.shape[1:]}.")
    # a path on its way to infinity may be finite where its loss is not
    finite = np.all([np.isfinite(values) for values in ends.values()], axis=0)
    together = -1, 2 if antithetic else 1
    alive = np.asarray(result.alive).reshape(together).all(axis=1)
    kept: np.ndarray = alive & finite.reshape(together).all(axis=1)
    n = int(kept.sum())
    if n < 8:
        raise ValueError(
            f"{n} values are left where at least 8 are needed: {int((~alive).sum())} of {len(kept)} diverged "
            f"and {int((alive & ~kept).sum())} have an observable that is not finite. Take more chains or a "
            f"smaller learning rate."
        )
    means = {name: values.reshape(len(kept), -1)[kept].mean(axis=1) for name, values in ends.items()}
    pairs = [(means[f"sgd {name}"], means[f"sde {name}"]) for name in functions]
    gaps = [one - other for one, other in pairs]
    return WeakError(
        names=tuple(functions),
        value=np.asarray([gap.mean() for gap in gaps]),
        standard_error=np.asarray([gap.std(ddof=1) / np.sqrt(n) for gap in gaps]),
        sgd=np.asarray([one.mean() for one, _ in pairs]),
        sde=np.asarray([other.mean() for _, other in pairs]),
        n=n,
        dropped=len(kept) - n,
        process=type(diffusion).__name__,
        learning_rate=float(hyper.learning_rate),
        time=length,
        steps=steps,
        not_finite=int((alive & ~kept).sum()),
    )


class _Of(eqx.Module):
    """An observable of one of the two."""

    which: str = eqx.field(static=True)
    function: Observable

    def __call__(self, theta: Any) -> Any:
        return self.function(theta[self.which])


def _whole_steps(time: float, rate: float) -> int:
    steps = round(time / rate)
    # η is kept in float32
    if steps < 1 or abs(time / rate - steps) > 1e-4 * steps:
        raise ValueError(
            f"time must be a whole number of steps of {rate:g}, got {time:g}, which is "
            f"{time / rate:.6g} of them; the nearest is {max(steps, 1) * rate:g}."
        )
    return steps


def _diffusion(problem: Problem, hyper: Hyperparameters, process: Any) -> Diffusion:
    if process is None:
        additive = isinstance(problem, AnalyticProblem) and problem.noise.is_additive
        process = (
            partial(Langevin, substeps=8, solver=diffrax.Heun())
            if additive
            else partial(Langevin, substeps=32)
        )
    if not callable(process) or isinstance(process, Diffusion):
        raise ValueError(
            f"process must be a function (problem, hyper) -> SDE such as Langevin or "
            f"functools.partial(SecondOrderLangevin, substeps=8), got {process!r}."
        )
    made = process(problem, hyper)
    if not isinstance(made, Diffusion):
        raise ValueError(
            f"process must make an SDE such as Langevin, SecondOrderLangevin or UnderdampedLangevin, "
            f"got {type(made).__name__}: it has no Brownian motion to share."
        )
    if isinstance(made, Langevin):
        if made.noise != "problem" or made.increments != "gaussian":
            raise ValueError(
                f"process must be driven by the Gaussian noise of the problem to share it with SGD, got "
                f"noise={made.noise!r}, increments={made.increments!r}. Compare two runs instead."
            )
        if made.substeps == 1 and isinstance(made.solver, diffrax.Euler):
            raise ValueError(
                "process is Langevin by Euler's method with substeps=1, which is SGD with Gaussian noise "
                "itself: the error would be 0 whatever the SDE does. Give it substeps=32, or Heun's method."
            )
    return made


def _named(problem: Problem, observables: Any) -> dict[str, Observable]:
    if observables is None:
        return {"loss": problem.loss}
    named = dict(observables) if isinstance(observables, Mapping) else {"f": observables}
    if not named or not all(callable(function) for function in named.values()):
        raise ValueError(
            f"observables must be a function of theta, or name -> function, got {observables!r}."
        )
    return named
