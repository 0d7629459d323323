"""Online linear regression in one dimension: noise that grows with the error, and heavy tails."""

from typing import Any, Literal

import scipy

from sde_sgd import _checks
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._setting import LAWS, one_setting, without_momentum


def online_regression_law(
    hyper: Hyperparameters, *, input_variance: float = 1.0, noise_variance: float = 1.0
) -> "scipy.stats.distributions.rv_frozen":
    r"""Student's t with ν = 1 + 1/T degrees of freedom: the SDE of w in ℓ = ½(wx − ε)².

    For Gaussian inputs x of variance a and targets ε of variance s², measured from the true weight,
    L' = aw and C(w) = a(s² + 2aw²). With T = η'a/B,

        p(w) ∝ (1 + 2aw²/s²)^{−(1 + 1/(2T))},    Var w = (s²/a) T/(2(1 − T)).

    Var w is infinite for T ≥ 1, while the law still exists. Of SGD itself the tails are alike but
    not the variance, see `online_regression_variance`.

    Args:
        hyper: one η, B and m.
        input_variance: a > 0.
        noise_variance: s² > 0.

    Returns:
        A frozen `scipy.stats.t`, with `pdf`, `cdf`, `var`, `rvs` and so on.

    Raises:
        ValueError: for values out of range.

    Source: `ito_density` in closed form. Gürbüzbalaban, Şimşekli, Zhu 2021 (arXiv:2006.04740) for the
    power law in general.
    """
    a, s2 = _variances(input_variance, noise_variance)
    setting = one_setting(hyper)
    freedom = 1 + setting.batch / (setting.effective_rate * a)
    return scipy.stats.t(df=freedom, scale=(s2 / (2 * a * freedom)) ** 0.5)


def online_regression_variance(
    hyper: Hyperparameters,
    *,
    law: Literal["sgd", "sde"] = "sgd",
    input_variance: float = 1.0,
    noise_variance: float = 1.0,
) -> float:
    r"""Var w of online linear regression: SGD's (s²/a) T/(2 − ηa − 2T), the SDE's (s²/a) T/(2(1 − T)).

    T = ηa/B. At fixed T the two differ by O(η): a test of the SDE's variance against SGD needs ηa ≪ 1,
    not only T ≪ 1. The same second moment holds for any inputs with E x⁴ = 3a².

    Args:
        hyper: one η and B, no momentum.
        law: "sgd" or "sde".
        input_variance, noise_variance: a > 0 and s² > 0.

    Raises:
        ValueError: for values out of range, or where the variance is infinite: ηa + 2T ≥ 2 of SGD,
            T ≥ 1 of the SDE.
    """
    _checks.choice("law", law, LAWS)
    a, s2 = _variances(input_variance, noise_variance)
    setting = without_momentum(hyper, "online_regression_variance")
    T = setting.rate * a / setting.batch
    rest = 2 - 2 * T - (setting.rate * a if law == "sgd" else 0.0)
    if not rest > 0:
        wanted = "ηa + 2T must be < 2" if law == "sgd" else "T must be < 1"
        raise ValueError(
            f"the variance is infinite: learning_rate * input_variance is {setting.rate * a:g}, T = {T:g}, "
            f"and {wanted}. Use a smaller learning rate or a larger batch."
        )
    return s2 / a * T / rest


def _variances(inputs: Any, noise: Any) -> tuple[float, float]:
    a = _checks.scalar("input_variance", inputs, above=0)
    return float(a), float(_checks.scalar("noise_variance", noise, above=0))
