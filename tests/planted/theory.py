"""Faults in what should have come out."""

from planted._fault import Fault

_CHAIN = "sde_sgd/theory/_chain/_law.py"
_COVARIANCE = "sde_sgd/theory/_linear/_covariance.py"
_DENSITY = "sde_sgd/theory/_density.py"
_EFFECTIVE = "sde_sgd/theory/_linear/_effective.py"
_FP = "sde_sgd/theory/_fokker_planck/_solution.py"
_FP_GENERATOR = "sde_sgd/theory/_fokker_planck/_generator.py"
_FP_GRID = "sde_sgd/theory/_fokker_planck/_grid.py"
_FP_TIME = "sde_sgd/theory/_fokker_planck/_time.py"
_GIBBS = "sde_sgd/theory/_gibbs.py"
_ITO = "sde_sgd/theory/_ito.py"
_KERNEL = "sde_sgd/theory/_chain/_kernel.py"
_LAPLACE = "sde_sgd/theory/_laplace.py"
_MATRIX_FREE = "sde_sgd/theory/_linear/_matrix_free.py"
_MIXTURE = "sde_sgd/theory/_mixture.py"
_MODES = "sde_sgd/theory/_linear/_modes.py"
_MODIFIED = "sde_sgd/theory/_modified.py"
_ORDERS = "sde_sgd/theory/_linear/_orders.py"
_REGRESSION = "sde_sgd/theory/_linear/_regression.py"
_RESOLUTION = "sde_sgd/theory/_resolution.py"
_SETTING = "sde_sgd/theory/_setting.py"
_SKEWNESS = "sde_sgd/theory/_skewness.py"
_STUDENT = "sde_sgd/theory/_linear/_student.py"

FAULTS = [
    Fault(
        "Gibbs exp(−L/T) for exp(−2L/T)",
        _GIBBS,
        "scale = temperature(problem, hyper) / 2",
        "scale = temperature(problem, hyper)",
        "theory/test_theory.py::test_double_well_numbers_and_the_factor_two",
    ),
    Fault(
        "bounds that leave out a minimum are taken",
        _GIBBS,
        "if ((point >= low) & (point <= high)).all():",
        "if ((point >= low) | (point <= high)).all():",
        "theory/test_theory_by_hand.py::test_bounds_may_not_leave_out_a_well",
    ),
    Fault(
        "low and high bounds may be swapped",
        _RESOLUTION,
        "if np.shape(bounds) != (2,) or not bounds[0] < bounds[1]:",
        "if np.shape(bounds) != (2,) or bounds[0] == bounds[1]:",
        "theory/test_theory.py::test_bad_input",
    ),
    Fault(
        "a box in the plane with low and high as x and y",
        _GIBBS,
        "low, high = box[:, 0], box[:, 1]",
        "low, high = box[0], box[1]",
        "theory/test_theory_by_hand.py::test_the_plane_has_two_axes",
    ),
    Fault(
        "a box in the plane that grows on one side only",
        _GIBBS,
        "low, high = low - step * grow_low, high + step * grow_high",
        "low, high = low - step * grow_high, high + step * grow_high",
        "theory/test_theory_by_hand.py::test_a_box_grows_to_where_the_other_wells_are",
    ),
    Fault(
        "η in the exponent of the O(η) law by ½ for ¼",
        _MODIFIED,
        "(loss - rate / 4 * slope**2) / diffusion",
        "(loss - rate / 2 * slope**2) / diffusion",
        "theory/test_chain_law.py::test_the_modified_law_is_off_by_eta_squared",
    ),
    Fault(
        "the curvature is missing in the O(η) law",
        _MODIFIED,
        "/ diffusion + rate / 2 * curvature",
        "/ diffusion + 0 * curvature",
        "theory/test_chain_law.py::test_the_modified_law_is_off_by_eta_squared",
    ),
    Fault(
        "the chain's kernel of a whole batch's spread",
        _CHAIN,
        "kernel = gaussian_kernel(grid, mean, scale / np.sqrt(setting.batch), width)",
        "kernel = gaussian_kernel(grid, mean, scale, width)",
        "theory/test_chain_law.py::test_the_chain_on_a_parabola_is_a_known_normal_law",
    ),
    Fault(
        "the chain climbs",
        _CHAIN,
        "return x - setting.rate * slope,",
        "return x + setting.rate * slope,",
        "theory/test_chain_law.py::test_the_chain_on_a_parabola_is_a_known_normal_law",
    ),
    Fault(
        "the variance that hats add stays in the chain",
        _KERNEL,
        "np.maximum(scale**2 - batch * width**2 / 6, 0.25 * scale**2)",
        "np.maximum(scale**2 - 0 * width**2 / 6, 0.25 * scale**2)",
        "theory/test_chain_law.py::test_noise_of_other_laws_has_its_own_third_moment",
    ),
    Fault(
        "signs of a batch with one too few",
        _KERNEL,
        "scale * (2 * heads - batch) / batch",
        "scale * (2 * heads - batch) / (batch + 1)",
        "theory/test_chain_law.py::test_noise_of_other_laws_has_its_own_third_moment",
    ),
    Fault(
        "an eigenvector from the left for one from the right",
        "sde_sgd/theory/_chain/_markov.py",
        "system = np.diag(leaving.sum(axis=1)) - leaving.T",
        "system = np.diag(leaving.sum(axis=0)) - leaving",
        "theory/test_chain_law.py::test_stationary_vectors",
    ),
    Fault(
        "SGD's stability is asked of the SDE too",
        _COVARIANCE,
        'positive_curvatures(values, setting if law == "sgd" else None)',
        "positive_curvatures(values, setting)",
        "theory/test_covariance.py::test_bad_input"
        " theory/test_covariance.py::test_the_sde_is_the_limit_of_small_steps",
    ),
    Fault(
        "an unstable η has a covariance",
        _COVARIANCE,
        'positive_curvatures(values, setting if law == "sgd" else None)',
        "positive_curvatures(values, None)",
        "theory/test_covariance.py::test_bad_input",
    ),
    Fault(
        "the covariance is left in the eigenbasis on one side",
        _COVARIANCE,
        "sigma = vectors @ (response * C) @ vectors.T",
        "sigma = vectors @ (response * C) @ vectors",
        "theory/test_covariance.py::test_discrete_covariance_solves_its_matrix_equation",
    ),
    Fault(
        "η for η' in the Lyapunov equation",
        _MODES,
        "setting.effective_rate",
        "setting.rate",
        "theory/test_covariance.py::test_the_sde_is_the_limit_of_small_steps"
        " theory/test_covariance.py::test_effective_temperatures",
    ),
    Fault(
        "θ moves by the old velocity in the covariance",
        _MODES,
        "rows = [[1 - rate * curvature, -rate * momentum], [curvature, momentum]]",
        "rows = [[1 + 0 * curvature, -rate * (1 + 0 * momentum)], [curvature, momentum]]",
        "theory/test_covariance.py::test_heavy_ball_scalar_closed_form",
    ),
    Fault(
        "the cross terms of an epoch count each batch with itself",
        _MODES,
        "sums[1][:, None, :] - own)",
        "sums[1][:, None, :])",
        "theory/test_covariance.py::test_three_samplings_by_the_table",
    ),
    Fault(
        "−1/N for −1/(N − 1) between the batches of an epoch",
        _SETTING,
        "return BatchNoise(own, -1 / max(size - 1, 1), size // setting.batch)",
        "return BatchNoise(own, -1 / size, size // setting.batch)",
        "theory/test_covariance.py::test_three_samplings_by_the_table"
        " theory/test_covariance.py::test_shuffled_epochs_by_brute_force",
    ),
    Fault(
        "a last batch as noisy as the others",
        _MODES,
        "(noise.of(number) - noise.own) * newest",
        "0.0 * newest",
        "theory/test_covariance.py::test_shuffled_epochs_by_brute_force",
    ),
    Fault(
        "2 for 2(1 + m) where SGD becomes unstable",
        _SETTING,
        "return 2 * (1 + self.momentum) / self.rate",
        "return 2 / self.rate",
        "theory/test_covariance.py::test_heavy_ball_scalar_closed_form"
        " theory/test_covariance.py::test_bad_input",
    ),
    Fault(
        "d T for d T/2 as the virial",
        _EFFECTIVE,
        "return float(self.temperatures.sum() / 2)",
        "return float(self.temperatures.sum())",
        "theory/test_covariance.py::test_stationarity_identities"
        " theory/test_covariance.py::test_effective_temperatures",
    ),
    Fault(
        "d T/2 for d T/4 as the excess loss",
        _EFFECTIVE,
        "return float(self.temperatures.sum() / 4)",
        "return float(self.temperatures.sum() / 2)",
        "theory/test_covariance.py::test_c_equal_to_h_gives_a_quarter_of_eta_over_b_times_the_trace"
        " theory/test_covariance.py::test_effective_temperatures",
    ),
    Fault(
        "(1 − m) for (1 + m) in the virial with momentum",
        _EFFECTIVE,
        "setting.rate * (1 + setting.momentum) / 2",
        "setting.rate * (1 - setting.momentum) / 2",
        "theory/test_covariance.py::test_stationarity_identities",
    ),
    Fault(
        "C/√B for C/B in the virial",
        _EFFECTIVE,
        "(float(square_gradient) + noise.own * float(noise_trace))",
        "(float(square_gradient) + noise.own**0.5 * float(noise_trace))",
        "theory/test_covariance.py::test_stationarity_identities",
    ),
    Fault(
        "a direction of its own length is taken for one of length 1",
        _MATRIX_FREE,
        "discrete_covariance(*part, hyper, average=average, **options)[0, 0]) * length**2",
        "discrete_covariance(*part, hyper, average=average, **options)[0, 0]) * length",
        "theory/test_covariance.py::test_krylov_variance_converges_and_knows_its_error",
    ),
    Fault(
        "the error of a Krylov variance is always 0",
        _MATRIX_FREE,
        "closed = size < steps or size == start.size",
        "closed = size <= steps or size == start.size",
        "theory/test_covariance.py::test_krylov_variance_converges_and_knows_its_error",
    ),
    Fault(
        "C v is not centred without a matrix",
        _MATRIX_FREE,
        "(slopes - jnp.mean(slopes)) / slopes.size",
        "slopes / slopes.size",
        "theory/test_covariance.py::test_products_are_those_of_the_matrices",
    ),
    Fault(
        "L/T for 2L/T in the odds of minima",
        _LAPLACE,
        "log_odds = -2 * np.asarray(losses, np.float64) / temperature",
        "log_odds = -np.asarray(losses, np.float64) / temperature",
        "theory/test_theory.py::test_two_minima_odds_by_hand",
    ),
    Fault(
        "det H for √det H in the odds of minima",
        _LAPLACE,
        "log_odds - 0.5 * np.asarray(log_determinants, np.float64)",
        "log_odds - np.asarray(log_determinants, np.float64)",
        "theory/test_theory.py::test_two_minima_odds_by_hand",
    ),
    Fault(
        "a saddle is refined to a minimum",
        _LAPLACE,
        "    if not lowest > 0:\n",
        "    if np.isnan(lowest):\n",
        "theory/test_theory.py::test_bad_input theory/test_covariance.py::test_bad_input",
    ),
    Fault(
        "T for T/2 in the width of a mixture's wells",
        _MIXTURE,
        "means, scale / 2 * np.linalg.inv(hessians)",
        "means, scale * np.linalg.inv(hessians)",
        "theory/test_chain_law.py::test_laplace_is_exact_for_a_parabola",
    ),
    Fault(
        "a mixture's covariance without that between its wells",
        _MIXTURE,
        "self.covariances + off[:, :, None] * off[:, None, :]",
        "self.covariances + 0 * off[:, :, None] * off[:, None, :]",
        "theory/test_theory_by_hand.py::test_a_mixture_varies_within_its_wells_and_between_them",
    ),
    Fault(
        "the wells of a mixture are drawn alike",
        _MIXTURE,
        "chances = np.cumsum(self.weights)",
        "chances = np.cumsum(np.ones_like(self.weights))",
        "theory/test_theory_by_hand.py::test_draws_from_a_mixture_have_its_moments",
    ),
    Fault(
        "a normal density in d dimensions by that in one",
        _MIXTURE,
        "dimension / 2 * np.log(2 * np.pi)",
        "1 / 2 * np.log(2 * np.pi)",
        "theory/test_chain_law.py::test_laplace_is_exact_for_a_parabola",
    ),
    Fault(
        "Stratonovich for Itô",
        _ITO,
        "integral + np.log(ends)",
        "integral + np.log(ends) / 2",
        "theory/test_chain_law.py::test_online_regression_is_students_t"
        " theory/test_chain_law.py::test_louder_noise_on_one_side_by_nested_quadrature",
    ),
    Fault(
        "B/η for 2B/η in the Itô law",
        _ITO,
        "2 * setting.batch / setting.effective_rate * integral",
        "setting.batch / setting.effective_rate * integral",
        "theory/test_chain_law.py::test_constant_noise_gives_gibbs",
    ),
    Fault(
        "ν = 1/T for 1 + 1/T",
        _STUDENT,
        "freedom = 1 + setting.batch / (setting.effective_rate * a)",
        "freedom = setting.batch / (setting.effective_rate * a)",
        "theory/test_chain_law.py::test_online_regression_is_students_t",
    ),
    Fault(
        "T for 2T in SGD's variance of online regression",
        _STUDENT,
        "rest = 2 - 2 * T - (",
        "rest = 2 - T - (",
        "theory/test_chain_law.py::test_sgd_has_its_own_variance_in_online_regression"
        " theory/test_regression_law.py::test_online_regression_closed_form",
    ),
    Fault(
        "inputs and noise are swapped",
        _STUDENT,
        "return s2 / a * T / rest",
        "return a / s2 * T / rest",
        "theory/test_chain_law.py::test_units_of_online_regression",
    ),
    Fault(
        "skewness by D² for D³",
        _SKEWNESS,
        "sigma**3 / (6 * diffusion**3)",
        "sigma**3 / (6 * diffusion**2)",
        "theory/test_chain_law.py::test_skewness_to_leading_order",
    ),
    Fault(
        "the sign of the odds of skewed noise",
        _SKEWNESS,
        "right[1] / right[0] - left[1] / left[0]",
        "left[1] / left[0] - right[1] / right[0]",
        "theory/test_chain_law.py::test_a_symmetric_well_becomes_73_to_27"
        " theory/test_chain_law.py::test_skewness_to_leading_order",
    ),
    Fault(
        "the flux by the mean of both densities",
        _FP_GENERATOR,
        "return np.where(small, 1 - u / 2, safe / np.expm1(safe))",
        "return 1 - u / 2",
        "theory/test_fokker_planck.py::test_gibbs_on_the_cells_is_left_alone",
    ),
    Fault(
        "D = η'C/B for η'C/(2B)",
        _FP_GENERATOR,
        "D = float(hyper.ratio) / 2 * variances",
        "D = float(hyper.ratio) * variances",
        "theory/test_fokker_planck_noise.py::test_noise_that_grows_with_the_distance",
    ),
    Fault(
        "probability hops twice as far up as down",
        _FP_GENERATOR,
        "np.where(open_, there * _bernoulli(-rise), 0.0)",
        "np.where(open_, there * _bernoulli(rise), 0.0)",
        "theory/test_fokker_planck.py::test_gibbs_on_the_cells_is_left_alone",
    ),
    Fault(
        "the law of position-dependent noise without 1/D",
        _FP_GENERATOR,
        "np.cumsum(rises[0])]) + np.log(D[:, 0])",
        "np.cumsum(rises[0])])",
        "theory/test_fokker_planck_noise.py::test_noise_that_grows_with_the_distance",
    ),
    Fault(
        "the Fokker-Planck clock forgets the momentum",
        _FP,
        "steps=moments / float(hyper.effective_learning_rate)",
        "steps=moments / float(hyper.learning_rate)",
        "theory/test_fokker_planck.py::test_momentum_is_in_the_clock_and_in_the_temperature",
    ),
    Fault(
        "times of a Fokker-Planck law count from the one before",
        _FP,
        "jnp.asarray(time - now)",
        "jnp.asarray(time)",
        "theory/test_fokker_planck.py::test_results theory/test_fokker_planck.py::test_ensemble_on_the_line",
    ),
    Fault(
        "the Poisson weights of a law do not add up to 1",
        _FP_TIME,
        "result / total",
        "result / (total + first)",
        "theory/test_theory_by_hand.py::test_two_cells_come_to_rest_exponentially",
    ),
    Fault(
        "the second part of a long time is left out",
        _FP_TIME,
        "lax.fori_loop(0, parts.astype(int), series, p)",
        "lax.fori_loop(0, 1, series, p)",
        "theory/test_fokker_planck.py::test_mass_is_kept_for_long"
        " theory/test_fokker_planck.py::test_ensemble_on_the_line"
        " theory/test_fokker_planck.py::test_relaxation_time_of_wells",
    ),
    Fault(
        "a point is put on the cell to its left",
        _FP_GRID,
        "np.add.at(result, left + 1, weights * (place - left))",
        "np.add.at(result, left, weights * (place - left))",
        "theory/test_fokker_planck.py::test_starts",
    ),
    Fault(
        "a Gaussian start of half its variance",
        _FP_GRID,
        "weights = np.exp(-0.5 * ((centres - mean) / std) ** 2)",
        "weights = np.exp(-(((centres - mean) / std) ** 2))",
        "theory/test_fokker_planck.py::test_starts",
    ),
    Fault(
        "a density of which part is cut off is taken",
        _FP_GRID,
        "    if outside > 1e-8:\n",
        "    if outside > 1:\n",
        "theory/test_fokker_planck.py::test_more_bad_input",
    ),
    Fault(
        "orders without those that end with the first examples",
        _ORDERS,
        "left = [n for n in range(size) if n not in done]",
        "left = [n for n in range(size) if n not in done or n == 0]",
        "theory/test_regression_law.py::test_shuffled_epochs_by_all_their_orders",
    ),
    Fault(
        "one batch too many in an epoch that batches do not divide",
        _ORDERS,
        "return [*sizes, rest] if every_one and rest else sizes",
        "return [*sizes, rest] if rest else sizes",
        "theory/test_regression_law.py::test_shuffled_epochs_by_all_their_orders",
    ),
    Fault(
        "the control variate's noise without that between batches",
        _ORDERS,
        "noise = weighted + cross * (together.T @ together - single)",
        "noise = weighted",
        "theory/test_theory_by_hand.py::test_random_orders_of_examples_of_one_curvature_need_no_luck",
    ),
    Fault(
        "curvatures that differ feed back their mean square",
        _REGRESSION,
        "spread - values[:, None] * sigma * values[None, :]",
        "spread",
        "theory/test_regression_law.py::test_independent_batches_by_enumeration",
    ),
    Fault(
        "the covariance of an epoch's end about 0, not about its mean",
        _REGRESSION,
        "kicks = whole[:-1, :-1] @ start @ start - np.outer(bias, bias)",
        "kicks = whole[:-1, :-1] @ start @ start",
        "theory/test_regression_law.py::test_shuffled_epochs_by_all_their_orders",
    ),
    Fault(
        "a feedback above 1 has a law",
        _REGRESSION,
        "    if not growth < 1:\n",
        "    if not growth < 10:\n",
        "theory/test_regression_law.py::test_bad_input",
    ),
    Fault(
        "the mean square for the variance of a density",
        _DENSITY,
        "return float(second - self.mean**2)",
        "return float(second)",
        "theory/test_theory_by_hand.py::test_moments_of_a_normal_law_far_from_0",
    ),
    Fault(
        "marginals of the other axis",
        _DENSITY,
        "grid, other = (self.x, self.y) if axis == 0 else (self.y, self.x)",
        "grid, other = (self.x, self.y) if axis == 1 else (self.y, self.x)",
        "theory/test_theory_by_hand.py::test_the_plane_has_two_axes",
    ),
    Fault(
        "points of a cell are drawn at its corner",
        _DENSITY,
        "x = self.x[i] + offset[:, 0] * (self.x[1] - self.x[0])",
        "x = self.x[i] + 0 * offset[:, 0] * (self.x[1] - self.x[0])",
        "theory/test_theory.py::test_samples_follow_their_density",
    ),
    Fault(
        "triangles of a region with one corner inside count as empty",
        "sde_sgd/theory/_region.py",
        "mixed = (count == 1) | (count == 2)",
        "mixed = count == 2",
        "theory/test_resolution.py::test_probabilities_of_regions",
    ),
    Fault(
        "a density is refined once and then believed",
        _RESOLUTION,
        "    while points is None and not density.error",
        "    if points is None and not density.error",
        "theory/test_resolution.py::test_narrow_wells_get_finer_grids",
    ),
]
