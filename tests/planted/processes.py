"""Faults in the laws of motion."""

from planted._fault import Fault

_BASE = "sde_sgd/processes/_base.py"
_CENTRAL = "sde_sgd/processes/_central_flow.py"
_DRAWS = "sde_sgd/processes/_draws.py"
_BALL = "sde_sgd/processes/_heavy_ball.py"
_SVAG = "sde_sgd/processes/_svag.py"
_SECOND = "sde_sgd/processes/_second_order.py"
_LANGEVIN = "sde_sgd/processes/_langevin.py"
_UNDERDAMPED = "sde_sgd/processes/_underdamped.py"
_WHITE = "sde_sgd/processes/_white_noise.py"

FAULTS = [
    Fault(
        "leaves of θ share their random numbers",
        _DRAWS,
        "draw(random.at(words, number), leaf)",
        "draw(random.at(words, 0), leaf)",
        "processes/test_underdamped.py::test_stationary_covariance_with_the_noise_of_real_minibatches"
        " processes/test_white_noise.py::test_the_default_temperature_is_that_of_sgd"
        " problems/test_empirical.py::test_langevin_noises_have_the_covariance_they_are_named_for",
    ),
    Fault(
        "a schedule counted from the start of the clock, not of the stage",
        _BASE,
        "jnp.asarray(schedule(step - origin))",
        "jnp.asarray(schedule(step))",
        "conventions/test_schedules.py::test_rates_are_counted_from_the_start_of_their_stage",
    ),
    Fault(
        "batches and shuffles draw from one stream",
        "sde_sgd/processes/_minibatch.py",
        "shuffle=Stream.SHUFFLE",
        "shuffle=Stream.MINIBATCH",
        "problems/test_sampling.py::test_chains_and_steps_draw_for_themselves",
        equivalent="a process draws batches or shuffles, never both; the stream only names the numbers",
    ),
    Fault(
        "v ← m v + (1 − m) ĝ",
        _BALL,
        "_tree.column(hyper.momentum, v) * v + g, velocity",
        "_tree.column(hyper.momentum, v) * v + (1 - _tree.column(hyper.momentum, v)) * g, velocity",
        "processes/test_processes.py::test_heavy_ball_by_hand",
    ),
    Fault(
        "θ moves by the old velocity",
        _BALL,
        "direction = gradient if velocity is None else velocity",
        "direction = gradient",
        "processes/test_processes.py::test_heavy_ball_by_hand",
    ),
    Fault(
        "η for η/l in SVAG",
        _SVAG,
        "self.rate(step) / self.l",
        "self.rate(step)",
        "processes/test_svag.py::test_stationary_variance_at_every_l",
    ),
    Fault(
        "both batches of SVAG are one",
        _SVAG,
        "for batch in (1, 2)",
        "for batch in (1, 1)",
        "processes/test_svag.py::test_stationary_variance_at_every_l",
    ),
    Fault(
        "√(2l) for √(2l − 1) in SVAG",
        _SVAG,
        "root = (2 * self.l - 1) ** 0.5",
        "root = (2 * self.l) ** 0.5",
        "processes/test_svag.py::test_stationary_variance_at_every_l",
    ),
    Fault(
        "SVAG's steps within a step repeat their batches",
        _SVAG,
        "random.at(key, number, batch)",
        "random.at(key, 0 * number, batch)",
        "processes/test_svag.py::test_stationary_variance_at_every_l"
        " processes/test_svag.py::test_skewness_falls_to_that_of_the_sde",
    ),
    Fault(
        "half of the correction of the drift",
        _SECOND,
        "slope = _plus(gradient, rate / 2, self._hessian_product(at, gradient))",
        "slope = _plus(gradient, rate / 4, self._hessian_product(at, gradient))",
        "processes/test_second_order.py::test_coefficients_are_those_of_the_equation",
    ),
    Fault(
        "the correction of the noise is missing at fixed ratio",
        _SECOND,
        "noise = _plus(noise, rate / 2, self._hessian_product(theta, noise))",
        "noise = _plus(noise, 0 * rate, self._hessian_product(theta, noise))",
        "processes/test_second_order.py::test_coefficients_are_those_of_the_equation",
    ),
    Fault(
        "the third derivative with the wrong sign",
        _SECOND,
        "slope = _plus(slope, -(rate**2) / 4",
        "slope = _plus(slope, rate**2 / 4",
        "processes/test_second_order.py::test_coefficients_are_those_of_the_equation",
    ),
    Fault(
        "Euler for Heun in the second-order SDE",
        _SECOND,
        "at + 0.5 * (d + e) + n",
        "at + d + n",
        "processes/test_second_order.py::test_second_order_has_slope_two_at_fixed_batch_size",
    ),
    Fault(
        "the underdamped pull by the friction twice",
        _UNDERDAMPED,
        "pull = -jnp.expm1(-friction * dt) / friction",
        "pull = -jnp.expm1(-2 * friction * dt) / (2 * friction)",
        "processes/test_underdamped.py::test_the_transient_is_that_of_the_damped_oscillator"
        " processes/test_underdamped.py::test_stationary_covariance_with_the_noise_of_real_minibatches",
    ),
    Fault(
        "the underdamped noise's spread without its factors 2",
        _UNDERDAMPED,
        "jnp.sqrt(-jnp.expm1(-2 * friction * dt) / (2 * friction * dt))",
        "jnp.sqrt(-jnp.expm1(-friction * dt) / (friction * dt))",
        "processes/test_underdamped.py"
        "::test_the_velocity_of_the_verlet_step_is_that_of_its_ornstein_uhlenbeck_law",
    ),
    Fault(
        "the first Lévy area of variance dt/6",
        _UNDERDAMPED,
        "(dt / 12) ** 0.5",
        "(dt / 6) ** 0.5",
        "processes/test_underdamped.py::test_levy_areas_have_their_variances",
    ),
    Fault(
        "the second Lévy area of variance dt/120",
        _UNDERDAMPED,
        "(dt / 720) ** 0.5",
        "(dt / 120) ** 0.5",
        "processes/test_underdamped.py::test_levy_areas_have_their_variances",
    ),
    Fault(
        "both Lévy areas from one draw",
        _UNDERDAMPED,
        "_draws.normal(random.at(area, 0, 1), state.chain, one, (dt / 720) ** 0.5)",
        "_draws.normal(area, state.chain, one, (dt / 720) ** 0.5)",
        "processes/test_underdamped.py::test_levy_areas_have_their_variances",
    ),
    Fault(
        "position Verlet glides a whole step twice",
        _UNDERDAMPED,
        "x - (0.5 * dt) * rate * v",
        "x - dt * rate * v",
        "processes/test_underdamped.py::test_the_transient_is_that_of_the_damped_oscillator",
    ),
    Fault(
        "underdamped noise without the factor of fresh subsets",
        _UNDERDAMPED,
        "return jnp.sqrt(self.population_factor / self.hyper.batch_size)",
        "return jnp.sqrt(1 / self.hyper.batch_size) + 0 * self.population_factor",
        "processes/test_langevin_by_hand.py::test_fresh_subsets_of_all_examples_leave_no_noise",
    ),
    Fault(
        "the velocity of the underdamped solver in units of η, not η/(1 − m)",
        _UNDERDAMPED,
        "return theta + unit * way, -speed",
        "return theta + rate * way, -speed",
        "processes/test_underdamped.py::test_stationary_covariance_on_a_quadratic"
        " processes/test_underdamped.py::test_the_transient_is_that_of_the_damped_oscillator",
    ),
    Fault(
        "white noise forgets the momentum",
        _WHITE,
        "left = 1.0 - hyper.momentum if hyper.has_momentum else jnp.ones(())",
        "left = jnp.ones(())",
        "processes/test_white_noise.py::test_a_chosen_temperature_sets_the_variance",
    ),
    Fault(
        "the default temperature of white noise without its batch size",
        _WHITE,
        "jnp.sqrt(self.problem.noise_variance() / self.hyper.batch_size)",
        "jnp.sqrt(self.problem.noise_variance())",
        "processes/test_white_noise.py::test_the_default_temperature_is_that_of_sgd",
    ),
    Fault(
        "SGLD's noise is the same in every step",
        _WHITE,
        'here = random.at(words["brownian"], step)',
        'here = random.at(words["brownian"], 0 * step)',
        "processes/test_white_noise.py::test_temperatures_of_minibatches_and_of_injected_noise_add",
    ),
    Fault(
        "increments of variance 1/n² for 1/n",
        "sde_sgd/processes/_diffusion.py",
        "(1.0 / self.substeps) ** 0.5",
        "1.0 / self.substeps",
        "processes/test_processes.py::test_substeps_share_out_one_unit_of_the_clock"
        " validity/test_weak_error.py::test_both_sides_have_their_own_laws",
    ),
    Fault(
        "fresh subsets have the noise of independent examples in the SDE",
        "sde_sgd/processes/_diffusion.py",
        'if sampling == "subset":',
        'if sampling == "subsets":',
        "processes/test_processes.py::test_fresh_subsets_have_their_own_sde",
    ),
    Fault(
        "isotropic noise keeps the length of its own direction",
        "sde_sgd/processes/_terms.py",
        "stretch = jnp.sqrt(_tree.squared_norm(own) / _tree.squared_norm(z))",
        "stretch = jnp.sqrt(_tree.squared_norm(own))",
        "problems/test_empirical.py::test_langevin_noises_have_the_covariance_they_are_named_for"
        " problems/test_empirical.py::test_reshaped_noises_keep_the_size_of_the_draw",
    ),
    Fault(
        "diagonal noise is that of the problem",
        "sde_sgd/processes/_terms.py",
        'kick = jax.tree.map(jnp.multiply, own, noise["direction"])',
        "kick = own",
        "problems/test_empirical.py::test_langevin_noises_have_the_covariance_they_are_named_for",
    ),
    Fault(
        "an optimiser is given the rate without its schedule",
        "sde_sgd/processes/_sgd.py",
        "_map_rates(update, rate)(theta, gradient, buffer)",
        "_map_rates(update, self.hyper.learning_rate)(theta, gradient, buffer)",
        "conventions/test_schedules.py::test_an_optimizer_is_given_the_rate_of_each_step_and_keeps_its_state",
    ),
    Fault(
        "the Lévy area of stochastic Runge-Kutta of variance dt/6",
        _LANGEVIN,
        "(dt / 12) ** 0.5",
        "(dt / 6) ** 0.5",
        "processes/test_processes.py::test_the_levy_area_of_stochastic_runge_kutta_has_its_variance",
    ),
    Fault(
        "the direction of two-point noise is the same in all substeps",
        _LANGEVIN,
        'random.at(words["direction"], step, place % substeps)',
        'random.at(words["direction"], step, 0)',
        "processes/test_langevin_by_hand.py::test_substeps_of_two_point_noise_have_directions_of_their_own",
    ),
    Fault(
        "two-point increments of variance 1/n² for 1/n",
        _LANGEVIN,
        "place % _BITS, (1.0 / substeps) ** 0.5)",
        "place % _BITS, 1.0 / substeps)",
        "processes/test_two_point.py::test_one_step_on_data_has_the_covariance_of_the_noise"
        " processes/test_two_point.py::test_moments_in_a_quadratic_well",
    ),
    Fault(
        "an increment that is used twice begins anew with every step",
        _LANGEVIN,
        "return step + (number + 1) // self.substeps, (number + 1) % self.substeps",
        "return step + 1, (number + 1) % self.substeps",
        "processes/test_integrators.py::test_neighbouring_moves_share_one_increment",
    ),
    Fault(
        "η for η/(1 − m) in the Langevin SDE",
        _LANGEVIN,
        "scheduled(self.hyper.effective_learning_rate, self.schedule",
        "scheduled(self.hyper.learning_rate, self.schedule",
        "processes/test_langevin_by_hand.py::test_one_step_takes_the_time_of_a_step_with_momentum",
    ),
    Fault(
        "the scheme of Leimkuhler and Matthews takes the new increment alone",
        "sde_sgd/processes/_leimkuhler_matthews.py",
        "0.5 * now + 0.5 * after",
        "0.0 * now + 1.0 * after",
        "processes/test_integrators.py"
        "::test_one_gradient_a_step_has_the_exact_variance_of_a_quadratic_at_any_stable_step",
    ),
    Fault(
        "one step of Euler's method for the SDE where noise depends on θ",
        "sde_sgd/processes/_solvers.py",
        "_EXACT, _FIRST_ORDER, _SECOND_ORDER = 1, 32, 4",
        "_EXACT, _FIRST_ORDER, _SECOND_ORDER = 1, 1, 4",
        "processes/test_integrators.py::test_the_solver_and_its_substeps_follow_from_the_noise",
    ),
    Fault(
        "the scheme for isotropic noise is the default for any additive noise",
        "sde_sgd/processes/_solvers.py",
        "if _is_isotropic(problem) and not is_scheduled:",
        "if (_is_isotropic(problem) or _is_additive(problem)) and not is_scheduled:",
        "processes/test_integrators.py::test_the_solver_and_its_substeps_follow_from_the_noise",
    ),
    Fault(
        "an optimiser's own randomness is the same in every chain",
        "sde_sgd/processes/_sgd.py",
        'memory = own_keys.of_each_chain(memory, like, words["minibatch"], state.chain)',
        'memory = own_keys.of_each_chain(memory, like, words["minibatch"], 0 * state.chain)',
        "processes/test_processes.py::test_an_optimizer_shakes_every_chain_with_noise_of_its_own",
    ),
    Fault(
        "the swings push the central flow twice as hard",
        _CENTRAL,
        "-(slope + 0.5 * push)",
        "-(slope + push)",
        "processes/test_central_flow.py::test_along_a_circle_of_constant_curvature_as_in_the_closed_form",
    ),
    Fault(
        "the central flow forgets the room below the edge",
        _CENTRAL,
        "jnp.diag(edge - values[: self.k])",
        "jnp.diag(0 * values[: self.k])",
        "processes/test_central_flow.py::test_along_a_circle_of_constant_curvature_as_in_the_closed_form",
    ),
    Fault(
        "Euler's slope for Heun's in the central flow",
        _CENTRAL,
        "gradient(flat - time * slope)",
        "gradient(flat)",
        "processes/test_central_flow.py::test_below_the_edge_it_is_gradient_flow",
    ),
    Fault(
        "more directions at the edge than k pass unnoticed",
        _CENTRAL,
        "(1 - _BELOW) * edge",
        "2 * edge",
        "processes/test_central_flow.py::test_more_directions_at_the_edge_than_k_end_the_chain",
    ),
    Fault(
        "the mean loss counts the swings twice",
        _CENTRAL,
        "self.problem.loss(theta) + 0.5 * jnp.sum(",
        "self.problem.loss(theta) + jnp.sum(",
        "processes/test_central_flow.py::test_what_the_flow_predicts_at_a_place",
    ),
]
