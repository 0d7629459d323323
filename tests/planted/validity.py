"""Faults in where theory and runs meet."""

from planted._fault import Fault

_COUPLED = "sde_sgd/validity/_coupled.py"
_FACTORS = "sde_sgd/validity/_factors.py"
_FINER = "sde_sgd/validity/_finer.py"
_INTERVAL = "sde_sgd/validity/_interval.py"
_PHASE = "sde_sgd/validity/_phase_diagram.py"
_WEAK = "sde_sgd/validity/_weak_error.py"

FAULTS = [
    Fault(
        "ηλ₁/(1 − m) for ηλ₁/(1 + m)",
        _PHASE,
        '* end["learning_rate"]) / (1 + float(momentum))',
        '* end["learning_rate"]) / (1 - float(momentum))',
        "test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "the sum of two variances for their mean in a deviation",
        _PHASE,
        "pooled = np.sqrt((variance.values[cell] + variance.values[first]) / 2)",
        "pooled = np.sqrt(variance.values[cell] + variance.values[first])",
        "test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "variances over seeds with n for n − 1",
        _PHASE,
        'values.var("seed", ddof=1)',
        'values.var("seed", ddof=0)',
        "test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "degrees of freedom n + m",
        _PHASE,
        "freedom[cell] = n + m - 2",
        "freedom[cell] = n + m",
        "test_phase_diagram.py::test_numbers_of_a_cell_by_hand"
        " test_phase_diagram.py::test_verdicts_are_by_students_t_with_the_seeds_degrees_of_freedom",
    ),
    Fault(
        "the error of the reference is left out",
        _PHASE,
        "variance.values[cell] / n + variance.values[first] / m) / pooled",
        "variance.values[cell] / n + 0 * variance.values[first] / m) / pooled",
        "test_phase_diagram.py::test_numbers_of_a_cell_by_hand",
    ),
    Fault(
        "a cell holds on the word of its survivors",
        _PHASE,
        "whole = (self.diverged + self.not_finite == 0) & self._reference_whole",
        "whole = self._reference_whole",
        "test_phase_diagram.py::test_survivors_do_not_hold",
    ),
    Fault(
        "a cell breaks where it may break",
        _PHASE,
        "return (abs(self.deviation) - self._beyond > self.limit) | self._lost",
        "return (abs(self.deviation) + self._beyond > self.limit) | self._lost",
        "test_phase_diagram.py::test_verdicts_are_by_students_t_with_the_seeds_degrees_of_freedom",
    ),
    Fault(
        "the error of a weak error with n for n − 1",
        _WEAK,
        "gap.std(ddof=1) / np.sqrt(n)",
        "gap.std(ddof=0) / np.sqrt(n)",
        "test_weak_error.py::test_value_and_error_by_hand",
    ),
    Fault(
        "antithetic paths are counted as independent",
        _WEAK,
        "values.reshape(len(kept), -1)[kept].mean(axis=1)",
        "values.reshape(len(kept), -1)[kept][:, 0]",
        "test_weak_error.py::test_value_and_error_by_hand",
    ),
    Fault(
        "half of a pair may have diverged",
        _WEAK,
        "alive = np.asarray(result.alive).reshape(together).all(axis=1)",
        "alive = np.asarray(result.alive).reshape(together).any(axis=1)",
        "test_weak_error.py::test_diverged_pairs_are_dropped_and_counted"
        " test_weak_error.py::test_what_was_left_out_and_why",
    ),
    Fault(
        "SGD's noise in the other direction than the SDE's",
        _COUPLED,
        "jnp.ones_like(size), -size, noise)",
        "jnp.ones_like(size), size, noise)",
        "test_weak_error.py::test_common_noise_is_worth_thousands_of_paths",
    ),
    Fault(
        "antithetic pairs have noise of their own",
        _COUPLED,
        "chain = chain >> jnp.uint32(1)",
        "chain = chain >> jnp.uint32(0)",
        "test_weak_error.py::test_antithetic_pairs_have_opposite_noise_and_the_sum_of_its_increments",
    ),
    Fault(
        "SGD takes the noise of the last substep",
        _COUPLED,
        "jax.tree.map(jnp.add, total, ",
        "jax.tree.map(lambda _, now: now, total, ",
        "test_weak_error.py::test_both_sides_have_their_own_laws",
    ),
    Fault(
        "2 for 2(1 + m) in the step size's factor",
        _FACTORS,
        "twice = 2 * (1 + float(hyper.momentum))",
        "twice = 2.0",
        "test_validity_by_hand.py::test_the_variance_of_a_finite_step",
    ),
    Fault(
        "the order of the examples heats where it cools",
        _FACTORS,
        "return float(drawn[0, 0] / independent[0, 0])",
        "return float(independent[0, 0] / drawn[0, 0])",
        "test_validity_by_hand.py::test_the_variance_of_fresh_subsets",
    ),
    Fault(
        "the skewness of θ by the variance's power ½ for 3/2",
        _FACTORS,
        "np.abs(summed(3)) / summed(2) ** 1.5",
        "np.abs(summed(3)) / summed(2) ** 0.5",
        "test_validity_by_hand.py::test_the_skewness_of_theta_is_that_of_its_sum",
    ),
    Fault(
        "the skewness of θ halved",
        _FACTORS,
        "np.nan_to_num(factor), 0.0) / hyper.batch_size**0.5",
        "np.nan_to_num(factor), 0.0) / 2 / hyper.batch_size**0.5",
        "test_validity_by_hand.py::test_the_skewness_of_theta_is_that_of_its_sum",
    ),
    Fault(
        "subsets are as skewed as independent examples",
        _FACTORS,
        "return factor * abs(n - 2 * b) / (n - 2)",
        "return factor * abs(n - b) / (n - 1)",
        "test_validity_by_hand.py::test_the_skewness_of_theta_is_that_of_its_sum",
    ),
    Fault(
        "an interval across its limit is beyond it",
        _INTERVAL,
        "return BEYOND if self.low > limit else CANNOT_TELL",
        "return BEYOND if self.high > limit else CANNOT_TELL",
        "test_validity_by_hand.py::test_an_interval_answers",
    ),
    Fault(
        "twice the pilot halves an interval",
        _INTERVAL,
        "return (width / gap) ** 2 if gap > 0 else math.inf",
        "return width / gap if gap > 0 else math.inf",
        "test_validity_by_hand.py::test_an_interval_answers",
    ),
    Fault(
        "intervals of half the coverage",
        _INTERVAL,
        "stats.t.ppf((1 + _COVERAGE) / 2, max(freedom, 1))",
        "stats.t.ppf(_COVERAGE, max(freedom, 1))",
        "test_validity_by_hand.py::test_the_interval_of_a_mean_is_students",
    ),
    Fault(
        "an interval of a mean by the standard deviation",
        _INTERVAL,
        "float(values.std(ddof=1)) / len(values) ** 0.5",
        "float(values.std(ddof=1))",
        "test_validity_by_hand.py::test_the_interval_of_a_mean_is_students",
    ),
    Fault(
        "half the variance is nearer to one than twice",
        _INTERVAL,
        "return math.expm1(abs(log_ratio)),",
        "return abs(math.expm1(log_ratio)),",
        "test_validity_by_hand.py::test_how_far_a_ratio_is_from_one",
    ),
    Fault(
        "the finer run forgets the momentum",
        _FINER,
        "matched = Hyperparameters(rate / units, smaller)",
        "matched = Hyperparameters(float(hyper.learning_rate) / units, smaller)",
        "test_validity_by_hand.py::test_the_finer_run_has_the_same_temperature",
    ),
    Fault(
        "smaller batches at the old step",
        _FINER,
        "matched = Hyperparameters(rate / units, smaller)",
        "matched = Hyperparameters(rate, smaller)",
        "test_validity_by_hand.py::test_the_finer_run_has_the_same_temperature",
    ),
]
