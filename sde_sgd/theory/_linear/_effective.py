"""Effective temperatures along the directions of a minimum, and the identity that holds beyond it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, described
from sde_sgd._samplings import SAMPLINGS, is_shuffled
from sde_sgd._types import Numbers, Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._linear._covariance import eigenmodes
from sde_sgd.theory._linear._matrix_free import directional_variance
from sde_sgd.theory._setting import alike_batches, batch_noise, law_noise, one_setting


@dataclass(frozen=True, repr=False)
class EffectiveTemperature(Shown):
    r"""T_i = 2λ_i eᵢᵀΣeᵢ along the eigenvectors of the Hessian.

    In equilibrium at temperature T, Σ = (T/2) H⁻¹ and every T_i is T. Where they differ there is no
    single temperature, and no Gibbs law.

    Attributes:
        curvatures: λ_i, ascending, shape `(d,)`.
        directions: eᵢ as columns, shape `(d, d)`.
        temperatures: T_i at this η, shape `(d,)`, units of the loss.
        first_order: η'·(eᵢᵀCeᵢ)/B of the SDE, shape `(d,)`: what T_i tends to as η → 0 at fixed η/B.
    """

    curvatures: np.ndarray
    directions: np.ndarray
    temperatures: np.ndarray
    first_order: np.ndarray

    def __repr__(self) -> str:
        names = ("curvatures", "temperatures", "first_order")
        return described(self, {name: getattr(self, name) for name in names})

    @property
    def mean(self) -> float:
        """T = (2/d) E[θ·∇L], the temperature that equipartition shows."""
        return float(self.temperatures.mean())

    @property
    def virial(self) -> float:
        """E[θ·∇L] = Tr HΣ = d T/2."""
        return float(self.temperatures.sum() / 2)

    @property
    def excess_loss(self) -> float:
        """E L − L* = ½ Tr HΣ = d T/4."""
        return float(self.temperatures.sum() / 4)

    @property
    def anisotropy(self) -> float:
        """Largest over smallest T_i: 1 in equilibrium; infinite if a T_i is 0, and nan if all are."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.temperatures.max() / self.temperatures.min())


def effective_temperature(
    hessian: Numbers,
    gradient_covariance: Numbers,
    hyper: Hyperparameters,
    *,
    law: Literal["sgd", "sde"] = "sgd",
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
    average: bool = False,
) -> EffectiveTemperature:
    r"""The temperature T_i = 2λ_i eᵢᵀΣeᵢ of each direction of a quadratic, exact at finite η.

    Without momentum T_i = η(eᵢᵀCeᵢ)/B · 2/(2 − ηλ_i), so E[θ·∇L] = (η/B) Tr[(2 − ηH)⁻¹C], which is
    (η/2B) Tr C to first order. With C = σ²I the first order is the papers' T = ησ²/B everywhere;
    near a minimum of a well-specified likelihood C = H, T_i ∝ λ_i and E L − L* = (η/4B) Tr H.

    Args:
        hessian, gradient_covariance, hyper, sampling, dataset_size, average: as in
            `discrete_covariance`.
        law: "sgd" or "sde".

    Returns:
        `EffectiveTemperature`.

    Raises:
        ValueError: as in `discrete_covariance`, or for sampling="shuffle_all" where B does not divide N.

    Source: derived here; first order: Jastrzębski et al. 2017 (arXiv:1711.04623).
    """
    setting = one_setting(hyper)
    sampling = alike_batches(
        sampling,
        setting.batch,
        dataset_size,
        "sampling='shuffle_all' has no one η C/B to be compared with, as its last batch is noisier than "
        "the others. Use sampling='shuffle', which leaves the rest out, or "
        "2 λ directional_variance(..., sampling='shuffle_all') for its temperatures alone.",
    )
    values, vectors, C = eigenmodes(hessian, gradient_covariance)
    options: dict[str, Any] = {"sampling": sampling, "dataset_size": dataset_size}
    variances = directional_variance(values, np.diag(C), hyper, law=law, average=average, **options)
    own = law_noise(law, sampling, setting, dataset_size).own
    return EffectiveTemperature(
        values, vectors, 2 * values * variances, setting.effective_rate * own * np.diag(C)
    )


def virial(
    hyper: Hyperparameters,
    *,
    square_gradient: float,
    noise_trace: float,
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
) -> float:
    r"""What stationarity alone says of E[θ·∇L], for any loss and noise: no quadratic, no small η.

    From E|θ'|² = E|θ|²:   E[θ·∇L] = (η/2) (E|∇L|² + Tr E C/B).

    The second term alone, (η/2B) Tr C, is the SDE's; the first is the finite step. θ may be
    measured from any fixed point, as E ∇L = 0.

    Args:
        hyper: one η and B; no momentum (see `virial_with_momentum`).
        square_gradient: E|∇L|² in the stationary law.
        noise_trace: E Tr C(θ), of one example.
        sampling: "replacement" or "subset"; in shuffled epochs θ and the batch are not independent.
        dataset_size: N, for "subset".

    Returns:
        E[θ·∇L], units of the loss; times 2/d it is a temperature.

    Raises:
        ValueError: for values out of range, momentum, or shuffled epochs.

    Source: Yaida 2019 (arXiv:1810.00004), a fluctuation-dissipation relation.
    """
    setting = one_setting(hyper)
    _checks.scalar("square_gradient", square_gradient, at_least=0)
    _checks.scalar("noise_trace", noise_trace, at_least=0)
    if setting.momentum:
        raise ValueError(
            f"momentum must be 0, got {setting.momentum:g}: with momentum the identity needs the buffer v. "
            f"Use virial_with_momentum(hyper, square_velocity=...)."
        )
    _checks.choice("sampling", sampling, SAMPLINGS)
    if is_shuffled(sampling):
        raise ValueError(
            f"sampling must be 'replacement' or 'subset', got {sampling!r}: "
            "within a shuffled epoch the batch depends on theta."
        )
    noise = batch_noise(sampling, setting, dataset_size)
    return setting.rate / 2 * (float(square_gradient) + noise.own * float(noise_trace))


def virial_with_momentum(hyper: Hyperparameters, *, square_velocity: float) -> float:
    r"""E[θ·∇L] = (η(1 + m)/2) E|v|² for heavy-ball SGD with buffer v, at any η and for any loss.

    From the stationarity of |θ|² and θ·v. Without momentum v = ĝ, and this is `virial`.

    Args:
        hyper: one η and m.
        square_velocity: E|v|² in the stationary law.

    Raises:
        ValueError: for values out of range.

    Source: Yaida 2019 (arXiv:1810.00004), in this convention of v.
    """
    setting = one_setting(hyper)
    _checks.scalar("square_velocity", square_velocity, at_least=0)
    return setting.rate * (1 + setting.momentum) / 2 * float(square_velocity)
