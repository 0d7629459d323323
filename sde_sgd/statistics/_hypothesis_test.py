"""What a statistical test hands back: an estimate with its error, a p-value, a size and a null."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, short


@dataclass(frozen=True, kw_only=True, repr=False)
class HypothesisTest(Shown):
    """The outcome of one test. Print it.

    Attributes:
        name: which test.
        null: the hypothesis that a small `p` speaks against.
        value: the estimated distance, temperature, difference, ...
        standard_error: of `value`.
        statistic: what `p` is the tail probability of.
        p: probability of a statistic at least as extreme under the null.
        n: independent values behind it, one number for each sample or group.
        note: what else there is to say.
    """

    name: str
    null: str
    value: float
    standard_error: float
    statistic: float
    p: float
    n: int | tuple[int, ...]
    note: str = ""

    def rejects(self, level: float | int = 0.05) -> bool:
        """Whether the null is rejected at `level`, its false-alarm rate."""
        return self.p <= level

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._line})"

    def __str__(self) -> str:
        text = self._line
        text += "" if math.isnan(self.p) else f"\n  null: {self.null}"
        return text + (f"\n  {self.note}" if self.note else "")

    def _panel(self) -> Panel:
        rows = {"value": plus_minus(self.value, self.standard_error)}
        if not math.isnan(self.p):
            rows |= {"p": f"{self.p:.3g}", "null": self.null}
        rows["n"] = " and ".join(str(n) for n in np.atleast_1d(self.n))
        told = {one.name for one in dataclasses.fields(HypothesisTest)}
        rows |= {
            one.name: short(getattr(self, one.name))
            for one in dataclasses.fields(self)
            if one.name not in told
        }
        return Panel(type(self).__name__, self.name, rows, notes=(self.note,) if self.note else ())

    @property
    def _line(self) -> str:
        sizes = " and ".join(str(n) for n in np.atleast_1d(self.n))
        # an estimate without a hypothesis about it has no p-value
        p = "" if math.isnan(self.p) else f", p = {self.p:.3g}"
        return f"{self.name}: {plus_minus(self.value, self.standard_error)}{p}, n = {sizes}"


def distance_test(
    name: str, found: tuple[float, float, float], *, null: str, n: int | tuple[int, int], note: str
) -> HypothesisTest:
    """The outcome of a test by a distance, from the distance, its standard error and p."""
    value, error, p = found
    return HypothesisTest(
        name=name, null=null, value=value, standard_error=error, statistic=value, p=p, n=n, note=note
    )


def plus_minus(value: float, error: float) -> str:
    """`0.1012 ± 0.0010`: the error to two digits, the value to the same place."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.4g} ± {error:.2g}"
    places = 1 - math.floor(math.log10(error))
    if not 0 <= places <= 8 or abs(value) >= 1e6:
        return f"{value:.6g} ± {error:.2g}"
    return f"{value:.{places}f} ± {error:.{places}f}"


def monte_carlo_p(observed: float, null: Any) -> float:
    """(1 + how many of R null statistics are at least as large)/(1 + R).

    Exact at any R where observed and null statistics are exchangeable: P(p ≤ α) ≤ α.
    Equal statistics that differ in rounding count as equal.
    """
    null = np.asarray(null, np.float64)
    return float((1 + np.sum(null >= observed - 1e-10 * abs(observed))) / (1 + null.size))


def sequential_p(observed: float, null: Iterable[np.ndarray], hits: int = 100) -> float:
    """`monte_carlo_p` that stops once `hits` null statistics are at least as large, with p = hits/draws.

    So a p-value that is not small costs few draws and is known to 10 %. Exact as the other is, at any
    number of draws: P(p ≤ α) ≤ α.

    Source: Besag, Clifford 1991, *Sequential Monte Carlo p-values*, Biometrika 78.
    """
    draws = above = 0
    for values in null:
        reached = above + np.cumsum(values >= observed - 1e-10 * abs(observed))
        if reached[-1] >= hits:
            return float(hits / (draws + 1 + np.searchsorted(reached, hits)))
        draws, above = draws + len(values), int(reached[-1])
    return float((1 + above) / (1 + draws))
