"""Faults in the cards of the evidence and of Gaussian noise."""

from planted._fault import Fault

_FOLDER = "paper_checks/bayesian_sgd"
_TESTS = "paper_checks/test_evidence_cards.py"

FAULTS = [
    Fault(
        "a Hessian of softmax without the terms between classes",
        f"{_FOLDER}/_regression.py",
        "((a == b) - odds[:, b])",
        "((a == b) * (1 - odds[:, b]))",
        f"{_TESTS}::test_the_closed_form_is_the_evidence_of_the_library[3]",
    ),
    Fault(
        "the width of the evidence counts islands",
        f"{_FOLDER}/evidence.py",
        "while first > 0 and row[first - 1] > STRONG:",
        "while first > 0 and row[: first].max() > STRONG:",
        f"{_TESTS}::test_a_width_is_that_around_the_peak",
    ),
    Fault(
        "the best λ of the test is its worst",
        f"{_FOLDER}/evidence_test.py",
        "stats.spearmanr(a, -b)",
        "stats.spearmanr(a, b)",
        f"{_TESTS}::test_agreement_of_evidence_and_test",
    ),
    Fault(
        "the exact evidence without the area of a cell",
        f"{_FOLDER}/laplace.py",
        "return float(fine + cell)",
        "return float(fine)",
        f"{_TESTS}::test_the_grid_is_the_integral_and_says_where_it_is_not",
    ),
    Fault(
        "noise of an unknown scale is compared with a normal law of its own scale",
        f"{_FOLDER}/noise_gaussian.py",
        'stats.kstest(self.draws, "norm")',
        'stats.kstest(self.draws / self.draws.std(), "norm")',
        f"{_TESTS}::test_gaussian_noise_passes_and_what_is_not_does_not",
    ),
]
