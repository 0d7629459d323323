"""The inverse temperature nβ of a posterior, and λ where the loss is quadratic."""

import math

import numpy as np

from sde_sgd import _checks
from sde_sgd._types import Numbers
from sde_sgd.problems._base import Problem


def samples_of(problem: Problem, samples: int | None) -> int:
    """n: the size of the data set, or what is given where there is none.

    Raises:
        ValueError: where neither or both are known, or for n < 2.
    """
    size = problem.dataset_size
    name = type(problem).__name__
    if size is None:
        if samples is None:
            raise ValueError(
                f"samples must be given for {name}, which has no data set, got None: n sets the "
                f"temperature, 2/(nβ). Any n >= 2 will do, such as samples=10_000."
            )
        return _checks.integer("samples", samples, at_least=2)
    if samples is not None:
        raise ValueError(
            f"samples must be left out for {name}, whose data set has {size} examples, got {samples!r}. For "
            f"another temperature give inverse_temperature."
        )
    return _checks.integer("dataset_size", size, at_least=2, hint="1/ln n needs two examples.")


def inverse_temperature_of(samples: int, inverse_temperature: float | None) -> float:
    """β: what is given, or 1/ln n."""
    if inverse_temperature is None:
        return 1 / math.log(samples)
    return float(_checks.scalar("inverse_temperature", inverse_temperature, above=0, kept=True))


def gaussian_learning_coefficient(
    eigenvalues: Numbers, *, samples: int, inverse_temperature: float | None = None, localisation: float = 1.0
) -> float:
    r"""What `local_learning_coefficient` finds where the loss is a quadratic: a regular minimum.

        λ̂ = ½ Σ_i nβ h_i/(nβ h_i + γ)

    d/2 less what the localisation γ takes: half of MacKay's effective number of parameters.

    Args:
        eigenvalues: h_i ≥ 0 of ∇∇L at the minimum, any shape.
        samples: n ≥ 2.
        inverse_temperature: β > 0, by default 1/ln n.
        localisation: γ ≥ 0, in units of 1/θ².

    Raises:
        ValueError: for values out of range.

    Source: derived here; MacKay 1992, *Bayesian interpolation*, for the sum.
    """
    _checks.number("eigenvalues", eigenvalues, at_least=0)
    n = _checks.integer("samples", samples, at_least=2)
    gamma = float(_checks.scalar("localisation", localisation, at_least=0))
    weighted = n * inverse_temperature_of(n, inverse_temperature) * np.asarray(eigenvalues, np.float64)
    held = np.where(weighted > 0, weighted + gamma, 1.0)
    return 0.5 * float(np.sum(weighted / held))
