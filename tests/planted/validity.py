"""Faults in where theory and runs meet."""

from planted._fault import Fault

_COUPLED = "sde_sgd/validity/_coupled.py"
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
]
