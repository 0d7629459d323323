"""Is a number near what it should be? Two one-sided tests."""

from scipy import stats

from paper_checks._card import Measurement

LEVEL = 0.05


def near(
    name: str,
    estimate: float,
    error: float,
    *,
    to: float,
    margin: float,
    n: int,
    tests: int = 1,
    freedom: float = float("inf"),
) -> Measurement:
    """Met where the number is shown to be within the margin.

    Args:
        name: what was measured.
        estimate, error: the number and its standard error.
        to: what it should be.
        margin: how far off it may be.
        n: independent values behind it.
        tests: of a family that are judged together; p is multiplied by their number (Bonferroni).
        freedom: degrees of freedom of the error.
    """
    p = float(min(1.0, tests * stats.t.sf((margin - abs(estimate - to)) / error, freedom)))
    return Measurement(
        name=name,
        estimate=float(estimate),
        standard_error=float(error),
        n=n,
        p=p,
        threshold=f"within {margin:.2g} of {to:.3g}, by two one-sided tests at level {LEVEL:g}",
        met=p < LEVEL,
    )


def least_shown(found: list[Measurement]) -> Measurement:
    """The one that is least shown to be near."""
    return max(found, key=lambda one: one.p or 0.0)
