"""Faults in what is minimised."""

from planted._fault import Fault

_EMPIRICAL = "sde_sgd/problems/_empirical_risk.py"
_LOSSES = "sde_sgd/problems/_losses.py"
_FINITE = "sde_sgd/problems/_finite_sum.py"
_MODELS = "sde_sgd/problems/_models.py"
_NOISE = "sde_sgd/problems/_noise.py"
_SAMPLING = "sde_sgd/problems/_sampling.py"
_WELLS = "sde_sgd/problems/_wells.py"
_TILTED = "sde_sgd/problems/_tilted_noise.py"
_RESNET = "sde_sgd/problems/_resnet.py"

FAULTS = [
    Fault(
        "the squared error without its ½",
        _LOSSES,
        "0.5 * jnp.sum(square.reshape(square.shape[0], -1), axis=1)",
        "jnp.sum(square.reshape(square.shape[0], -1), axis=1)",
        "problems/test_models_by_hand.py::test_linear_regression_by_hand"
        " problems/test_models_by_hand.py::test_squared_error_of_several_outputs",
    ),
    Fault(
        "the mean over outputs for their sum",
        _LOSSES,
        "0.5 * jnp.sum(square.reshape(square.shape[0], -1), axis=1)",
        "0.5 * jnp.mean(square.reshape(square.shape[0], -1), axis=1)",
        "problems/test_models_by_hand.py::test_squared_error_of_several_outputs",
    ),
    Fault(
        "a logit of shape (batch,) is taken for one row",
        _LOSSES,
        "    if outputs.ndim != 2:\n",
        "    if outputs.ndim > 2:\n",
        "problems/test_empirical_refusals.py::test_bad_values_are_refused"
        " problems/test_empirical_refusals.py::test_what_does_not_fit_is_refused",
    ),
    Fault(
        "λ|θ|² for (λ/2)|θ|²",
        _EMPIRICAL,
        "losses + 0.5 * self.l2.astype(losses.dtype)",
        "losses + self.l2.astype(losses.dtype)",
        "problems/test_empirical.py::test_l2_adds_to_the_gradient_and_not_to_the_noise"
        " problems/test_models_by_hand.py::test_linear_regression_by_hand"
        " problems/test_models_by_hand.py::test_mlp_by_hand",
    ),
    Fault(
        "the test loss of the training set",
        _EMPIRICAL,
        "return jnp.mean(self._by_blocks(self._losses_of, theta, self.test_inputs, self.test_targets))",
        "return jnp.mean(self._by_blocks(self._losses_of, theta, self.inputs, self.targets))",
        "problems/test_models_by_hand.py::test_softmax_regression_by_hand"
        " problems/test_models_by_hand.py::test_mlp_by_hand"
        " problems/test_models_by_hand.py::test_a_model_that_fits_is_counted_right",
    ),
    Fault(
        "a device takes the examples of its neighbour",
        _EMPIRICAL,
        "here = indices - share * lax.axis_index(self.axis)",
        "here = indices - share * (1 - lax.axis_index(self.axis))",
        "platform/test_devices.py::test_two_devices_share_the_batches_of_every_process"
        " platform/test_devices.py::test_what_an_observable_makes_of_the_problem_sees_all_examples",
    ),
    Fault(
        "ξ is not centred",
        _FINITE,
        "centred = noise - jnp.mean(noise)",
        "centred = noise",
        "problems/test_empirical.py::test_one_pass_noise_has_exactly_the_covariance_of_the_data",
    ),
    Fault(
        "1/N for 1/√N in the one-pass noise",
        _FINITE,
        "diffusion * centred / self._examples**0.5",
        "diffusion * centred / self._examples",
        "problems/test_empirical.py::test_one_pass_noise_has_exactly_the_covariance_of_the_data",
    ),
    Fault(
        "N − 1 for N in the gradient covariance",
        _FINITE,
        " = centred.T @ centred / self._examples",
        " = centred.T @ centred / (self._examples - 1)",
        "problems/test_empirical.py::test_one_pass_noise_has_exactly_the_covariance_of_the_data"
        " problems/test_tilted_noise.py::test_tilts_have_mean_zero_and_the_covariance_asked_for",
    ),
    Fault(
        "the gradient of the sum for that of the mean",
        _FINITE,
        "jax.grad(lambda at: jnp.mean(self.example_losses(at)))(theta)",
        "jax.grad(lambda at: jnp.sum(self.example_losses(at)))(theta)",
        "problems/test_empirical.py::test_gradients_agree_with_each_other",
    ),
    Fault(
        "weights by fan-out for fan-in",
        _MODELS,
        "self.gain / math.sqrt(fan_in)",
        "self.gain / math.sqrt(fan_out)",
        "problems/test_models_by_hand.py::test_initial_weights_have_variance_one_over_fan_in",
    ),
    Fault(
        "an activation after the last layer",
        _MODELS,
        "if number < len(theta) - 1:",
        "if number < len(theta):",
        "problems/test_models_by_hand.py::test_mlp_by_hand",
    ),
    Fault(
        "two layers start with the same weights where they can",
        _MODELS,
        "weight = jax.random.normal(layer_key, (fan_in, fan_out), float)",
        "weight = jax.random.normal(key, (fan_in, fan_out), float)",
        "data/test_data_by_hand.py::test_no_two_layers_start_alike",
    ),
    Fault(
        "noise that depends on θ is called additive",
        _NOISE,
        "is_additive = False",
        "is_additive = True",
        "processes/test_processes.py::test_bad_input processes/test_underdamped.py::test_bad_input"
        " processes/test_second_order.py::test_bad_input",
    ),
    Fault(
        "a correlated covariance without its root",
        _NOISE,
        "vectors * np.sqrt(np.clip(values, 0, None))",
        "vectors * np.clip(values, 0, None)",
        "problems/test_problems.py::test_covariances_by_hand"
        " problems/test_problems.py::test_batch_gradient_has_the_mean_and_covariance_it_says",
    ),
    Fault(
        "σ² for σ in the noise of an SDE",
        _NOISE,
        "(factor * jnp.sqrt(self.sigma_squared)) * xi",
        "(factor * self.sigma_squared) * xi",
        "problems/test_problems.py::test_noisy_gradient_is_drift_and_the_root_of_the_covariance",
    ),
    Fault(
        "σ² for σ where it depends on θ",
        _NOISE,
        "return jnp.sqrt(self.function(theta)) * xi",
        "return self.function(theta) * xi",
        "problems/test_problems.py::test_batch_gradient_has_the_mean_and_covariance_it_says",
    ),
    Fault(
        "σ/B for σ/√B of normal noise",
        _NOISE,
        "random.normal(here, chain, self.shape, self.dtype) / count**0.5",
        "random.normal(here, chain, self.shape, self.dtype) / count",
        "problems/test_problems.py::test_batch_gradient_has_the_mean_and_covariance_it_says"
        " problems/test_problems.py::test_gaussian_batches_are_gaussian",
    ),
    Fault(
        "the sum of signs over √B for their mean",
        _NOISE,
        "mean = total.astype(self.dtype) / count",
        "mean = total.astype(self.dtype) / count**0.5",
        "problems/test_problems.py::test_rademacher_noise_takes_two_values",
    ),
    Fault(
        "subsets never hold the last example that may be drawn",
        _SAMPLING,
        "lowest + i + 1)",
        "lowest + i)",
        "problems/test_sampling.py::test_every_subset_is_equally_likely",
    ),
    Fault(
        "the same order of the data in every epoch",
        _SAMPLING,
        'random.at(words["shuffle"], step)',
        'random.at(words["shuffle"], 0 * step)',
        "problems/test_sampling.py::test_successive_epochs_are_independent",
    ),
    Fault(
        "epochs begin where the clock does, not the stage",
        _SAMPLING,
        "position = (step - origin) % self.batches",
        "position = step % self.batches",
        "conventions/test_schedules.py::test_shuffled_epochs_begin_anew_with_each_stage",
    ),
    Fault(
        "ties of the first 32 bits keep their order in a shuffle",
        _SAMPLING,
        "dimension=1, num_keys=2)[2]",
        "dimension=1, num_keys=1)[2]",
        "problems/test_sampling.py::test_every_order_is_equally_likely",
        equivalent="two of N words of 32 bits are equal with odds N²/2³³ only",
    ),
    Fault(
        "an epoch shuffles when it ends",
        _SAMPLING,
        "lax.cond(position == 0, shuffle",
        "lax.cond(position == self.batches - 1, shuffle",
        "problems/test_sampling.py::test_epochs_are_orders_of_the_data_cut_into_batches",
    ),
    Fault(
        "a last batch is divided by the room that there is for it",
        _FINITE,
        "return total * devices / batch.count.astype(losses.dtype)",
        "return total / share",
        "problems/test_last_batch.py::test_the_gradient_of_a_part_is_the_mean_of_its_examples",
    ),
    Fault(
        "what fills the room of a last batch counts",
        _FINITE,
        "jnp.where(there, losses, jnp.zeros_like(losses))",
        "losses",
        "problems/test_last_batch.py::test_the_gradient_of_a_part_is_the_mean_of_its_examples",
    ),
    Fault(
        "the room of a last batch is filled with examples that are not in it",
        _SAMPLING,
        'mode="clip")',
        'mode="wrap")',
        "problems/test_last_batch.py::test_what_fills_the_last_batch_is_in_it",
    ),
    Fault(
        "θᵀHθ for ½ θᵀHθ",
        _WELLS,
        "0.5 * jnp.vdot(theta, self.matrix @ theta",
        "jnp.vdot(theta, self.matrix @ theta",
        "problems/test_problems.py::test_quadratic_by_hand",
    ),
    Fault(
        "the tilt is missing in the slope of the double well",
        _WELLS,
        "return theta * (theta * theta - 1.0) + self.tilt",
        "return theta * (theta * theta - 1.0)",
        "problems/test_problems.py::test_gradient_is_the_slope_of_the_loss",
    ),
    Fault(
        "the top of the barrier counts as a minimum",
        _WELLS,
        "if 3 * root**2 > 1]",
        "if 3 * root**2 >= 0]",
        "problems/test_problems.py::test_minima_are_stationary_and_curve_upwards"
        " problems/test_wells.py::test_double_well_by_hand",
    ),
    Fault(
        "two minima are raised where they meet",
        _WELLS,
        "jnp.minimum(first, second) - self.smoothing",
        "jnp.minimum(first, second) + self.smoothing",
        "problems/test_wells.py::test_two_minima_lie_just_below_the_lower_parabola",
    ),
    Fault(
        "H_a for H_b in where matched parabolas meet",
        _WELLS,
        "return self.barrier_curvature / (self.well_curvature + self.barrier_curvature)",
        "return self.well_curvature / (self.well_curvature + self.barrier_curvature)",
        "problems/test_wells.py::test_matched_parabolas",
    ),
    Fault(
        "the mirrored well of matched parabolas is missing",
        _WELLS,
        "x = jnp.where(theta > top, 2 * top - theta, theta)",
        "x = theta",
        "problems/test_wells.py::test_matched_parabolas",
    ),
    Fault(
        "the published surface without its last hill",
        _WELLS,
        "(15.0, 0.7, 0.6, 0.7, -1.0, 1.0)",
        "(15.0, 0.7, -0.6, 0.7, -1.0, 1.0)",
        "problems/test_wells.py::test_muller_brown_published_points"
        " problems/test_problems.py::test_minima_are_stationary_and_curve_upwards",
    ),
    Fault(
        "tilts of standard deviation σ²",
        _TILTED,
        "float(noise_variance) ** 0.5",
        "float(noise_variance)",
        "problems/test_tilted_noise.py::test_tilts_have_mean_zero_and_the_covariance_asked_for",
    ),
    Fault(
        "tilts are not in pairs",
        _TILTED,
        "np.concatenate([raw, -raw]) if symmetric",
        "np.concatenate([raw, raw - 2 * raw.mean(axis=0)]) if symmetric",
        "problems/test_tilted_noise.py::test_pairs_of_tilts_have_no_odd_moments"
        " problems/test_tilted_noise.py::test_tilts_have_mean_zero_and_the_covariance_asked_for",
    ),
    Fault(
        "Glorot's variance for He's in a residual network",
        _RESNET,
        "_drawn(make, 2 / (9 * width_in), key)",
        "_drawn(make, 1 / (9 * width_in), key)",
        "problems/test_resnet.py::test_start",
    ),
    Fault(
        "a residual block without its second normalisation",
        _RESNET,
        "branch = self.norms[1](self.convolutions[1](branch))",
        "branch = self.convolutions[1](branch)",
        "problems/test_resnet.py::test_network_by_hand",
    ),
    Fault(
        "an analytic problem says it has shuffled epochs",
        "sde_sgd/problems/_analytic.py",
        'if sampling != "replacement":',
        'if sampling == "subset":',
        "problems/test_problems.py::test_analytic_problems_have_no_data_to_sample",
    ),
    Fault(
        "the gradient of −L",
        "sde_sgd/problems/_base.py",
        "return jax.grad(self.loss)(theta)",
        "return jax.grad(lambda at: -self.loss(at))(theta)",
        "problems/test_problems.py::test_gradient_is_the_slope_of_the_loss",
    ),
]
