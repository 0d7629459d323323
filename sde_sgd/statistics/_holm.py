"""Holm's correction: many tests, one false-alarm rate for them all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, short
from sde_sgd._types import Scalar
from sde_sgd.statistics._hypothesis_test import HypothesisTest


@dataclass(frozen=True, repr=False)
class Family(Shown):
    """Tests that are judged together. Print it for a table.

    Attributes:
        level: the probability of one false rejection or more, if every null holds.
        p: name → p-value as it was.
        adjusted: name → Holm's p-value, the smallest level at which this test is rejected.
        tests: name → what was tested, for those given as `HypothesisTest`.
    """

    level: float
    p: dict[str, float]
    adjusted: dict[str, float]
    tests: dict[str, HypothesisTest]

    @property
    def rejected(self) -> tuple[str, ...]:
        """Names of the tests whose null is rejected at `level` for the whole family."""
        return tuple(name for name, p in self.adjusted.items() if p <= self.level)

    def __repr__(self) -> str:
        rejected = ", ".join(f"{name}: {p:.3g}" for name, p in self.adjusted.items() if p <= self.level)
        count = f"{len(self.rejected)} of {len(self.p)} rejected at family-wise level {self.level:g}"
        return f"Family({count}{f' ({rejected})' if rejected else ''})"

    def _panel(self) -> Panel:
        names = sorted(self.p, key=self.p.__getitem__)
        rejected = set(self.rejected)
        table = [
            (
                name,
                f"{self.p[name]:.3g}",
                f"{self.adjusted[name]:.3g}",
                "rejected" if name in rejected else "",
            )
            for name in names
        ]
        count = f"{len(rejected)} of {len(self.p)} rejected at family-wise level {self.level:g}"
        return Panel("Family", count, columns=("test", "p", "Holm p", ""), table=table)

    def __str__(self) -> str:
        width = max(len("test"), *map(len, self.p))
        lines = [f"{'test':{width}}  {'p':>9}  {'Holm p':>9}"]
        for name in sorted(self.p, key=self.p.__getitem__):
            mark = "  rejected" if name in self.rejected else ""
            lines.append(f"{name:{width}}  {self.p[name]:9.3g}  {self.adjusted[name]:9.3g}{mark}")
        lines.append(f"{len(self.rejected)} of {len(self.p)} rejected at family-wise level {self.level:g}")
        return "\n".join(lines)


def holm(
    tests: Mapping[str, HypothesisTest | Scalar] | Iterable[HypothesisTest | Scalar], level: float = 0.05
) -> Family:
    r"""Holm's step-down correction: P(any false rejection) ≤ level, however the tests depend on each other.

        adjusted p_(i) = max_{j ≤ i} min(1, (k − j + 1) p_(j)),   p_(1) ≤ ... ≤ p_(k)

    Args:
        tests: name → `HypothesisTest` or p-value, or a sequence of either.
        level: family-wise false-alarm rate.

    Returns:
        `Family`.

    Raises:
        ValueError: for no tests, or p-values that are not in [0, 1].

    Source: Holm 1979, *Scand. J. Statistics* 6.
    """
    _checks.number("level", level, above=0, below=1)
    if not isinstance(tests, Mapping) and (isinstance(tests, str) or not isinstance(tests, Iterable)):
        raise ValueError(
            f"tests must be name → HypothesisTest or p-value, or a sequence of either, got {short(tests)}."
        )
    named = tests if isinstance(tests, Mapping) else {str(i): test for i, test in enumerate(tests)}
    if not named:
        raise ValueError("tests must hold at least one test, got none.")
    p = {str(k): _p(str(k), test) for k, test in named.items()}
    for name, value in p.items():
        if not 0 <= value <= 1:
            raise ValueError(
                f"tests[{name!r}] must have a p-value in [0, 1], got {value}; an estimate has one only if it "
                f"was given what to expect."
            )
    order = sorted(p, key=p.__getitem__)
    steps = [min(1.0, (len(p) - rank) * p[name]) for rank, name in enumerate(order)]
    adjusted = dict(zip(order, np.maximum.accumulate(steps).tolist(), strict=True))
    kept = {str(name): test for name, test in named.items() if isinstance(test, HypothesisTest)}
    return Family(float(level), p, {name: adjusted[name] for name in p}, kept)


def _p(name: str, test: Any) -> float:
    value = getattr(test, "p", test)
    if np.ndim(value) or not isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        raise ValueError(f"tests[{name!r}] must be a HypothesisTest or a p-value, got {short(test)}.")
    return float(_checks.real(f"tests[{name!r}]", value))
