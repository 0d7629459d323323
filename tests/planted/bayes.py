"""Faults in the posterior around a minimum."""

from planted._fault import Fault

_COEFFICIENT = "sde_sgd/bayes/_learning_coefficient.py"
_ENERGY = "sde_sgd/bayes/_energy.py"
_ESTIMATE = "sde_sgd/bayes/_estimate.py"
_LOCALISED = "sde_sgd/bayes/_localised.py"
_TEMPER = "sde_sgd/bayes/_temper.py"

FAULTS = [
    Fault(
        "the Occam factor counts every eigenvalue twice",
        "sde_sgd/bayes/_evidence.py",
        "value=likelihood - penalty - 0.5 * mean_log,",
        "value=likelihood - penalty - mean_log,",
        "bayes/test_evidence.py::test_it_is_the_integral_to_a_seventh_of_a_nat",
    ),
    Fault(
        "a fit that has not converged has an evidence",
        "sde_sgd/bayes/_evidence.py",
        "norm = float(jnp.linalg.norm(slope))",
        "norm = 0.0",
        "bayes/test_evidence.py::test_what_is_no_minimum_is_refused",
    ),
    Fault(
        "what the quadrature may be off by is 0 for any number of products",
        "sde_sgd/bayes/_evidence.py",
        "gauss(found.leading(-(-products // 2)))",
        "gauss(found)",
        "bayes/test_evidence.py::test_too_few_products_are_told_of",
    ),
    Fault(
        "the mean gradient counts as noise",
        "sde_sgd/curvature/_noise_scale.py",
        "jax.tree.map(jnp.subtract, gradient, mean)",
        "gradient",
        "bayes/test_noise_scale.py::test_it_is_that_of_the_dense_covariance",
    ),
    Fault(
        "an interval of the noise scale that is too short",
        "sde_sgd/curvature/_noise_scale.py",
        "* (quantile**2 / count)",
        "* (quantile / count)",
        "bayes/test_noise_scale.py::test_the_interval_holds_the_truth_as_often_as_it_says",
    ),
    Fault(
        "T = 1/(nβ) for 2/(nβ)",
        _COEFFICIENT,
        "_process(localised, eta, 2 / scale, batch_size, sampling)",
        "_process(localised, eta, 1 / scale, batch_size, sampling)",
        "bayes/test_learning_coefficient.py::test_a_quadratic_has_half_its_dimension",
    ),
    Fault(
        "the virial over 2d for d",
        _COEFFICIENT,
        "scale / d * kept[:, alive, 1]",
        "scale / (2 * d) * kept[:, alive, 1]",
        "bayes/test_learning_coefficient.py::test_a_quadratic_has_half_its_dimension",
    ),
    Fault(
        "the burn-in is averaged over too",
        _COEFFICIENT,
        "late = result.record_steps > burn_in",
        "late = result.record_steps >= 0",
        "bayes/test_learning_coefficient.py::test_samples_of_the_burn_in_are_left_out",
    ),
    Fault(
        "β = 1/log10 n for 1/ln n",
        _TEMPER,
        "return 1 / math.log(samples)",
        "return 1 / math.log10(samples)",
        "bayes/test_learning_coefficient.py::test_a_quadratic_has_half_its_dimension",
    ),
    Fault(
        "the localisation left out where the loss is quadratic",
        _TEMPER,
        "weighted + gamma, 1.0",
        "weighted, 1.0",
        "bayes/test_learning_coefficient.py::test_the_gaussian_value_by_hand",
    ),
    Fault(
        "a standard error with n for n − 1",
        _ESTIMATE,
        '"standard_error": mean_error(each)',
        '"standard_error": mean_error(each) * (1 - 1 / len(each)) ** 0.5',
        "bayes/test_learning_coefficient.py::test_a_quadratic_has_half_its_dimension",
    ),
    Fault(
        "the drift with the wrong sign",
        _ESTIMATE,
        "energy[-half:].mean(axis=0) - energy[:half].mean(axis=0)",
        "energy[:half].mean(axis=0) - energy[-half:].mean(axis=0)",
        "bayes/test_learning_coefficient.py::test_too_short_a_run_says_so",
    ),
    Fault(
        "the virial without the spring",
        _ENERGY,
        "jnp.sum(far * (g + pull.astype(far.dtype) * far))",
        "jnp.sum(far * g)",
        "bayes/test_learning_coefficient.py::test_a_quadratic_has_half_its_dimension"
        " bayes/test_learning_coefficient.py::test_all_examples_heat_nothing",
    ),
    Fault(
        "white noise of the variance for its root",
        _LOCALISED,
        "size = diffusion * jnp.sqrt(self.variance)",
        "size = diffusion * self.variance",
        "bayes/test_localised.py::test_a_problem_in_a_heat_bath_has_white_noise",
    ),
]
