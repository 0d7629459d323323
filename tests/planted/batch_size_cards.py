"""Faults in the cards of the best batch size."""

from planted._fault import Fault

_OPTIMUM = "paper_checks/bayesian_sgd/_optimum.py"
_GRID = "paper_checks/bayesian_sgd/_noise_grid.py"
_PEAK = "paper_checks/bayesian_sgd/peak.py"
_GAP = "paper_checks/bayesian_sgd/regularised_gap.py"
_TESTS = "paper_checks/test_batch_size_cards.py::"

FAULTS = [
    Fault(
        "the top of a parabola on the wrong side of the highest point",
        _OPTIMUM,
        "middle - slope / (2 * bend)",
        "middle + slope / (2 * bend)",
        _TESTS + "test_the_top_is_that_of_the_parabola",
    ),
    Fault(
        "a highest point at the largest B is an optimum",
        _OPTIMUM,
        "argmax()) in (0, len(self.batches) - 1)",
        "argmax()) == 0",
        _TESTS + "test_a_highest_point_at_the_end_is_no_optimum",
    ),
    Fault(
        "training fails below the first batch whose loss is high",
        _OPTIMUM,
        "pair = [failed[-1] + 1, failed[-1]]",
        "pair = [failed[0] + 1, failed[0]]",
        _TESTS + "test_training_fails_below_the_last_batch_whose_loss_is_high",
    ),
    Fault(
        "the best batch of a seed is read off its own runs",
        _PEAK,
        "accuracy[rest.argmax(axis=0), np.arange(seeds)]",
        "accuracy.max(axis=0)",
        _TESTS + "test_a_best_batch_is_not_read_where_chance_makes_it_best",
    ),
    Fault(
        "a gap that stays as it is shrinks",
        _GAP,
        "SHRINKS: gaps[0] - gaps[-1]",
        "SHRINKS: gaps[0]",
        _TESTS + "test_a_gap_must_be_there_and_shrink",
    ),
    Fault(
        "the noise scale without the momentum",
        _GRID,
        "self.rate * SIZE / ((1 - self.momentum) * self.accuracy.batches)",
        "self.rate * SIZE / self.accuracy.batches",
        _TESTS + "test_curves_collapse_over_what_sets_them",
    ),
]
