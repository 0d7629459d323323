"""The run a pilot is compared with: the same SDE, in steps so small that they hardly count."""

import math
from dataclasses import dataclass
from typing import Any

import diffrax

from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import Process
from sde_sgd.processes._langevin import Langevin
from sde_sgd.processes._svag import SVAG

# Of its step in relaxation times of the sharpest direction. What remains, half of that in the variance,
# is measured and taken out.
_FINE = 0.1
# And of its step against that of SGD, where this is the smaller: else there would be nothing to compare.
_TIMES_FINER = 4
# More steps than this are not taken: a pilot is short.
_MOST_STEPS = 300_000
# The SDE itself takes a gradient over all data at each step: six operations for each example, parameter and
# chain. Up to so many it is what SGD is compared with; else small batches stand for it, whose noise is as
# skewed as that of SGD.
_OPERATIONS = 1.2e11


@dataclass(frozen=True)
class Finer:
    """A process close to the SDE.

    Attributes:
        process: what to run.
        units: its units of the clock for each step of SGD.
        step: the length of a step, in SDE time, that is left to correct for; 0 for Heun's method.
        name: what it is, in words.
    """

    process: Process
    units: int
    step: float
    name: str


def finer(
    problem: Problem, hyper: Hyperparameters, sharpest: float, steps: int, numbers: int
) -> Finer | None:
    """The SDE of `problem` and `hyper` in small steps, or None if it would take too many of them.

    Analytic problems and small data have the SDE itself. Larger data have smaller batches in
    proportionally smaller steps, at the same η/B and at no more gradients than SGD takes; or SVAG where
    batches are small already.

    Args:
        problem, hyper: one η, B and m.
        sharpest: λ₁.
        steps: of SGD that are to be matched.
        numbers: parameters of all chains.
    """
    rate = float(hyper.effective_learning_rate)
    wanted = max(_TIMES_FINER, rate * max(sharpest, 0.0) / _FINE)
    if isinstance(problem, AnalyticProblem):
        substeps = _power_of_two(wanted)
        if substeps * steps > _MOST_STEPS:
            return None
        additive = problem.noise.is_additive
        solver: diffrax.AbstractSolver[Any] = diffrax.Heun() if additive else diffrax.Euler()
        process: Process = Langevin(problem, hyper, substeps=substeps, solver=solver)
        return Finer(process, 1, 0.0 if additive else rate / substeps, _in_words(substeps))
    substeps = _power_of_two(max(1.0, rate * max(sharpest, 0.0) / _FINE))
    if 6.0 * (problem.dataset_size or 1) * numbers * substeps * steps <= _OPERATIONS:
        process = Langevin(problem, hyper, substeps=substeps, solver=diffrax.Euler())
        return Finer(process, 1, rate / substeps, _in_words(substeps))
    size = hyper.batch_size
    smaller = max(
        part for part in range(1, size + 1) if (size % part == 0 and size >= wanted * part) or part == 1
    )
    units = size // smaller
    amplified = _power_of_two(wanted / units)
    if units * amplified * steps > _MOST_STEPS:
        return None
    # in these units the rate is that of plain SGD: the SDE knows momentum by η/(1 − m) only
    matched = Hyperparameters(rate / units, smaller)
    name = f"B = {smaller}" if amplified == 1 else f"SVAG-{amplified} of B = {smaller}"
    process = SVAG(problem, matched, l=amplified)
    return Finer(process, units, rate / (units * amplified), name)


def _in_words(substeps: int) -> str:
    return f"the SDE in {substeps} substep{'s' if substeps > 1 else ''}"


def _power_of_two(least: float) -> int:
    """Powers of two only, so that few programs are compiled."""
    return int(2 ** max(0, math.ceil(math.log2(least) - 1e-6)))
