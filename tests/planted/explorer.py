"""Faults in what the explorer computes."""

from planted._fault import Fault

_SEEN = "explorer/test_explorer.py"

FAULTS = [
    Fault(
        "a sample's steps are met from below alone",
        "sde_sgd/explorer/_distances.py",
        "np.maximum(np.arange(1, n + 1) / n - cdf, cdf - np.arange(n) / n)",
        "np.abs(np.arange(n) / n - cdf) * (1 - 1 / n)",
        f"{_SEEN}::test_distances_are_those_of_statistics",
    ),
    Fault(
        "the SDE has half its temperature",
        "sde_sgd/explorer/_wells.py",
        "cold = _well(settings, temperature / tick)",
        "cold = _well(settings, 0.5 * temperature / tick)",
        f"{_SEEN}::test_the_laws_are_those_of_theory",
    ),
]
