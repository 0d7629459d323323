"""What a run near a minimum says of its learning coefficient, and whether to believe it."""

import math
from dataclasses import dataclass, field

import numpy as np
import scipy

from sde_sgd._platform._html import BAD, OPEN, Panel
from sde_sgd._platform._shown import Shown
from sde_sgd.statistics._moments import mean_error
from sde_sgd.statistics._time_average import split_r_hat

# A remark is wrong so often, for each of three
_LEVEL = 1e-3
_ENOUGH_DRAWS = 8
_MIXED = 1.1


@dataclass(frozen=True, kw_only=True, repr=False)
class LearningCoefficient(Shown):
    r"""λ̂ = nβ (⟨L⟩ − L(θ*)) with its error, and what speaks against it. Print it.

    Attributes:
        value: λ̂.
        standard_error: of `value`, from the spread of the chains' time averages.
        temperature_ratio: nβ ⟨(θ − θ*)·∇L_γ⟩/d, with L_γ the loss with its spring: the temperature that the
            chains have over the one asked for. By parts its mean is 1 in the law that is meant,
            singular or not. Above 1: the noise of minibatches, or too large a learning rate. Below 1:
            the chains are still on their way out.
        temperature_error: its standard error.
        rescaled: λ̂ at the temperature that the chains have, `value`/`temperature_ratio`. To first order
            free of the noise of minibatches and of the step size where all directions are heated alike,
            and for a quadratic with γ ≪ nβh always, there with next to no error. Where flat directions
            fill slowly its error can be the larger one.
        rescaled_error: its standard error.
        drift, drift_error: λ̂ of the second half of the samples less that of the first.
        r_hat: split-R̂ of the loss, nan for fewer than 8 samples.
        lowest: the lowest nβ (L − L(θ*)) of all samples. Well below 0, θ* is no minimum.
        dimension: d, the number of parameters; a regular minimum has λ = d/2.
        samples: n.
        inverse_temperature: β.
        localisation: γ.
        learning_rate: η.
        batch_size: B, None where every step looked at all examples.
        steps, burn_in, every: of the run; samples were taken every so many steps after `burn_in`.
        chains: that λ̂ comes from.
        diverged: chains that were left out.
        trace: nβ (L − L(θ*)), mean over the chains, at `trace_steps`, burn-in included.
        per_chain: λ̂ of each chain.
    """

    value: float
    standard_error: float
    temperature_ratio: float
    temperature_error: float
    rescaled: float
    rescaled_error: float
    drift: float
    drift_error: float
    r_hat: float
    lowest: float
    dimension: int
    samples: int
    inverse_temperature: float
    localisation: float
    learning_rate: float
    batch_size: int | None
    steps: int
    burn_in: int
    every: int
    chains: int
    diverged: int
    trace_steps: np.ndarray = field(repr=False)
    trace: np.ndarray = field(repr=False)
    per_chain: np.ndarray = field(repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Both ends of the interval that holds λ̂'s mean with this probability, by Student's t."""
        if not 0 < level < 1:
            raise ValueError(f"level must be > 0 and < 1, got {level!r}.")
        half = scipy.stats.t.ppf((1 + level) / 2, self.chains - 1) * self.standard_error
        return float(self.value - half), float(self.value + half)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What speaks against the value, a line each; each may be a false alarm once in a thousand."""
        found = []
        if self.diverged:
            found.append(
                f"{self.diverged} of {self.chains + self.diverged} chains diverged and are left out: what "
                f"is left is biased; take a smaller learning_rate"
            )
        if self.lowest < -1:
            found.append(
                f"a loss was seen below that at θ*: nβ(L − L*) = {self.lowest:.3g}; θ* is no minimum, train "
                f"further or start at a lower point"
            )
        if self._beyond(self.drift, self.drift_error):
            found.append(
                f"λ̂ moves by {self.drift:+.3g} ± {self.drift_error:.2g} from the first half of the samples "
                f"to the second: no equilibrium yet, take a longer burn_in"
            )
        gap = self.temperature_ratio - 1
        if self._beyond(gap, self.temperature_error):
            cause = (
                "the noise of minibatches or the size of a step heats them: take a smaller learning_rate or "
                "all examples, or read `rescaled`"
                if gap > 0
                else "they are still on their way out: take more steps and a longer burn_in"
            )
            found.append(
                f"the chains are at {self.temperature_ratio:.4g} ± {self.temperature_error:.2g} of the "
                f"temperature asked for: {cause}"
            )
        if self.r_hat > _MIXED:
            found.append(f"split-R̂ is {self.r_hat:.3g}: the chains have not mixed, take more steps")
        return tuple(found)

    def _beyond(self, gap: float, error: float) -> bool:
        # at rounding nothing is worth a remark
        return bool(abs(gap) > max(scipy.stats.t.isf(_LEVEL / 2, self.chains - 1) * error, 1e-5))

    def __str__(self) -> str:
        away = self.samples * self.inverse_temperature / (self.localisation * self.learning_rate or math.nan)
        looked = "all examples" if self.batch_size is None else f"B = {self.batch_size}"
        head = f"local learning coefficient {self.value:.4g} ± {self.standard_error:.2g}"
        heat = f"temperature of the chains {self.temperature_ratio:.4g} ± {self.temperature_error:.2g}"
        again = f"λ̂ at that temperature {self.rescaled:.4g} ± {self.rescaled_error:.2g}"
        law = f"n = {self.samples}, β = {self.inverse_temperature:.4g}, γ = {self.localisation:g}"
        taken = f"{self.steps} steps, the first {self.burn_in} left out"
        lines = [
            f"{head}   (d/2 = {self.dimension / 2:g}, {self.chains} chains)",
            f"  {heat} of that asked for; {again}",
            f"  {law}, η = {self.learning_rate:.4g}, {looked}",
            f"  {taken}; a direction that only γ holds takes {away:.2g}",
        ]
        return "\n".join([*lines, *(f"  ! {remark}" for remark in self.remarks)])

    def _panel(self) -> Panel:
        rows = {
            "d/2": f"{self.dimension / 2:g}",
            "temperature": f"{self.temperature_ratio:.4g} ± {self.temperature_error:.2g} of that asked for",
            "λ̂ at that temperature": f"{self.rescaled:.4g} ± {self.rescaled_error:.2g}",
            "law": f"n = {self.samples}, β = {self.inverse_temperature:.4g}, γ = {self.localisation:g}",
            "chains": f"{self.chains}",
            "steps": f"{self.steps}, the first {self.burn_in} left out",
        }
        head = f"{self.value:.4g} ± {self.standard_error:.2g}"
        notes = self.remarks
        return Panel("LearningCoefficient", head, rows, notes=notes, colour=BAD if notes else OPEN)


def averages(energy: np.ndarray, virial: np.ndarray) -> dict[str, float]:
    """The numbers of `LearningCoefficient` from samples after the burn-in.

    Args:
        energy: nβ (L − L*), shape `(samples, chains)`, two chains or more.
        virial: nβ (θ − θ*)·∇L_γ/d, of the same shape.
    """
    each, ratio = energy.mean(axis=0), virial.mean(axis=0)
    value, temperature = float(each.mean()), float(ratio.mean())
    rescaled = value / temperature if temperature > 0 else math.nan
    drift, half = np.full(len(each), np.nan), len(energy) // 2
    if half:
        drift = energy[-half:].mean(axis=0) - energy[:half].mean(axis=0)
    r_hat = math.nan
    if len(energy) >= _ENOUGH_DRAWS and np.ptp(energy) > 0:
        r_hat = split_r_hat(energy.T)
    return {
        "value": value,
        "standard_error": mean_error(each),
        "temperature_ratio": temperature,
        "temperature_error": mean_error(ratio),
        "rescaled": rescaled,
        # of a ratio of means, to first order
        "rescaled_error": (
            mean_error((each - rescaled * ratio) / temperature) if temperature > 0 else math.nan
        ),
        "drift": float(drift.mean()),
        "drift_error": mean_error(drift),
        "r_hat": float(r_hat),
    }
