"""Faults in the cards of "Don't Decay the Learning Rate, Increase the Batch Size"."""

from planted._fault import Fault

_ARMS = "paper_checks/dont_decay/_arms.py"
_LAG = "paper_checks/dont_decay/_lag.py"
_SCALE = "paper_checks/dont_decay/scale.py"
_TESTS = "paper_checks/test_dont_decay_cards.py"

FAULTS = [
    Fault(
        "the best arm counts, not the one that is least shown to be equal",
        _ARMS,
        "found = max(measurements, key=lambda one: (one.p or 0.0, abs(one.estimate)))",
        "found = min(measurements, key=lambda one: (one.p or 0.0, abs(one.estimate)))",
        f"{_TESTS}::test_the_worst_of_the_arms_counts_and_the_nearest_of_the_controls",
    ),
    Fault(
        "schedules are compared before the first change",
        _ARMS,
        'result["epoch"].values > after',
        'result["epoch"].values <= after',
        f"{_TESTS}::test_curves_are_compared_after_the_first_change",
    ),
    Fault(
        "a batch that grows by the factor is the control that grows half as fast",
        _ARMS,
        "factor ** (stage / 2)",
        "factor**stage",
        f"{_TESTS}::test_the_noise_scale_is_one_for_the_three_schedules",
    ),
    Fault(
        "the lag of the reference behind the curve",
        _LAG,
        "(rows - times[reference])",
        "(times[reference] - rows)",
        f"{_TESTS}::test_the_lag_of_a_curve_that_is_late",
    ),
    Fault(
        "devices compared by their mean difference",
        _SCALE,
        "np.abs(here / there - 1).max()",
        "np.abs((here / there).mean() - 1)",
        f"{_TESTS}::test_one_and_eight_devices_are_compared_after_as_many_updates",
    ),
]
