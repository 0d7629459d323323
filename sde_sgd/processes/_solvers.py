"""Which solver integrates the Langevin SDE, and in how many steps for each of SGD."""

from typing import Any

import diffrax

from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.processes._leimkuhler_matthews import LeimkuhlerMatthews

# At ηh = ½ the stationary variance of a quadratic is then off by 0, .8 % and .4 %.
_EXACT, _FIRST_ORDER, _SECOND_ORDER = 1, 32, 4


def default(
    problem: Problem, noise: str, increments: str, *, is_scheduled: bool = False
) -> diffrax.AbstractSolver[Any]:
    """The cheapest solver that has the right law.

    The scheme of Leimkuhler and Matthews spreads each increment over two steps, which must then have
    one η: with a schedule it is not the default.
    """
    if noise == "none":
        return diffrax.Heun()
    if noise != "problem" or increments != "gaussian":
        return diffrax.Euler()
    if _is_isotropic(problem) and not is_scheduled:
        return LeimkuhlerMatthews()
    constant = _is_additive(problem) or _is_isotropic(problem)
    return diffrax.Heun() if constant else diffrax.Euler()


def enough_substeps(solver: diffrax.AbstractSolver[Any]) -> int:
    """Steps for each of SGD after which the stationary variance is right within 1 % for ηh ≤ ½."""
    if isinstance(solver, LeimkuhlerMatthews):
        return _EXACT
    return _FIRST_ORDER if isinstance(solver, diffrax.Euler) else _SECOND_ORDER


def check(solver: diffrax.AbstractSolver[Any], problem: Problem, noise: str, increments: str) -> None:
    """Refuse a solver that would not converge to this SDE.

    Raises:
        ValueError: saying which solver would.
    """
    name = type(solver).__name__
    if isinstance(solver, diffrax.Euler):
        return
    if not isinstance(solver, diffrax.AbstractSRK | diffrax.AbstractERK | LeimkuhlerMatthews):
        raise ValueError(
            f"solver must be diffrax.Euler(), processes.LeimkuhlerMatthews(), an explicit Runge-Kutta method "
            f"such as diffrax.Heun(), or a stochastic Runge-Kutta method such as diffrax.ShARK(), got {name}."
        )
    if isinstance(solver, diffrax.AbstractERK) and not isinstance(solver, diffrax.AbstractStratonovichSolver):
        raise ValueError(
            f"solver {name} is made for equations without noise: it asks for drift and diffusion apart, "
            f"which are never formed. Use diffrax.Heun(), Midpoint() or Ralston(), or diffrax.ShARK()."
        )
    if increments == "two_point" and noise != "none":
        raise ValueError(
            f"increments='two_point' needs solver=diffrax.Euler(), got {name}: methods of higher order "
            f"need Gaussian increments. Use increments='gaussian'."
        )
    if needs_drift_apart(solver) and noise != "problem":
        raise ValueError(f"solver {name} needs noise='problem', got noise={noise!r}. Use diffrax.Euler().")
    if isinstance(solver, LeimkuhlerMatthews) and noise == "none":
        raise ValueError(
            f"solver {name} without noise is Euler's method, got noise='none'. Use diffrax.Heun()."
        )
    constant = _is_additive(problem) or (_is_isotropic(problem) and not needs_drift_apart(solver))
    if noise != "none" and not (constant and noise == "problem"):
        raise ValueError(
            f"solver {name} converges to the Itô solution only for noise that does not depend on "
            f"theta; here it does (noise={noise!r} of {type(problem).__name__}). Use diffrax.Euler()."
        )


def needs_drift_apart(solver: diffrax.AbstractSolver[Any]) -> bool:
    """Whether the solver takes drift and noise as two terms."""
    return isinstance(solver, diffrax.AbstractSRK)


def _is_additive(problem: Problem) -> bool:
    return isinstance(problem, AnalyticProblem) and problem.noise.is_additive


def _is_isotropic(problem: Problem) -> bool:
    """Whether C = σ²I everywhere, as far as the problem knows."""
    try:
        problem.noise_variance()
    except NotKnownError:
        return False
    return True
