"""Faults in the cards of papers."""

from planted._fault import Fault

_BOWLS = "paper_checks/diffusion_theory/_bowls.py"
_COVARIANCE = "paper_checks/diffusion_theory/covariance.py"
_ESCAPES = "paper_checks/diffusion_theory/_escapes.py"
_FORMS = "paper_checks/diffusion_theory/_forms.py"
_LAWS = "paper_checks/diffusion_theory/exponential_or_polynomial.py"
_RIVALS = "paper_checks/diffusion_theory/rival_laws.py"
_CIRCLE = "paper_checks/diffusion_theory/_circle.py"
_SADDLE = "paper_checks/diffusion_theory/saddle.py"
_CURVATURE_GRID = "paper_checks/sharpest_directions/_grid.py"
_EDGE = "paper_checks/sharpest_directions/edge.py"
_GROWTH = "paper_checks/sharpest_directions/growth.py"
_NEAR = "paper_checks/diffusion_theory/_near.py"
_STEP = "paper_checks/sharpest_directions/step_length.py"
_SATURATED = "paper_checks/sharpest_directions/saturation.py"
_PAIRED = "paper_checks/sharpest_directions/_paired.py"
_NUDGING = "paper_checks/sharpest_directions/_nudging.py"
_ABLATION = "paper_checks/sharpest_directions/ablation.py"

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
        "the AIC of two laws the other way round",
        _RIVALS,
        "_hat(arm, arm.exponential) - _hat(arm, arm.power)",
        "_hat(arm, arm.power) - _hat(arm, arm.exponential)",
        "paper_checks/test_rival_laws_and_saddle.py::test_either_law_can_win_whatever_its_slope[1.0]",
    ),
    Fault(
        "an error of a difference of AIC that is half of it",
        _RIVALS,
        "np.sqrt(4 * spread @ spread + 2 * np.sum(q * q))",
        "np.sqrt(spread @ spread + 2 * np.sum(q * q))",
        "paper_checks/test_rival_laws_and_saddle.py::"
        "test_the_standard_error_of_a_difference_of_aic_is_its_spread",
    ),
    Fault(
        "labels of the model's opposite",
        _CIRCLE,
        "np.exp(-length * inputs[:, 0])",
        "np.exp(length * inputs[:, 0])",
        "paper_checks/test_rival_laws_and_saddle.py::test_the_cross_entropy_about_the_circle",
    ),
    Fault(
        "noise in the targets of half the variance",
        _CIRCLE,
        "2 / np.sqrt(ratio - 1)",
        "np.sqrt(2 / (ratio - 1))",
        "paper_checks/test_rival_laws_and_saddle.py::test_the_square_loss_about_the_circle[1.4]",
    ),
    Fault(
        "an extrapolation to D → 0 over ΔL/D",
        _SADDLE,
        "design = np.stack([np.ones_like(EXPONENTS), 1 / EXPONENTS]",
        "design = np.stack([np.ones_like(EXPONENTS), EXPONENTS]",
        "paper_checks/test_rival_laws_and_saddle.py::test_what_is_of_order_d_is_taken_away",
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
    Fault(
        "the peak of a run is its own largest value",
        _GROWTH,
        "curves.sum(axis=0) - curves",
        "curves",
        "paper_checks/test_sharpest_directions_peaks.py::"
        "test_a_peak_is_not_read_where_chance_makes_it_largest",
    ),
    Fault(
        "runs at one loss are compared at the sample after it",
        _CURVATURE_GRID,
        "np.interp(level, losses[pair], values[pair])",
        "values[after]",
        "paper_checks/test_sharpest_directions_peaks.py::test_a_crossing_is_the_first",
    ),
    Fault(
        "a setting is predicted from itself too",
        _EDGE,
        " / (1 - np.diag(hat))",
        "",
        "paper_checks/test_sharpest_directions_peaks.py::"
        "test_the_error_of_a_left_out_setting_is_that_of_a_fit_without_it",
    ),
    Fault(
        "the step along the sharpest directions is judged by the arm that shows it most",
        _STEP,
        "max(tested, key=lambda arm: (tested[arm], found[arm].best))",
        "min(tested, key=lambda arm: (tested[arm], found[arm].best))",
        "paper_checks/test_step_cards.py::test_a_step_that_is_too_long_and_one_that_is_not",
    ),
    Fault(
        "the best multiple of a step is half of what it is",
        _STEP,
        "return float(-self.slope.mean() / self.curvature.mean())",
        "return float(-0.5 * self.slope.mean() / self.curvature.mean())",
        "paper_checks/test_step_cards.py::test_a_step_that_is_too_long_and_one_that_is_not",
    ),
    Fault(
        "saturation and curvature are ranked over all rates of a network",
        _SATURATED,
        "x, y = (one - one.mean(axis=1, keepdims=True) for one in ranks)",
        "x, y = (one - one.mean() for one in (first, second))",
        "paper_checks/test_step_cards.py::"
        "test_correlation_within_rows_does_not_see_what_differs_between_them",
    ),
    Fault(
        "pairs with a run that diverged are left out",
        _PAIRED,
        "        return 1.0\n",
        "        values = values[np.isfinite(values)]\n",
        "paper_checks/test_nudged_cards.py::test_a_run_that_diverged_counts_against",
    ),
    Fault(
        "a family of pairs is judged by its best arm",
        _PAIRED,
        "worst = max(differences",
        "worst = min(differences",
        "paper_checks/test_nudged_cards.py::test_a_family_is_met_only_where_all_are_shown[all_below]",
    ),
    Fault(
        "sharpness at equal loss is read at the sample after",
        _NUDGING,
        "np.log(what[run, pair]))",
        "np.log(what[run, [after, after]]))",
        "paper_checks/test_nudged_cards.py::test_sharpness_at_equal_loss_is_read_between_samples",
    ),
    Fault(
        "half of the fall is half of the variant's",
        _ABLATION,
        "ways[variant].change - HALF * ways[SGD].change",
        "HALF * ways[variant].change - ways[SGD].change",
        "paper_checks/test_nudged_cards.py::test_a_share_of_the_fall",
    ),
]
