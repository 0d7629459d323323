"""One setting of η, B and m in float64, and the covariance of the batches it draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd._samplings import SAMPLINGS, is_shuffled, last_batch
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters, finite_population_factor

LAWS = ("sgd", "sde")


@dataclass(frozen=True)
class Setting:
    """η, B and m as Python numbers."""

    rate: float
    batch: int
    momentum: float

    @property
    def effective_rate(self) -> float:
        """η' = η/(1 − m)."""
        return self.rate / (1 - self.momentum)

    @property
    def limit(self) -> float:
        """The curvature 2(1 + m)/η from which on SGD is unstable."""
        return 2 * (1 + self.momentum) / self.rate


def one_setting(hyper: Any) -> Setting:
    """The numbers of hyperparameters that hold one learning rate and one momentum.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(hyper, Hyperparameters):
        raise ValueError(f"hyper must be Hyperparameters(learning_rate, batch_size), got {short(hyper)}.")
    if hyper.learning_rate.ndim or hyper.momentum.ndim:
        raise ValueError(
            "theory needs one learning_rate and one momentum; these hyperparameters hold one for "
            "each chain. Build Hyperparameters for the chain you mean."
        )
    return Setting(float(hyper.learning_rate), hyper.batch_size, float(hyper.momentum))


def without_momentum(hyper: Any, what: str) -> Setting:
    """The same for laws that know no momentum."""
    setting = one_setting(hyper)
    if setting.momentum:
        raise ValueError(
            f"momentum must be 0 for {what}, got {setting.momentum:g}. Use hyper.matching(momentum=0), which "
            f"has the same temperature."
        )
    return setting


@dataclass(frozen=True)
class BatchNoise:
    """Covariance of batch gradients in units of C: `own` of one, `cross` of two of the same epoch.

    An epoch has `batches` of them, the last of which has `last` in place of `own` where it is smaller; white
    noise is an epoch of one batch.
    """

    own: float
    cross: float = 0.0
    batches: int = 1
    last: float | None = None

    def of(self, number: int) -> float:
        """What batch `number` of an epoch has, counted from 0."""
        return self.own if self.last is None or number < self.batches - 1 else self.last


def batch_noise(sampling: str, setting: Setting, dataset_size: Any) -> BatchNoise:
    """1/B with replacement; (N − B)/(B(N − 1)) without; −1/(N − 1) between batches of an epoch, of any sizes.

    Raises:
        ValueError: for an unknown sampling, or where N is needed and missing or below B.
    """
    _checks.choice("sampling", sampling, SAMPLINGS)
    if sampling == "replacement":
        return BatchNoise(1 / setting.batch)
    if dataset_size is None:
        raise ValueError(f"sampling={sampling!r} draws from a finite data set; give dataset_size=N.")
    size = _checks.integer("dataset_size", dataset_size, at_least=1)
    own = finite_population_factor(setting.batch, size) / setting.batch
    if sampling == "subset":
        return BatchNoise(own)
    if sampling == "shuffle":
        return BatchNoise(own, -1 / max(size - 1, 1), size // setting.batch)
    rest = last_batch(setting.batch, size)
    last = finite_population_factor(rest, size) / rest
    return BatchNoise(own, -1 / max(size - 1, 1), -(-size // setting.batch), last)


def law_noise(law: str, sampling: str, setting: Setting, dataset_size: Any) -> BatchNoise:
    """The batch noise of SGD or of its SDE, which knows no epochs."""
    _checks.choice("law", law, LAWS)
    _checks.choice("sampling", sampling, SAMPLINGS)
    if law == "sde" and is_shuffled(sampling):
        raise ValueError(
            f"sampling={sampling!r}: shuffled epochs have anti-correlated noise and no matching SDE; use "
            f"law='sgd', or sampling='replacement' or 'subset'."
        )
    return batch_noise(sampling, setting, dataset_size)


def alike_batches(sampling: Sampling, batch: int, dataset_size: Any, refusal: str) -> Sampling:
    """The sampling as it is, but "shuffle" for a "shuffle_all" that leaves no example over.

    Raises:
        ValueError: with this refusal, for a "shuffle_all" whose last batch is smaller.
    """
    if sampling != "shuffle_all":
        return sampling
    if dataset_size is None or dataset_size % batch:
        raise ValueError(refusal)
    return "shuffle"


def positive_curvatures(curvatures: Any, setting: Setting | None) -> np.ndarray:
    """Refuse curvatures without a stationary law: λ ≤ 0, or ηλ ≥ 2(1 + m) where SGD is meant."""
    values = _checks.real("curvatures", curvatures)
    lowest, highest = float(values.min()), float(values.max())
    if not lowest > 1e-12 * max(highest, 0.0):
        raise ValueError(
            f"hessian must be positive definite, its lowest eigenvalue is {lowest:g}: along a flat or "
            f"falling direction SGD never settles. Add an l2 term, or restrict hessian H and "
            f"gradient_covariance C to curved directions E as EᵀHE and EᵀCE."
        )
    if setting is not None and not highest < setting.limit * (1 - 1e-9):
        raise ValueError(
            f"learning_rate * curvature must be < 2 (1 + momentum) = {2 * (1 + setting.momentum):g}, got "
            f"{setting.rate:g} * {highest:g} = {setting.rate * highest:g}: SGD is unstable. Use a learning "
            f"rate below {setting.limit * setting.rate / highest:g}."
        )
    return values
