"""One of each public class of the explorer, and what its print must say."""

from typing import Any

from sde_sgd import explorer

APART = explorer.Distance(0.25, 0.125, 1.5, 0.5)


def filled(kind: Any, **fields: Any) -> Any:
    """An object of a frozen class with these fields, unchecked."""
    made = object.__new__(kind)
    vars(made).update(fields)
    return made


EXAMPLES: dict[type, tuple[Any, list[str]]] = {
    explorer.WellSettings: (lambda: explorer.WellSettings(tilt=0.125), ["tilt=0.125", "'double well'"]),
    explorer.DigitsSettings: (lambda: explorer.DigitsSettings(0.125), ["learning_rate=0.125"]),
    explorer.Distance: (lambda: APART, ["ks=0.25", "w1_error=0.5"]),
    explorer.Direction: (
        lambda: filled(explorer.Direction, name="sharpest", curvature=2.5, to_exact=APART),
        ["'sharpest'", "curvature=2.5", "ks=0.25"],
    ),
    explorer.WellNumbers: (
        lambda: filled(
            explorer.WellNumbers, temperature=0.125, time=20.0, distances={("SGD", "Gibbs"): APART}
        ),
        ["temperature=0.125", "'SGD to Gibbs': 0.25"],
    ),
    explorer.DigitsNumbers: (
        lambda: filled(explorer.DigitsNumbers, edge=2.5, steps=8, directions=()),
        ["edge=2.5", "steps=8"],
    ),
}
