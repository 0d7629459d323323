"""Schedules of η, B and m over the stages of a run, counted in epochs or steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Array
from typing_extensions import TypeAliasType

from sde_sgd import _checks, _samplings
from sde_sgd._platform import _names
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers, Sampling

Rate = TypeAliasType("Rate", float | Callable[[Array], Array])


@dataclass(frozen=True, repr=False)
class Stage(Shown):
    """A part of a run with one batch size.

    Args:
        length: in epochs, or in steps where the schedule says so.
        learning_rate: η > 0, or an optax schedule: a function of the steps since the stage began.
        batch_size: B ≥ 1.
        momentum: m in [0, 1).

    Raises:
        ValueError: for values out of range.
    """

    length: float
    learning_rate: Rate
    batch_size: int
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _checks.scalar("length", self.length, above=0)
        if not callable(self.learning_rate):
            _checks.scalar("learning_rate", self.learning_rate, above=0, kept=True)
        _checks.integer("batch_size", self.batch_size, at_least=1)
        _checks.scalar("momentum", self.momentum, at_least=0, below=1, kept=True)

    def steps(self, unit: str, dataset_size: int | None, *, sampling: Sampling | None = None) -> float:
        """The length in steps, a real number: epochs · N/B, or epochs · ⌈N/B⌉ for "shuffle_all"."""
        if unit == "steps":
            return float(self.length)
        if dataset_size is None:
            raise ValueError("this problem has no data set, hence no epochs; give the schedule unit='steps'.")
        steps, whole = _samplings.epoch(self.batch_size, dataset_size, sampling)
        return float(self.length * steps / whole)


@dataclass(frozen=True, repr=False)
class Schedule(Shown):
    """Stages one after the other. θ and the momentum buffer go on from stage to stage.

    Args:
        stages: what follows what.
        unit: of their lengths: "epochs" (kB/N, the same amount of data whatever B; k/⌈N/B⌉ where a run has
            sampling="shuffle_all") or "steps".
        largest_fraction: of the N examples that a batch which has grown since the first stage may take; a
            run on fewer examples is refused. None: any.

    Raises:
        ValueError: without stages, for an unknown unit or a fraction that is not in (0, 1].
    """

    stages: tuple[Stage, ...]
    unit: Literal["epochs", "steps"] = "epochs"
    largest_fraction: float | None = None

    def __init__(
        self,
        stages: Sequence[Stage],
        unit: Literal["epochs", "steps"] = "epochs",
        largest_fraction: float | None = None,
    ):
        listed = _listed(stages)
        if not listed or not all(isinstance(stage, Stage) for stage in listed):
            raise ValueError(f"stages must be a list of at least one Stage, got {_checks.short(stages)}.")
        if largest_fraction is not None:
            largest_fraction = float(_checks.scalar("largest_fraction", largest_fraction, above=0))
            if largest_fraction > 1:
                raise ValueError(f"largest_fraction must be <= 1, got {largest_fraction:g}. None for any.")
        object.__setattr__(self, "stages", tuple(listed))
        object.__setattr__(self, "unit", _checks.choice("unit", unit, ("epochs", "steps")))
        object.__setattr__(self, "largest_fraction", largest_fraction)

    @property
    def length(self) -> float:
        """Length of all stages together."""
        return float(sum(stage.length for stage in self.stages))

    def updates(self, dataset_size: int | None = None, *, sampling: Sampling | None = None) -> int:
        """Number of parameter updates, Σ epochs · N/B, or Σ epochs · ⌈N/B⌉ with sampling="shuffle_all"."""
        _check_size(dataset_size)
        _check_sampling(sampling)
        steps = [stage.steps(self.unit, dataset_size, sampling=sampling) for stage in self.stages]
        return int(nearest(sum(steps)))

    def momentum_lags(
        self, dataset_size: int | None = None, *, sampling: Sampling | None = None
    ) -> tuple[float, ...]:
        r"""How far momentum sets each stage back, in the unit of the lengths, while its buffer fills.

        A buffer v ← m v + ∇L is at its value ∇L/(1 − m) about 1/(1 − m) steps after m has changed, in
        B/(N(1 − m)) epochs. In k steps under a constant gradient 1 θ then falls behind one whose buffer was
        full by

            m (1 − m^k)/(1 − m) · (1 − (1 − m) v₀)  steps,

        v₀ the buffer where the stage begins: 0 for the first one, m/(1 − m) steps in a long run. A momentum
        that falls sets θ ahead, a negative lag.

        Args:
            dataset_size: N, where lengths are in epochs.
            sampling: of the run; with "shuffle_all" an epoch has ⌈N/B⌉ steps in place of N/B.

        Source: Smith, Kindermans, Ying, Le 2018 (arXiv:1711.00489), section 4, for B/(N(1 − m)); the lag:
        a sum of a geometric series.
        """
        _check_size(dataset_size)
        _check_sampling(sampling)
        lags, buffer = [], 0.0
        for stage in self.stages:
            m, steps = float(stage.momentum), stage.steps(self.unit, dataset_size, sampling=sampling)
            filled = (1 - m**steps) / (1 - m)
            lags.append(m * filled * (1 - (1 - m) * buffer) * stage.length / steps)
            buffer = m**steps * buffer + filled
        return tuple(lags)

    def check_fits(self, dataset_size: int | None, name: str = "schedule") -> None:
        """Refuse a batch that has grown beyond `largest_fraction` of the examples.

        Raises:
            ValueError: naming the stage and the ways out.
        """
        _check_size(dataset_size)
        if self.largest_fraction is None or dataset_size is None:
            return
        most = self.largest_fraction * dataset_size * (1 + 1e-9)  # of 29 in 100, .29 in floats
        first = self.stages[0].batch_size
        for number, stage in enumerate(self.stages, 1):
            if stage.batch_size > max(first, most):
                raise ValueError(
                    f"{name} must keep B <= {self.largest_fraction:g} N = {most:g} where B grows, and has "
                    f"B = {stage.batch_size} in stage {number} of {len(self.stages)}: the noise scale is "
                    f"η(N/B − 1), and only for B ≪ N does η/B stand for it. Decay η from there, as with "
                    f"by=['batch_size', 'learning_rate'], or say largest_fraction=None."
                )


def _check_size(dataset_size: int | None) -> None:
    if dataset_size is not None:
        _checks.integer("dataset_size", dataset_size, at_least=1)


def _check_sampling(sampling: Any) -> None:
    if sampling is not None:
        _checks.choice("sampling", sampling, _samplings.SAMPLINGS)


def nearest(steps: Numbers) -> np.ndarray | np.integer:
    """The whole step nearest to a real number of them; half a step, as far as floats can tell, counts."""
    return np.floor(np.asarray(steps) + (0.5 + 1e-6)).astype(int)


def piecewise(
    lengths: Sequence[float],
    *,
    learning_rate: Rate | Sequence[Rate],
    batch_size: int | Sequence[int],
    momentum: float | Sequence[float] = 0.0,
    unit: Literal["epochs", "steps"] = "epochs",
) -> Schedule:
    """Piecewise-constant η, B and m: one value for all stages, or one for each.

        piecewise([20, 20, 20], learning_rate=0.05, batch_size=[8, 40, 200], momentum=0.9)

    Raises:
        ValueError: if a list has another length than `lengths`.
    """
    lengths = _listed(lengths)
    count = len(lengths)
    rates = _spread("learning_rate", learning_rate, count)
    sizes = _spread("batch_size", batch_size, count)
    momenta = _spread("momentum", momentum, count)
    return Schedule([Stage(*stage) for stage in zip(lengths, rates, sizes, momenta, strict=True)], unit)


def cyclic(
    length: float,
    every: float,
    *,
    learning_rate: Rate | Sequence[Rate],
    batch_size: int | Sequence[int],
    momentum: float | Sequence[float] = 0.0,
    unit: Literal["epochs", "steps"] = "epochs",
) -> Schedule:
    """η, B and m that go round: each list is taken in turn, a new entry after every so many epochs.

        cyclic(40, every=5, learning_rate=[0.08, 0.02], batch_size=8)       # cyclic learning rate
        cyclic(40, every=5, learning_rate=0.08, batch_size=[8, 32])         # the same η/B, cyclic batch

    The last stage is shorter where `every` does not divide `length`.

    Source: the comparison of cyclic η with cyclic B, Jastrzębski et al. 2017 (arXiv:1711.04623).
    """
    _checks.scalar("length", length, above=0)
    _checks.scalar("every", every, above=0)
    given = {"learning_rate": learning_rate, "batch_size": batch_size, "momentum": momentum}
    listed = {name: _listed(values) for name, values in given.items()}
    for name, values in listed.items():
        if not values:
            raise ValueError(f"{name} must not be empty.")
    count = int(np.ceil(length / every - 1e-9))
    stages = []
    for number in range(count):
        rate, size, m = (values[number % len(values)] for values in listed.values())
        stages.append(Stage(min(every, length - number * every), rate, size, m))
    return Schedule(stages, unit)


def decay(
    lengths: Sequence[float],
    *,
    learning_rate: float,
    batch_size: int,
    factor: float,
    by: str | Sequence[str] = "learning_rate",
    momentum: float = 0.0,
    unit: Literal["epochs", "steps"] = "epochs",
    largest_fraction: float | None = 0.1,
) -> Schedule:
    """The noise scale η/(B(1 − m)) falls by `factor` after each stage, by η or by B.

    Don't decay, grow B; or first grow B, then decay η:

    >>> grown = decay([20, 20, 20], learning_rate=0.05, batch_size=8, factor=5, by="batch_size")
    >>> [stage.batch_size for stage in grown.stages]
    [8, 40, 200]
    >>> grown.updates(10_000)
    31000
    >>> both = ["batch_size", "learning_rate"]
    >>> mixed = decay([20, 20, 20], learning_rate=0.05, batch_size=8, factor=5, by=both)
    >>> [(stage.learning_rate, stage.batch_size) for stage in mixed.stages]
    [(0.05, 8), (0.05, 40), (0.01, 40)]

    Args:
        lengths: of the stages.
        learning_rate, batch_size, momentum: of the first stage.
        factor: > 1.
        by: "learning_rate" or "batch_size", for all changes or one for each of them.
        unit: of the lengths.
        largest_fraction: of the examples that a batch may grow to; a run on fewer examples is refused. The
            noise scale is η(N/B − 1), which η/B stands for as long as B ≪ N. None: any.

    Raises:
        ValueError: if B · factor is not an integer.

    Source: Smith, Kindermans, Ying, Le 2018 (arXiv:1711.00489).
    """
    _checks.scalar("factor", factor, above=1)
    _checks.scalar("learning_rate", learning_rate, above=0, hint="A schedule of η goes into piecewise.")
    lengths = _listed(lengths)
    if not lengths:
        raise ValueError("lengths must hold at least one stage.")
    ways = _spread("by", by, len(lengths) - 1, "change")
    stages = [Stage(lengths[0], learning_rate, batch_size, momentum)]
    for length, way in zip(lengths[1:], ways, strict=True):
        last = stages[-1]
        rate, size = float(last.learning_rate), float(last.batch_size)  # type: ignore[arg-type]
        if _checks.choice("by", way, ("learning_rate", "batch_size")) == "learning_rate":
            rate /= factor
        else:
            size *= factor
        if abs(size - round(size)) > 1e-9 * size:
            raise ValueError(f"batch_size must stay an integer, got {size:g} after a factor {factor:g}.")
        stages.append(Stage(length, rate, round(size), momentum))
    return Schedule(stages, unit, largest_fraction)


def _listed(values: Any) -> list[Any]:
    is_list = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    return list(values) if is_list else [values]


def _spread(name: str, values: Any, count: int, what: str = "stage") -> list[Any]:
    listed = _listed(values)
    if len(listed) == 1:
        return listed * count
    if len(listed) != count:
        raise ValueError(f"{name} must be one value or {count}, one for each {what}, got {len(listed)}.")
    return listed


__dir__ = _names.public(globals())
