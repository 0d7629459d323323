"""The rate at which chains leave, from counted exits, with an exact interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers
from sde_sgd.escape._renewal import Exits, Renewal
from sde_sgd.simulation._result import Result
from sde_sgd.statistics import HypothesisTest, kolmogorov_smirnov

# a test of fewer first exits says nothing
_LEAST = 8


@dataclass(frozen=True, repr=False, kw_only=True)
class EscapeRate(Shown):
    """Exits per chain and step. Print it.

    Attributes:
        rate: exits over `exposure`, per step; NaN where there was no exit (`interval` bounds it).
        interval: of the rate, exact for a Poisson number of exits: both ends at confidence `level`; without
            an exit from 0 to the upper bound that holds with `level`.
        exits, exposure: their number, and chains × steps in which they were counted.
        level: of `interval`.
        exponential: whether the waiting times are exponential, as they are where a chain forgets its well
            before it leaves; None with fewer than 8 chains that left.
        learning_rate: η/(1 − m) of these chains: the SDE time of a step.
    """

    rate: float
    interval: tuple[float, float]
    exits: int
    exposure: int
    level: float
    exponential: HypothesisTest | None
    learning_rate: float

    @property
    def steps(self) -> float:
        """The mean time of escape in steps, 1/rate; NaN where there was no exit."""
        return 1 / self.rate

    @property
    def steps_interval(self) -> tuple[float, float]:
        """Of `steps`; its upper end is infinite where there was no exit."""
        low, high = self.interval
        return 1 / high, float("inf") if low == 0 else 1 / low

    @property
    def time(self) -> float:
        """The mean time of escape in SDE time, ηk/(1 − m)."""
        return self.learning_rate * self.steps

    @property
    def relative_error(self) -> float:
        """Standard error of the rate over the rate, 1/√exits; NaN where there was no exit."""
        return self.exits**-0.5 if self.exits else float("nan")

    def __repr__(self) -> str:
        low, high = self.interval
        among = f"{self.exits} exits in {self.exposure:.4g} chain-steps"
        if not self.exits:
            return f"EscapeRate(< {high:.3g} a step ({self.level:.0%} bound): no exit in {self.exposure:.4g})"
        test = "" if self.exponential is None else f", exponential: p = {self.exponential.p:.2g}"
        return (
            f"EscapeRate({self.rate:.4g} a step, {low:.4g} to {high:.4g} ({self.level:.0%}); {among}{test})"
        )


def rate(result: Result, *, level: float = 0.95, chains: Numbers | None = None) -> EscapeRate:
    r"""The rate of escape from a run of `Renewal`: exits over chains × steps after the burn-in.

    For independent chains with exponential waiting times the number n of exits is Poisson, and an exact
    interval is [χ²_{α/2}(2n), χ²_{1−α/2}(2n + 2)]/(2 exposure) (Garwood). Where passages have a least
    time, as in a low well, n varies less than that, and the interval holds more often than it says.

    Given its number N of exits a Poisson process has them anywhere with equal chance, so that 1 − (1 − t)^N
    of the first, at the part t of the horizon, is uniform on [0, 1]. `exponential` is the
    Kolmogorov-Smirnov test of that over the chains that left. What it sees: chains that are put back on
    the border (a small p), or wells that are left as fast as they are forgotten.

    Args:
        result: of `run(Renewal(...))`. A run that goes on from another one counts its exits too: give both
            the same Renewal.
        level: confidence of the interval.
        chains: bool or numbers, shape `(n,)`: of these chains only, as where they differ in η.

    Returns:
        `EscapeRate`, with NaN and an upper bound where no chain left.

    Raises:
        ValueError: for another result, one that ended before its burn-in or whose chains were stopped, or
            chains of several η.

    Source: Garwood 1936, Biometrika 28, 437.
    """
    exits, renewal = _exits(result)
    if (np.asarray(result.stopped_at) >= 0).any():
        raise ValueError(
            "result must be of a run without stop and stop_loss: steps that chains no longer made would "
            "count as waited for. What they are to leave is `outside` of the Renewal."
        )
    level = float(_checks.scalar("level", level, above=0, below=1))
    count, first = np.asarray(exits.number, np.int64), np.asarray(exits.first, np.int64)
    which = slice(None) if chains is None else _which(chains, len(count))
    begin = int(renewal.burn_in)
    horizon = result.steps - begin
    if horizon < 1:
        raise ValueError(
            f"result must go beyond its burn_in of {begin} steps, got one that ended at step {result.steps}. "
            f"Run it on: run(result.process, initial=result, ...)."
        )
    rates = np.broadcast_to(np.asarray(renewal.hyper.effective_learning_rate), count.shape)[which]
    if np.ptp(rates) > 0:
        raise ValueError(
            f"chains must be of one learning rate, got η from {rates.min():g} to {rates.max():g}; give "
            f"chains=..., those of one η, or use escape.rates."
        )
    count, first = count[which], first[which]
    exposure, number = horizon * len(count), int(count.sum())
    return EscapeRate(
        rate=number / exposure if number else float("nan"),
        interval=poisson_interval(number, exposure, level),
        exits=number,
        exposure=exposure,
        level=level,
        exponential=_exponential(count, (first - begin) / horizon, horizon),
        learning_rate=float(rates[0]),
    )


def poisson_interval(number: int, exposure: float, level: float) -> tuple[float, float]:
    """Of a rate from a Poisson number; without events from 0 to the one-sided bound."""
    if number == 0:
        return 0.0, float(-np.log1p(-level) / exposure)
    tail = (1 - level) / 2
    low, high = scipy.stats.chi2.ppf(tail, 2 * number), scipy.stats.chi2.isf(tail, 2 * number + 2)
    return float(low / (2 * exposure)), float(high / (2 * exposure))


def _exits(result: Any) -> tuple[Exits, Renewal]:
    extra = result.state.extra if isinstance(result, Result) else None
    if not isinstance(extra, Exits) or not isinstance(result.process, Renewal):
        raise ValueError(
            f"result must be of run(escape.Renewal(...)), got {_checks.short(result)}; by_renewal does both."
        )
    return extra, result.process


def _which(chains: Any, total: int) -> np.ndarray:
    """Numbers of chains, from these or from a mask."""
    asked = np.asarray(chains)
    if (
        asked.ndim != 1
        or not len(asked)
        or not (asked.dtype == bool or np.issubdtype(asked.dtype, np.integer))
    ):
        raise ValueError(
            f"chains must be a mask or numbers of chains, shape (n,), got {_checks.short(chains)}."
        )
    numbers = np.flatnonzero(asked) if asked.dtype == bool else asked
    fits = len(asked) == total if asked.dtype == bool else bool(((numbers >= 0) & (numbers < total)).all())
    if not fits or not len(numbers):
        raise ValueError(f"chains must choose some of {total} chains, got {_checks.short(chains)}.")
    return numbers


def _exponential(count: np.ndarray, first: np.ndarray, horizon: int) -> HypothesisTest | None:
    """Whether first exits lie where those of a Poisson process do, given how many there were."""
    left = count > 0
    if left.sum() < _LEAST:
        return None
    # a step is an interval of time: where in it an exit lay is chance
    within = np.random.default_rng(0).random(int(left.sum())) / horizon
    part = np.clip(first[left] - within, 0.0, 1.0)
    uniform = -np.expm1(count[left] * np.log1p(-np.minimum(part, 1 - 1e-16)))
    found = kolmogorov_smirnov(uniform, scipy.stats.uniform())
    return HypothesisTest(
        name="first exits, Kolmogorov-Smirnov",
        null="exits are a Poisson process",
        value=found.value,
        standard_error=found.standard_error,
        statistic=found.statistic,
        p=found.p,
        n=found.n,
    )
