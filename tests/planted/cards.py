"""Faults in the cards of papers."""

from planted._fault import Fault

_BOWLS = "paper_checks/diffusion_theory/_bowls.py"
_COVARIANCE = "paper_checks/diffusion_theory/covariance.py"
_ESCAPES = "paper_checks/diffusion_theory/_escapes.py"
_FORMS = "paper_checks/diffusion_theory/_forms.py"
_LAWS = "paper_checks/diffusion_theory/exponential_or_polynomial.py"
_NEAR = "paper_checks/diffusion_theory/_near.py"

FAULTS = [
    Fault(
        "what is far off is near",
        _NEAR,
        "margin - abs(estimate - to)",
        "margin + abs(estimate - to)",
        "paper_checks/test_diffusion_cards.py::"
        "test_near_holds_its_level_at_the_margin_and_finds_what_is_within",
    ),
    Fault(
        "tests of a family are judged one by one",
        _NEAR,
        "tests * stats.t.sf",
        "stats.t.sf",
        "paper_checks/test_diffusion_cards.py::"
        "test_near_holds_its_level_at_the_margin_and_finds_what_is_within",
    ),
    Fault(
        "times of escape in steps beside those in SDE time",
        _ESCAPES,
        "np.log(self.found.time)",
        "np.log(self.found.steps)",
        "paper_checks/test_diffusion_cards.py::test_a_time_of_escape_is_that_of_the_chain",
    ),
    Fault(
        "points of a line weigh by their errors",
        _ESCAPES,
        "** -2.0",
        "** 2.0",
        "paper_checks/test_diffusion_cards.py::test_the_line_through_times_of_escape",
    ),
    Fault(
        "a gradient covariance that is too small is close to the Hessian",
        _COVARIANCE,
        "np.abs(np.log(self.mu)).max(axis=1)",
        "np.log(self.mu).max(axis=1)",
        "paper_checks/test_diffusion_cards.py::"
        "test_a_covariance_that_is_the_hessian_but_for_a_constant_is_told_from_one_that_is",
    ),
    Fault(
        "the exponential law without the time of the well",
        _LAWS,
        " + np.log(FACTORS) - law",
        " - law",
        "paper_checks/test_diffusion_cards.py::test_the_two_laws_are_told_apart",
    ),
    Fault(
        "forms of times fitted as if all errors were equal",
        _FORMS,
        "/ self.errors[:, None]",
        "",
        "paper_checks/test_diffusion_cards.py::test_each_form_of_times_is_found_where_it_is_true",
    ),
    Fault(
        "a power law is ahead where the exponential is",
        _FORMS,
        "self.power.aic - self.exponential.aic",
        "self.exponential.aic - self.power.aic",
        "paper_checks/test_diffusion_cards.py::test_each_form_of_times_is_found_where_it_is_true",
    ),
    Fault(
        "the level of a bowl for twice the mean loss",
        _BOWLS,
        "0.5 * np.trace",
        "np.trace",
        "paper_checks/test_diffusion_cards.py::test_the_level_is_what_the_parabola_reaches_on_average",
    ),
]
