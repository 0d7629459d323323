"""Which form have times of escape: exponential, exponential with a power before it, or a power law?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sde_sgd.escape import EscapeRate


@dataclass(frozen=True)
class Fit:
    """Weighted least squares of ln τ on some columns.

    Attributes:
        coefficients: one for each column.
        covariance: theirs.
        chi_squared: Σ (residual/error)².
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    chi_squared: float

    @property
    def aic(self) -> float:
        """Akaike's criterion, but for a constant that all forms share."""
        return self.chi_squared + 2 * len(self.coefficients)


@dataclass(frozen=True)
class Times:
    """ln of the mean number of steps over x, B or 1/η, each with its error.

    Attributes:
        x: relative to the largest, increasing, shape `(points,)`.
        found: rates of escape, one for each.
    """

    x: np.ndarray
    found: list[EscapeRate]

    @cached_property
    def log_steps(self) -> np.ndarray:
        """ln τ, shape `(points,)`."""
        return np.log([one.steps for one in self.found])

    @cached_property
    def errors(self) -> np.ndarray:
        """Of `log_steps`, by Poisson numbers of exits."""
        return np.array([one.relative_error for one in self.found])

    @property
    def exits(self) -> int:
        """Of all points."""
        return sum(one.exits for one in self.found)

    @cached_property
    def exponential(self) -> Fit:
        """Of a + bx."""
        return self._fit(self.x)

    @cached_property
    def power(self) -> Fit:
        """Of a + b ln x."""
        return self._fit(np.log(self.x))

    @cached_property
    def prefactor(self) -> Fit:
        """Of a + bx − c ln x."""
        return self._fit(self.x, -np.log(self.x))

    @property
    def evidence(self) -> float:
        """AIC of the power law minus that of the exponential: above 0 for the exponential."""
        return self.power.aic - self.exponential.aic

    @property
    def r_squared(self) -> float:
        """R² of the straight line by ordinary least squares."""
        return float(np.corrcoef(self.x, self.log_steps)[0, 1] ** 2)

    @property
    def slope(self) -> tuple[float, float]:
        """That of the straight line, and its error."""
        fit = self.exponential
        return float(fit.coefficients[1]), float(fit.covariance[1, 1] ** 0.5)

    @property
    def bend(self) -> tuple[float, float]:
        """How much the slope b − c/x grows from the smallest x to the largest, over that of the line."""
        fit, reach = self.prefactor, 1 / self.x[0] - 1 / self.x[-1]
        per = reach / self.slope[0]
        return float(fit.coefficients[2] * per), float(abs(per) * fit.covariance[2, 2] ** 0.5)

    def _fit(self, *columns: np.ndarray) -> Fit:
        table = np.stack([np.ones_like(self.x), *columns], axis=1) / self.errors[:, None]
        covariance = np.linalg.inv(table.T @ table)
        y = self.log_steps / self.errors
        coefficients = covariance @ (table.T @ y)
        return Fit(coefficients, covariance, float(np.sum((y - table @ coefficients) ** 2)))
