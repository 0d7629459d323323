"""What the explorer's controls are set to, checked once."""

from dataclasses import dataclass
from typing import Any, Literal

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import NoiseLaw
from sde_sgd.problems._noise import LAWS

WELLS = ("double well", "parabola", "two minima")
STARTS = ("law", "spread")
FRESH = "fresh"
BATCHES = ("replacement", "subset", "shuffle")
# examples of the data set that batches of a well are drawn from
EXAMPLES = 128
# on either side; beyond .385 the double well has one minimum only
MOST_TILT = 0.38

Well = Literal["double well", "parabola", "two minima"]


@dataclass(frozen=True, repr=False)
class WellSettings(Shown):
    r"""SGD on a well on the line, beside its SDE and its Gibbs law.

    Args:
        learning_rate: η > 0.
        batch_size: B ≥ 1; at most 128 with batches of a data set.
        noise_variance: σ² > 0 of one example's gradient.
        momentum: m in [0, 1).
        sampling: "fresh" (new noise each step, by `noise_law`), or how batches are drawn from a data set of
            128 examples ℓ_n = L + a_n x with Var a = σ²: "replacement", "subset", "shuffle".
        noise_law: of fresh noise: "gaussian", "rademacher", "exponential".
        well: "double well" (`problems.DoubleWell`), "parabola" (x²/2) or "two minima" (a narrow one beside a
            wide one, `problems.TwoMinima`).
        tilt: of the double well, or how much higher the wide minimum lies; |tilt| ≤ .38. A parabola has none.
        chains: how many, ≥ 64.
        time: of the SDE, ηk/(1 − m), that SGD and SDE run for.
        start: "law" (the SDE's chains are drawn from Gibbs, SGD's from its own law where one is known: what
            stays there has that law) or "spread" (evenly over both wells, whose shares take long to settle).

    Raises:
        ValueError: for a value out of range.
    """

    learning_rate: float = 0.1
    batch_size: int = 2
    noise_variance: float = 4.0
    momentum: float = 0.0
    sampling: Literal["fresh", "replacement", "subset", "shuffle"] = "fresh"
    noise_law: NoiseLaw = "gaussian"
    well: Well = "double well"
    tilt: float = 0.0
    chains: int = 4096
    time: float = 20.0
    start: Literal["law", "spread"] = "law"

    def __post_init__(self) -> None:
        _rates(self)
        _keep(self, "noise_variance", _checks.scalar("noise_variance", self.noise_variance, above=0))
        _checks.choice("sampling", self.sampling, (FRESH, *BATCHES))
        _checks.choice("noise_law", self.noise_law, LAWS)
        _checks.choice("well", self.well, WELLS)
        tilt = _checks.scalar("tilt", self.tilt)
        if abs(tilt) > MOST_TILT:
            raise ValueError(
                f"tilt must be in [-{MOST_TILT:g}, {MOST_TILT:g}], got {tilt:g}: beyond .385 there is one "
                f"well only."
            )
        _keep(self, "tilt", tilt)
        _keep(self, "time", _checks.scalar("time", self.time, above=0))
        _checks.choice("start", self.start, STARTS)
        if self.sampling != FRESH and self.batch_size > EXAMPLES:
            raise ValueError(
                f"batch_size must be <= {EXAMPLES}, the size of the data set, with "
                f"sampling={self.sampling!r}, got {self.batch_size}. Use a smaller one or sampling='fresh'."
            )


@dataclass(frozen=True, repr=False)
class DigitsSettings(Shown):
    r"""SGD on a softmax regression on digits, along its sharpest directions and along random ones.

    The digits 3, 5 and 8 in 4 × 4 pixels: 51 parameters, one minimum, as there is a penalty (l2/2)‖θ‖².

    Args:
        learning_rate: η > 0, below the edge of stability 2(1 + m)/λ₁.
        batch_size: B, at most as many as there are examples.
        momentum: m in [0, 1).
        sampling: "replacement", "subset" or "shuffle".
        chains: how many, ≥ 64.

    Raises:
        ValueError: for a value out of range.
    """

    learning_rate: float = 0.1
    batch_size: int = 8
    momentum: float = 0.0
    sampling: Literal["replacement", "subset", "shuffle"] = "replacement"
    chains: int = 1024

    def __post_init__(self) -> None:
        _rates(self)
        _checks.choice("sampling", self.sampling, BATCHES)


Settings = WellSettings | DigitsSettings


def _rates(settings: Any) -> None:
    """η, B, m and the number of chains, which all settings have."""
    _keep(settings, "learning_rate", _checks.scalar("learning_rate", settings.learning_rate, above=0))
    _keep(settings, "batch_size", _checks.integer("batch_size", settings.batch_size, at_least=1))
    _keep(settings, "momentum", _checks.scalar("momentum", settings.momentum, at_least=0, below=1))
    _keep(settings, "chains", _checks.integer("chains", settings.chains, at_least=64, at_most=1_000_000))


def _keep(settings: Any, name: str, value: Any) -> None:
    """Keep a value as the check gives it back, in what is frozen from now on."""
    object.__setattr__(settings, name, value)
