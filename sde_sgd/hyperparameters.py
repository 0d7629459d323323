"""The single home of η, B, m, N, T, D and of the clocks k (steps), t (time) and epochs."""

from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_sgd import _checks, _samplings
from sde_sgd._platform import _names
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, described, known, short
from sde_sgd._types import ArrayLike, Numbers, Sampling

# XLA counts in 32 bits
_MOST_EXAMPLES = 2**31 - 1


class Hyperparameters(Shown, eqx.Module):
    r"""What a run of SGD is set to: learning rate η, batch size B, momentum m.

    The update is heavy-ball SGD: `v ← m v + ĝ`, `θ ← θ − η v`, with ĝ the mean gradient over
    B examples. With per-example gradient variance σ² the matching stochastic differential
    equation has

        effective learning rate  η' = η / (1 − m)
        temperature              T  = η' σ² / B        (the papers' temperature)
        diffusion constant       D  = T / 2            dθ = −∇L dt + √(2D) dW,  t = η' k

    and its stationary law for isotropic noise is **Gibbs exp(−2L/T) = exp(−L/D)**: the
    physical temperature is T/2, not T.

    Args:
        learning_rate: η > 0, a number or one for each chain, shape `(chains,)`.
        batch_size: B ≥ 1. It sets array shapes, so each value is compiled for itself;
            learning rate and momentum are not.
        momentum: m in [0, 1), a number or one for each chain.
        has_momentum: keep a momentum buffer; by default where m is not 0 for all chains.

    Raises:
        ValueError: if a value is out of range or not finite, as given or as JAX keeps it: in float32
            1 − 1e-8 is 1.

    >>> hyper = Hyperparameters(learning_rate=0.1, batch_size=4, momentum=0.9)
    >>> print(f"{hyper.ratio:.3f} {hyper.temperature(2.0):.3f} {hyper.time(100):.1f}")
    0.250 0.500 100.0
    >>> hyper.matching(momentum=0.0)
    Hyperparameters(learning_rate=1, batch_size=4, momentum=0)

    Source: Jastrzębski et al. 2017 (arXiv:1711.04623) for T; Smith & Le 2018
    (arXiv:1710.06451) for 1/(1 − m).
    """

    learning_rate: Float[Array, "*chains"]
    batch_size: int = eqx.field(static=True)
    momentum: Float[Array, "*chains"]
    has_momentum: bool = eqx.field(static=True)

    def __init__(
        self,
        learning_rate: Numbers,
        batch_size: Numbers = 1,
        momentum: Numbers = 0.0,
        *,
        has_momentum: bool | None = None,
    ):
        if callable(learning_rate):
            raise ValueError(
                f"learning_rate must be a number or one for each chain, got {short(learning_rate)}, a "
                f"function; a schedule multiplies it: SGD(problem, hyper, schedule=...)."
            )
        self.learning_rate = _checks.array("learning_rate", learning_rate, above=0)
        self.momentum = _checks.array(
            "momentum", momentum, at_least=0, below=1, hint="Plain SGD is momentum=0."
        )
        self.batch_size = _checks.integer("batch_size", batch_size, at_least=1, at_most=_MOST_EXAMPLES)
        for name in ("learning_rate", "momentum"):
            if getattr(self, name).ndim > 1:
                raise ValueError(
                    f"{name} must be a number or one for each chain, "
                    f"got an array of shape {getattr(self, name).shape}."
                )
        shapes = self.learning_rate.shape, self.momentum.shape
        if () not in shapes and shapes[0] != shapes[1]:
            raise ValueError(
                f"learning_rate and momentum must have as many entries where both have one for "
                f"each chain, got shapes {shapes[0]} and {shapes[1]}."
            )
        # of what was given: inside jit even a constant is traced once it is an array of JAX
        needed = not _checks.is_concrete(momentum) or bool(
            np.any(_checks.as_kept(np.asarray(momentum, float)))
        )
        self.has_momentum = needed or bool(has_momentum)

    def __repr__(self) -> str:
        names = "learning_rate", "batch_size", "momentum"
        return described(self, {name: getattr(self, name) for name in names})

    def _panel(self) -> Panel:
        size, (rate, momentum) = self.batch_size, map(known, (self.learning_rate, self.momentum))
        if rate is None or momentum is None:
            return super()._panel()
        time = rate / (1 - momentum)
        return Panel(
            "Hyperparameters",
            rows={
                "learning rate η": short(self.learning_rate),
                "batch size B": str(size),
                "momentum m": short(self.momentum),
                "time of a step, η/(1 − m)": short(time),
                "T/σ² = η/(B(1 − m))": short(time / size),
                "edge of stability, 2(1 + m)/η": short(2 * (1 + momentum) / rate),
            },
        )

    def matching(
        self,
        *,
        learning_rate: Numbers | None = None,
        batch_size: int | None = None,
        momentum: Numbers | None = None,
    ) -> "Hyperparameters":
        """Other hyperparameters with the same ratio η/(B(1 − m)), hence the same temperature.

        What is given is taken; the learning rate makes up for it, or the batch size where the
        learning rate is given and the batch size is not.

            Hyperparameters(0.1, 8).matching(batch_size=32)         # η = .4
            Hyperparameters(0.1, 8).matching(learning_rate=0.4)     # B = 32
            Hyperparameters(0.1, 8).matching(momentum=0.9)          # η = .01

        Raises:
            ValueError: if all three are given, or if the batch size would not be an integer.
        """
        if learning_rate is not None and batch_size is not None:
            raise ValueError(
                "matching can keep the ratio only if learning_rate or batch_size is free, got both: "
                f"{_checks.short(learning_rate)} and {_checks.short(batch_size)}. Leave one out."
            )
        given = self.momentum if momentum is None else momentum
        _checks.number("momentum", given, at_least=0, below=1)
        known = _checks.is_concrete((self.learning_rate, self.momentum, learning_rate, given))
        as_array: Any = partial(np.asarray, dtype=np.float64) if known else partial(jnp.asarray, dtype=float)
        m, old_momentum, old_rate = map(as_array, (given, self.momentum, self.learning_rate))
        ratio = old_rate / (self.batch_size * (1 - old_momentum))
        if learning_rate is None:
            size = self.batch_size if batch_size is None else batch_size
            return Hyperparameters(ratio * size * (1 - m), size, m)
        if not known:
            raise ValueError(
                "batch_size sets shapes, so inside jit, vmap or grad it cannot follow from learning_rate; "
                "give batch_size and let the learning rate follow."
            )
        _checks.number("learning_rate", learning_rate, above=0)
        exact = np.asarray(learning_rate, np.float64) / (ratio * (1 - m))
        size = round(float(exact.flat[0]))
        # η is kept in float32, so the quotient is an integer to that accuracy only
        if size < 1 or not np.allclose(exact, size, rtol=1e-5):
            raise ValueError(
                f"batch_size would be {exact.flat[0]:g} for learning_rate "
                f"{_checks.short(learning_rate)}, and must be the same positive integer for all "
                f"chains; give batch_size and let the learning rate follow."
            )
        return Hyperparameters(learning_rate, size, m)

    @property
    def effective_learning_rate(self) -> Float[Array, "*chains"]:
        """η / (1 − m): the SDE time that one step is worth."""
        return effective_learning_rate(self.learning_rate, self.momentum)

    @property
    def ratio(self) -> Float[Array, "*chains"]:
        """η / ((1 − m) B), the noise-to-step ratio the papers call η/B."""
        return self.effective_learning_rate / self.batch_size

    @property
    def edge_of_stability(self) -> Float[Array, "*chains"]:
        """2(1 + m)/η, above which a curvature makes heavy-ball gradient descent unstable on a quadratic.

        On L = λθ²/2 its roots solve r² − (1 + m − ηλ) r + m = 0, and one of them passes −1 there.

        Source: Cohen, Kaur, Li, Kolter, Talwalkar 2021 (arXiv:2103.00065), section 2.
        """
        return 2.0 * (1.0 + self.momentum) / self.learning_rate

    def temperature(self, noise_variance: ArrayLike) -> Array:
        """T = η σ² / ((1 − m) B) for the per-example gradient variance σ² per coordinate."""
        return temperature(self.learning_rate, self.batch_size, noise_variance, self.momentum)

    def diffusion(self, noise_variance: ArrayLike) -> Array:
        """D = T / 2, as in dθ = −∇L dt + √(2D) dW."""
        return self.temperature(noise_variance) / 2

    def time(self, steps: ArrayLike) -> Array:
        """SDE time t = η k / (1 − m) after k steps."""
        return steps_to_time(steps, self.learning_rate, self.momentum)

    def steps(self, time: ArrayLike) -> Array:
        """Number of steps k = t (1 − m) / η (a real number) that SDE time t takes."""
        return time_to_steps(time, self.learning_rate, self.momentum)

    def epochs(self, steps: ArrayLike, dataset_size: int, *, sampling: Sampling | None = None) -> Array:
        """Passes through the data after k steps: k B / N, or k / ⌈N/B⌉ with sampling="shuffle_all"."""
        return steps_to_epochs(steps, self.batch_size, dataset_size, sampling=sampling)

    def noise_scale(self, dataset_size: int) -> Array:
        """Smith & Le's g = ε (N/B − 1) / (1 − m); see `noise_scale`."""
        return noise_scale(self.learning_rate, self.batch_size, dataset_size, self.momentum)


def effective_learning_rate(learning_rate: ArrayLike, momentum: ArrayLike = 0.0) -> Array:
    """η / (1 − m)."""
    rate = _checks.array("learning_rate", learning_rate, above=0)
    return rate / (1.0 - _checks.array("momentum", momentum, at_least=0, below=1))


def temperature(
    learning_rate: ArrayLike, batch_size: ArrayLike, noise_variance: ArrayLike, momentum: ArrayLike = 0.0
) -> Array:
    """T = η σ² / ((1 − m) B), with σ² the per-example gradient variance per coordinate."""
    variance = _checks.array("noise_variance", noise_variance, at_least=0)
    size = _checks.array("batch_size", batch_size, above=0)
    return effective_learning_rate(learning_rate, momentum) * variance / size


def learning_rate_for_temperature(
    temperature: ArrayLike, batch_size: ArrayLike, noise_variance: ArrayLike, momentum: ArrayLike = 0.0
) -> Array:
    """η = T B (1 − m) / σ², the inverse of `temperature`."""
    variance = _checks.array("noise_variance", noise_variance, above=0)
    size = _checks.array("batch_size", batch_size, above=0)
    left = 1.0 - _checks.array("momentum", momentum, at_least=0, below=1)
    return jnp.asarray(temperature, dtype=float) * size * left / variance


def steps_to_time(steps: ArrayLike, learning_rate: ArrayLike, momentum: ArrayLike = 0.0) -> Array:
    """SDE time t = η k / (1 − m)."""
    return jnp.asarray(steps, dtype=float) * effective_learning_rate(learning_rate, momentum)


def time_to_steps(time: ArrayLike, learning_rate: ArrayLike, momentum: ArrayLike = 0.0) -> Array:
    """k = t (1 − m) / η, the inverse of `steps_to_time` (a real number, not rounded)."""
    return jnp.asarray(time, dtype=float) / effective_learning_rate(learning_rate, momentum)


def steps_to_epochs(
    steps: ArrayLike, batch_size: ArrayLike, dataset_size: int, *, sampling: Sampling | None = None
) -> Array:
    """Epochs = k B / N, or k / ⌈N/B⌉ with sampling="shuffle_all", which leaves no example out."""
    size = _checks.integer("dataset_size", dataset_size, at_least=1)
    count, whole = _epoch(batch_size, size, sampling)
    result: Array = jnp.asarray(steps, dtype=float) * whole / count
    return result


def epochs_to_steps(
    epochs: ArrayLike, batch_size: ArrayLike, dataset_size: int, *, sampling: Sampling | None = None
) -> Array:
    """k = epochs N / B, or epochs ⌈N/B⌉: the inverse of `steps_to_epochs` (a real number, not rounded)."""
    size = _checks.integer("dataset_size", dataset_size, at_least=1)
    _checks.number("batch_size", batch_size, above=0)
    count, whole = _epoch(batch_size, size, sampling)
    result: Array = jnp.asarray(epochs, dtype=float) * count / whole
    return result


def _epoch(batch_size: ArrayLike, size: int, sampling: str | None) -> tuple[Any, Any]:
    """Steps in an epoch as a fraction, also for an array of batch sizes."""
    if sampling is not None:
        _checks.choice("sampling", sampling, _samplings.SAMPLINGS)
        _checks.number("batch_size", batch_size, above=0)
    count, whole = _samplings.epoch(jnp.asarray(batch_size), size, sampling)
    return jnp.asarray(count, dtype=float), jnp.asarray(whole, dtype=float)


def noise_scale(
    learning_rate: ArrayLike, batch_size: ArrayLike, dataset_size: int, momentum: ArrayLike = 0.0
) -> Array:
    """Smith & Le's noise scale g = ε (N/B − 1) / (1 − m), for the *summed* cost.

    It vanishes at B = N, where sampling without replacement leaves no noise, and tends to
    εN/(B(1 − m)) for B ≪ N. Source: arXiv:1710.06451, eq. 7 and section 5.

    Raises:
        ValueError: if B > N, where g has no meaning.
    """
    size = _checks.integer("dataset_size", dataset_size, at_least=1)
    _checks.number("batch_size", batch_size, above=0)
    if _checks.is_concrete(batch_size) and np.any(np.asarray(batch_size) > size):
        raise ValueError(f"batch_size must be <= dataset_size = {size}, got {batch_size}.")
    excess = size / jnp.asarray(batch_size, dtype=float) - 1.0
    return effective_learning_rate(learning_rate, momentum) * excess


def finite_population_factor(batch_size: int, dataset_size: int) -> float:
    """(N − B) / (N − 1): what drawing B of N without replacement leaves of C/B.

    Raises:
        ValueError: if B > N.
    """
    size = _checks.integer("dataset_size", dataset_size, at_least=1)
    batch = _checks.integer("batch_size", batch_size, at_least=1)
    if batch > size:
        raise ValueError(
            f"batch_size must be <= dataset_size = {size} without replacement, got {batch}. "
            f"Use a smaller batch or sampling='replacement'."
        )
    return (size - batch) / max(size - 1, 1)


__dir__ = _names.public(globals())
