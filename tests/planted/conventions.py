"""Faults in the conventions, the schedules and the random numbers."""

from planted._fault import Fault

_HYPER = "sde_sgd/hyperparameters.py"

FAULTS = [
    Fault(
        "η(1 − m) for η/(1 − m)",
        _HYPER,
        "jnp.asarray(learning_rate, dtype=float) / (1.0 - jnp.asarray(momentum, dtype=float))",
        "jnp.asarray(learning_rate, dtype=float) * (1.0 - jnp.asarray(momentum, dtype=float))",
        "test_hyperparameters.py",
    ),
    Fault(
        "D = T for T/2",
        _HYPER,
        "self.temperature(noise_variance) / 2",
        "self.temperature(noise_variance)",
        "test_hyperparameters.py",
    ),
]
