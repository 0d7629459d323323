"""The points of a sweep: a grid or a list of settings, and the steps each of them takes."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sde_sgd import _checks, _samplings
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import LAST_STEP
from sde_sgd.schedules import Schedule, Stage, nearest
from sde_sgd.simulation._length import is_list


@dataclass(frozen=True)
class Clock:
    """What is equal for all points of a sweep, and when to look.

    Attributes:
        unit: "epochs", "time" or "steps".
        length: of every run, in that unit.
        every: between samples, in that unit, or where they lie.
    """

    unit: str
    length: float
    every: float | tuple[float, ...]

    @property
    def grid(self) -> np.ndarray:
        """Where the samples lie, start and end included."""
        if isinstance(self.every, tuple):
            return np.asarray([0.0, *self.every, *([self.length] if self.has_rest else [])])
        even = np.arange(math.floor(self.length / self.every + 1e-9) + 1) * self.every
        return np.append(even, self.length) if self.has_rest else even

    @property
    def has_rest(self) -> bool:
        """Whether the end is none of the places that were asked for."""
        if isinstance(self.every, tuple):
            return self.length - self.every[-1] > 1e-9 * self.length
        parts = self.length / self.every
        return parts - math.floor(parts + 1e-9) > 1e-9 * parts

    @property
    def told(self) -> str:
        """`every`, for messages."""
        return _checks.short(list(self.every)) if isinstance(self.every, tuple) else f"{self.every:g}"

    @property
    def dimension(self) -> str:
        """Name of the samples' dimension in results."""
        return {"epochs": "epoch", "time": "time", "steps": "step"}[self.unit]


@dataclass(frozen=True)
class Leg:
    """One stage as it is run: what is compiled, and how many steps. Equal legs run together."""

    batch_size: int
    schedule: Callable[[Any], Any] | None
    steps: int
    marks: tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """One setting of a sweep.

    Attributes:
        problem: its name and itself.
        legs: the stages.
        rates, momenta: η and m of each stage.
        labels: axis → value, for the axes of the sweep.
    """

    problem: tuple[str, Problem]
    legs: tuple[Leg, ...]
    rates: tuple[float, ...]
    momenta: tuple[float, ...]
    labels: Mapping[str, Any]

    @property
    def cost(self) -> float:
        """Examples looked at, the measure of work."""
        return float(sum(leg.steps * leg.batch_size for leg in self.legs))

    @property
    def sample_steps(self) -> np.ndarray:
        """The step of every sample, the start included."""
        found, begin = [0], 0
        for leg in self.legs:
            found += [begin + mark for mark in leg.marks]
            begin += leg.steps
        return np.asarray(found)


def settings(axes: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """The axes with their values, and one setting for each point of the grid, last axis fastest.

    An axis given as one value is no axis of the grid, but belongs to every setting.
    """
    given = {name: values for name, values in axes.items() if values is not None}
    grid: dict[str, list[Any]] = {}
    fixed: dict[str, Any] = {}
    for name, values in given.items():
        if isinstance(values, Mapping):
            grid[name] = list(values)
        elif is_list(values):
            grid[name] = [_checks.scalar(name, value) for value in values]
        else:
            fixed[name] = values
        if name in grid and not grid[name]:
            raise ValueError(f"{name} must not be empty.")
        if name in grid and len(set(grid[name])) < len(grid[name]):
            raise ValueError(f"{name} must not hold a value twice, got {_checks.short(grid[name])}.")
    combinations = itertools.product(*grid.values())
    return grid, [{**fixed, **dict(zip(grid, values, strict=True))} for values in combinations]


def listed_runs(
    runs: Sequence[Mapping[str, Any]], axes: Mapping[str, Any]
) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """A list of settings as an axis "run"; what is the same for all may be given outside of it."""
    common = {name: value for name, value in axes.items() if value is not None and name != "problem"}
    listed = isinstance(runs, Sequence) and not isinstance(runs, str | bytes)
    if not listed or not all(isinstance(setting, Mapping) for setting in runs):
        raise ValueError(f"runs must be a list of settings {{name: value}}, got {_checks.short(runs)}.")
    if not runs:
        raise ValueError("runs must hold at least one setting.")
    if any(np.ndim(value) for value in common.values()):
        raise ValueError(f"with runs=[...] give one value for {sorted(common)}, or none.")
    problems = axes["problem"]
    for setting in runs:
        unknown = set(setting) - {"problem", "learning_rate", "batch_size", "ratio", "momentum"}
        if unknown:
            raise ValueError(f"runs: {sorted(unknown)} is no setting; there are learning_rate, batch_size, …")
        if problems is None and "problem" in setting:
            raise ValueError("runs: 'problem' is a name, which needs problem={name: problem, …}.")
        if problems is not None and setting.get("problem") not in problems:
            raise ValueError(
                f"runs: each needs its problem, one of {list(problems)}, got {setting.get('problem')!r}."
            )
    return {"run": list(range(len(runs)))}, [{**common, **setting} for setting in runs]


def complete(setting: Mapping[str, Any]) -> dict[str, Any]:
    """η, B and m of a setting that may name the ratio η/(B(1 − m)) in place of one of them.

    Raises:
        ValueError: unless it names exactly two of learning_rate, batch_size and ratio.
    """
    named = [name for name in ("learning_rate", "batch_size", "ratio") if name in setting]
    if len(named) != 2:
        raise ValueError(
            f"give two of learning_rate, batch_size and ratio (or a schedule, or runs), got "
            f"{named or 'none'}."
        )
    given = {name: _checks.scalar(name, setting[name], above=0) for name in named}
    m = _checks.scalar("momentum", setting.get("momentum", 0.0), at_least=0, below=1, kept=True)
    if "ratio" not in given:
        rate, size = given["learning_rate"], given["batch_size"]
    elif "batch_size" in given:
        rate, size = given["ratio"] * given["batch_size"] * (1 - m), given["batch_size"]
    else:
        rate = given["learning_rate"]
        size = rate / (given["ratio"] * (1 - m))
        # as in `Hyperparameters.matching`: a rate or ratio may have gone through float32
        if size < 0.5 or abs(size - round(size)) > 1e-5 * size:
            raise ValueError(
                f"learning_rate {rate:g} and ratio {given['ratio']:g} ask for batch_size {size:g}, "
                f"which must be an integer; choose other values, or give batch_size."
            )
        size = round(size)
    size = _checks.integer("batch_size", size, at_least=1)
    # a label must not say what float32 cannot hold
    _checks.number("learning_rate", rate, above=0, kept=True)
    return {"learning_rate": float(rate), "batch_size": size, "momentum": float(m)}


def make_point(
    problem: tuple[str, Problem],
    schedule: Schedule | None,
    values: Mapping[str, Any],
    clock: Clock,
    sampling_of: Callable[[Problem, Stage], str | None] = lambda *_: None,
) -> Point:
    """The point with these values, its stages cut into steps; `sampling_of` a stage sets its epochs."""
    if schedule is None:
        stage = Stage(clock.length, values["learning_rate"], values["batch_size"], values["momentum"])
        stages: tuple[Stage, ...] = (stage,)
        unit = clock.unit
    else:
        stages, unit = schedule.stages, schedule.unit
        if unit != clock.unit or abs(schedule.length - clock.length) > 1e-9 * clock.length:
            raise ValueError(
                f"all schedules of a sweep must be as long as the sweep, {clock.length:g} {clock.unit}, "
                f"got {schedule.length:g} {unit}."
            )
    legs = _legs(stages, [_steps_per_unit(stage, unit, problem[1], sampling_of) for stage in stages], clock)
    rates = tuple(1.0 if callable(stage.learning_rate) else float(stage.learning_rate) for stage in stages)
    return Point(problem, legs, rates, tuple(float(stage.momentum) for stage in stages), values)


def _steps_per_unit(
    stage: Stage, unit: str, problem: Problem, sampling_of: Callable[[Problem, Stage], str | None]
) -> float:
    if unit == "time":
        assert not callable(stage.learning_rate)
        return (1 - stage.momentum) / stage.learning_rate
    if unit == "steps":
        return 1.0
    size = problem.dataset_size
    if size is None:
        raise ValueError("this problem has no data set, hence no epochs; give time=... or steps=....")
    steps, whole = _samplings.epoch(stage.batch_size, size, sampling_of(problem, stage))
    result: float = steps / whole
    return result


def _legs(stages: Sequence[Stage], rates: Sequence[float], clock: Clock) -> tuple[Leg, ...]:
    """The stages in steps, at `rates` steps in a unit of the clock.

    Stages end, and samples lie, at the whole step nearest to where they belong on the clock, so that
    roundings do not add up over the stages.
    """
    whole = float(sum(stage.length * rate for stage, rate in zip(stages, rates, strict=True)))
    if not whole < LAST_STEP + 0.5:  # nor would its samples have room
        raise ValueError(_too_long(stages, rates, whole, clock))
    told = f"every = {clock.told} {clock.unit}"
    if not isinstance(clock.every, tuple) and clock.length / clock.every > whole + 1:
        stage, rate = min(zip(stages, rates, strict=True), key=lambda pair: pair[1])
        raise ValueError(f"{told} {_too_short(stage, rate)}")
    near, begin, done = 1e-9 * clock.length, 0.0, 0.0
    ends, samples = [0], [np.zeros(1, int)]
    for stage, rate in zip(stages, rates, strict=True):
        end = begin + stage.length
        inside = clock.grid[(clock.grid > begin + near) & (clock.grid <= end + near)]
        ends.append(int(nearest(done + stage.length * rate)))
        at = np.where(inside >= end - near, ends[-1], nearest(done + (inside - begin) * rate))
        apart = np.diff(np.concatenate([samples[-1][-1:], at]))
        if clock.has_rest and end >= clock.length - near:
            apart = apart[:-1]  # what is left after the last sample may be less than a step
        if np.any(apart < 1):
            raise ValueError(f"{told} {_too_short(stage, rate)}")
        if ends[-1] <= ends[-2]:
            raise ValueError(f"a length of {stage.length:g} {clock.unit} {_too_short(stage, rate)}")
        samples.append(np.concatenate([samples[-1][-1:], at]))
        begin, done = end, done + stage.length * rate
    steps = np.unique(np.concatenate(samples))
    # a sample just after the start of a stage may belong to the last step of the one before
    return tuple(
        Leg(
            stage.batch_size,
            stage.learning_rate if callable(stage.learning_rate) else None,
            last - first,
            tuple((steps[(steps > first) & (steps <= last)] - first).tolist()),
        )
        for stage, first, last in zip(stages, ends[:-1], ends[1:], strict=True)
    )


def _too_short(stage: Stage, rate: float) -> str:
    return (
        f"must be at least one step, but at batch_size {stage.batch_size} and learning_rate "
        f"{stage.learning_rate} a step is {1 / rate:g}."
    )


def _too_long(stages: Sequence[Stage], rates: Sequence[float], steps: float, clock: Clock) -> str:
    stage, rate = max(zip(stages, rates, strict=True), key=lambda pair: pair[0].length * pair[1])
    way_out = f"Take less of {clock.unit}"
    if clock.unit != "steps":
        way_out += ", or a larger " + ("learning_rate" if clock.unit == "time" else "batch_size")
    return (
        f"{clock.unit} = {clock.length:g} must be at most {LAST_STEP} steps, but is {steps:.10g}: at "
        f"batch_size {stage.batch_size} and learning_rate {stage.learning_rate} a step is {1 / rate:g}. "
        f"{way_out}."
    )
