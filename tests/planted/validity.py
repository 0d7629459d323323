"""Faults in where theory and runs meet."""

from planted._fault import Fault

_COUPLED = "sde_sgd/validity/_coupled.py"
_CAUSES = "sde_sgd/validity/_causes.py"
_FACTORS = "sde_sgd/validity/_factors.py"
_FINER = "sde_sgd/validity/_finer.py"
_INTERVAL = "sde_sgd/validity/_interval.py"
_LARGEST = "sde_sgd/validity/_largest_batch.py"
_ORBIT = "sde_sgd/validity/_orbit.py"
_PHASE = "sde_sgd/validity/_phase_diagram.py"
_WEAK = "sde_sgd/validity/_weak_error.py"

FAULTS = [
    Fault(
        "half the heat of a longer step",
        _LARGEST,
        "np.sum(ratio / 4 * noise",
        "np.sum(ratio / 8 * noise",
        "validity/test_largest_batch.py::test_the_rise_is_that_of_the_exact_law[3-0.0]",
    ),
    Fault(
        "what is beyond the sharpest directions is left out",
        _LARGEST,
        "return heat + ratio * (rate",
        "return heat + 0 * ratio * (rate",
        "validity/test_largest_batch.py::test_the_rise_is_that_of_the_exact_law[40-0.0]",
    ),
    Fault(
        "noise takes nothing from the fall of the loss",
        _LARGEST,
        "left = 2 * gradient - ratio * heat",
        "left = 2 * gradient",
        "validity/test_largest_batch.py::"
        "test_at_the_bound_of_the_noise_scale_a_first_step_does_not_lower_the_loss",
    ),
    Fault(
        "ηλ₁/(1 − m) for ηλ₁/(1 + m)",
        _PHASE,
        '* end["learning_rate"]) / (1 + float(momentum))',
        '* end["learning_rate"]) / (1 - float(momentum))',
        "validity/test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "the sum of two variances for their mean in a deviation",
        _PHASE,
        "pooled = np.sqrt((variance.values[cell] + variance.values[first]) / 2)",
        "pooled = np.sqrt(variance.values[cell] + variance.values[first])",
        "validity/test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "variances over seeds with n for n − 1",
        _PHASE,
        'values.var("seed", ddof=1)',
        'values.var("seed", ddof=0)',
        "validity/test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "degrees of freedom n + m",
        _PHASE,
        "freedom[cell] = n + m - 2",
        "freedom[cell] = n + m",
        "validity/test_phase_diagram.py::test_numbers_of_a_cell_by_hand"
        " validity/test_phase_diagram.py::test_verdicts_are_by_students_t_with_the_seeds_degrees_of_freedom",
    ),
    Fault(
        "the error of the reference is left out",
        _PHASE,
        "variance.values[cell] / n + variance.values[first] / m) / pooled",
        "variance.values[cell] / n + 0 * variance.values[first] / m) / pooled",
        "validity/test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "a cell holds on the word of its survivors",
        _PHASE,
        "whole = (self.diverged + self.not_finite == 0) & self._reference_whole",
        "whole = self._reference_whole",
        "validity/test_phase_diagram.py::test_survivors_do_not_hold",
    ),
    Fault(
        "a cell breaks where it may break",
        _PHASE,
        "return (abs(self.deviation) - self._beyond > self.limit) | self._lost",
        "return (abs(self.deviation) + self._beyond > self.limit) | self._lost",
        "validity/test_phase_diagram.py::test_verdicts_are_by_students_t_with_the_seeds_degrees_of_freedom",
    ),
    Fault(
        "the error of a weak error with n for n − 1",
        _WEAK,
        "gap.std(ddof=1) / np.sqrt(n)",
        "gap.std(ddof=0) / np.sqrt(n)",
        "validity/test_weak_error.py::test_value_and_error_by_hand",
    ),
    Fault(
        "antithetic paths are counted as independent",
        _WEAK,
        "values.reshape(len(kept), -1)[kept].mean(axis=1)",
        "values.reshape(len(kept), -1)[kept][:, 0]",
        "validity/test_weak_error.py::test_value_and_error_by_hand",
    ),
    Fault(
        "half of a pair may have diverged",
        _WEAK,
        "alive = np.asarray(result.alive).reshape(together).all(axis=1)",
        "alive = np.asarray(result.alive).reshape(together).any(axis=1)",
        "validity/test_weak_error.py::test_diverged_pairs_are_dropped_and_counted"
        " validity/test_weak_error.py::test_what_was_left_out_and_why",
    ),
    Fault(
        "SGD's noise in the other direction than the SDE's",
        _COUPLED,
        "jnp.ones_like(size), -size, noise)",
        "jnp.ones_like(size), size, noise)",
        "processes/test_langevin_by_hand.py::test_sgd_goes_the_way_of_the_sde_on_one_noise",
    ),
    Fault(
        "antithetic pairs have noise of their own",
        _COUPLED,
        "chain = chain >> jnp.uint32(1)",
        "chain = chain >> jnp.uint32(0)",
        "validity/test_weak_error.py"
        "::test_antithetic_pairs_have_opposite_noise_and_the_sum_of_its_increments",
    ),
    Fault(
        "SGD takes the noise of the last substep",
        _COUPLED,
        "jax.tree.map(jnp.add, total, ",
        "jax.tree.map(lambda _, now: now, total, ",
        "validity/test_weak_error.py::test_both_sides_have_their_own_laws",
    ),
    Fault(
        "2 for 2(1 + m) in the step size's factor",
        _FACTORS,
        "twice = 2 * (1 + float(hyper.momentum))",
        "twice = 2.0",
        "validity/test_causes.py::test_step_size_factor",
    ),
    Fault(
        "the order of the examples heats where it cools",
        _FACTORS,
        "return float(drawn[0, 0] / independent[0, 0])",
        "return float(independent[0, 0] / drawn[0, 0])",
        "validity/test_causes.py::test_sampling_factor_of_subsets",
    ),
    Fault(
        "the skewness of θ by the variance's power ½ for 3/2",
        _FACTORS,
        "np.abs(summed(3)) / summed(2) ** 1.5",
        "np.abs(summed(3)) / summed(2) ** 0.5",
        "validity/test_causes.py::test_skewness_factor_is_that_of_the_sum_over_kicks",
    ),
    Fault(
        "the skewness of θ halved",
        _FACTORS,
        "np.nan_to_num(factor), 0.0) / hyper.batch_size**0.5",
        "np.nan_to_num(factor), 0.0) / 2 / hyper.batch_size**0.5",
        "validity/test_causes.py::test_skewness_factor_is_that_of_the_sum_over_kicks",
    ),
    Fault(
        "subsets are as skewed as independent examples",
        _FACTORS,
        "factor * abs(n - 2 * b) / (n - 2)",
        "factor * abs(n - b) / (n - 1)",
        "validity/test_causes.py::test_skewness_factor_by_hand",
    ),
    Fault(
        "an interval across its limit is beyond it",
        _INTERVAL,
        "return BEYOND if self.low > limit else CANNOT_TELL",
        "return BEYOND if self.high > limit else CANNOT_TELL",
        "validity/test_causes.py::test_answers_and_how_much_more_would_tell",
    ),
    Fault(
        "twice the pilot halves an interval",
        _INTERVAL,
        "return (width / gap) ** 2 if gap > 0 else math.inf",
        "return width / gap if gap > 0 else math.inf",
        "validity/test_causes.py::test_answers_and_how_much_more_would_tell",
    ),
    Fault(
        "intervals of half the coverage",
        _INTERVAL,
        "stats.t.ppf((1 + _COVERAGE) / 2, max(freedom, 1))",
        "stats.t.ppf(_COVERAGE, max(freedom, 1))",
        "validity/test_causes.py::test_intervals_by_hand",
    ),
    Fault(
        "an interval of a mean by the standard deviation",
        _INTERVAL,
        "float(values.std(ddof=1)) / len(values) ** 0.5",
        "float(values.std(ddof=1))",
        "validity/test_causes.py::test_intervals_by_hand",
    ),
    Fault(
        "half the variance is nearer to one than twice",
        _INTERVAL,
        "return math.expm1(abs(log_ratio)),",
        "return abs(math.expm1(log_ratio)),",
        "validity/test_ratios_by_hand.py::test_half_the_variance_is_as_far_from_it_as_twice",
    ),
    Fault(
        "the finer run forgets the momentum",
        _FINER,
        "matched = Hyperparameters(rate / units, smaller)",
        "matched = Hyperparameters(float(hyper.learning_rate) / units, smaller)",
        "validity/test_causes.py::test_small_steps_are_of_the_same_sde",
    ),
    Fault(
        "smaller batches at the old step",
        _FINER,
        "matched = Hyperparameters(rate / units, smaller)",
        "matched = Hyperparameters(rate, smaller)",
        "validity/test_causes.py::test_small_steps_are_of_the_same_sde",
    ),
    Fault(
        "the growth of a variance is left out of the temperature",
        _ORBIT,
        "np.asarray(2 * weights @ together + growth /",
        "np.asarray(2 * weights @ together + 0 * growth /",
        "validity/test_causes.py::test_temperature_of_free_diffusion_is_all_growth",
    ),
    Fault(
        "the first and last sample count whole",
        _ORBIT,
        "weights[[0, -1]] /= 2",
        "weights[[0, -1]] /= 1",
        "validity/test_causes.py::test_temperature_takes_half_of_the_ends",
    ),
    Fault(
        "a covariance over chains with n for n − 1",
        _ORBIT,
        "together = (centred * some.slope).sum(axis=1) / (chains - 1)",
        "together = (centred * some.slope).sum(axis=1) / chains",
        "validity/test_causes.py::test_temperature_of_a_law_at_rest",
    ),
    Fault(
        "the spread of what is left out for the jackknife's error",
        _ORBIT,
        "error = np.sqrt((len(groups) - 1) * left_out.var(axis=0))",
        "error = np.sqrt(left_out.var(axis=0))",
        "validity/test_causes.py::test_jackknife_of_a_mean_is_its_standard_error",
    ),
    Fault(
        "half of the excess of a finite step",
        _ORBIT,
        "agitation = some.step * some.slope.var",
        "agitation = some.step / 2 * some.slope.var",
        "validity/test_causes.py::test_excess_is_the_step_times_the_agitation_over_the_temperature",
    ),
    Fault(
        "the velocity builds up in m steps",
        _CAUSES,
        "start_up = m / (1 - m)",
        "start_up = m",
        "validity/test_causes.py::test_momentum_is_the_share_of_its_start",
    ),
    Fault(
        "errors of two estimates are subtracted",
        _CAUSES,
        "error = np.hypot(one.standard_error, other.standard_error)",
        "error = np.abs(one.standard_error - other.standard_error)",
        "validity/test_ratios_by_hand.py::test_errors_of_independent_estimates_add_in_square",
    ),
    Fault(
        "noise of a tenth of the mean is isotropic",
        _CAUSES,
        "np.maximum(ratio, 1 / ratio) - 1",
        "np.maximum(ratio, 1) - 1",
        "validity/test_causes.py::test_anisotropy_by_hand",
    ),
    Fault(
        "the skewness of the noise by the power ½ for 3/2 of its variance",
        "sde_sgd/validity/_skewness.py",
        "np.maximum(second[which].mean(axis=0), 1e-30) ** 1.5",
        "np.maximum(second[which].mean(axis=0), 1e-30) ** 0.5",
        "validity/test_causes.py::test_skewness_of_noise_takes_the_power_three_halves",
    ),
]
