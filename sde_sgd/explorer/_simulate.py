"""The one function behind the explorer: from settings to numbers."""

from jaxtyping import Array, Key

from sde_sgd._platform._shown import short
from sde_sgd.explorer._digits import DigitsNumbers, simulate_digits
from sde_sgd.explorer._settings import DigitsSettings, Settings, WellSettings
from sde_sgd.explorer._wells import WellNumbers, simulate_well
from sde_sgd.random import check_key


def simulate(settings: Settings, *, key: Key[Array, ""]) -> WellNumbers | DigitsNumbers:
    """SGD as it is set, beside its SDE and what theory says of both.

        numbers = explorer.simulate(explorer.WellSettings(learning_rate=0.2), key=jax.random.key(0))
        explorer.picture(numbers)

    A function of its arguments alone. What it compiles it finds again for other η, σ², m, tilts and times; a
    new B, number of chains, sampling, noise law or well is compiled once.

    Args:
        settings: `WellSettings` or `DigitsSettings`.
        key: `jax.random.key(seed)`. With the same one from move to move only what the settings change moves.

    Returns:
        `WellNumbers` or `DigitsNumbers`.

    Raises:
        ValueError: where SGD is unstable, or there is no noise.
        ImportError: for digits without scikit-learn.
    """
    check_key(key)
    if isinstance(settings, WellSettings):
        return simulate_well(settings, key)
    if isinstance(settings, DigitsSettings):
        return simulate_digits(settings, key)
    raise ValueError(f"settings must be WellSettings or DigitsSettings, got {short(settings)}.")
