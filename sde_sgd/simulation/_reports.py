"""What a run says at its end of what went wrong in it."""

from sde_sgd._platform._telling import warn
from sde_sgd.simulation._result import Result


def report_divergence(result: Result, way_out: str, throw: bool) -> None:
    """Say how many chains diverged, if any did: a warning, or with `throw` an error.

    Raises:
        FloatingPointError: if `throw` and a chain diverged.
    """
    if not result.diverged:
        return
    first = int(result.diverged_at[result.diverged_at >= 0].min())
    message = (
        f"{result.diverged} of {len(result.diverged_at)} chains diverged, the first by step {first}; "
        f"they are marked in diverged_at and left out of statistics. {way_out}"
    )
    if throw:
        raise FloatingPointError(message)
    warn(message, stacklevel=3)


def report_not_finite(result: Result) -> None:
    """Say which observables had no finite value where the parameters had not diverged."""
    for name, histogram in result.histograms.items():
        if histogram.not_a_number:
            warn(
                f"histogram {name!r}: {histogram.not_a_number} of {histogram.not_a_number + histogram.total} "
                f"samples are not a number (NaN); they are counted in not_a_number and in no bin.",
                stacklevel=3,
            )
    for name, moments in result.moments.items():
        missing = int((result.alive & ~moments.alive).sum())
        if missing:
            warn(
                f"moments of {name!r}: {missing} of {len(result.alive)} chains stopped before the first "
                f"sample after burn_in and have none; mean, variance and standard_error leave them out.",
                stacklevel=3,
            )
        if moments.not_finite:
            first = int((moments.alive & ~moments.finite).argmax())
            warn(
                f"moments of {name!r}: it was not finite at some sample in {moments.not_finite} of "
                f"{len(result.alive)} chains that did not diverge (first chain {first}); mean, variance and "
                f"standard_error leave them out.",
                stacklevel=3,
            )
