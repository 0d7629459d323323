"""Faults in times of escape."""

from planted._fault import Fault

_ABSORPTION = "sde_sgd/theory/_escape/_absorption.py"
_BIRTH_DEATH = "sde_sgd/theory/_escape/_birth_death.py"
_CHAIN = "sde_sgd/theory/_escape/_chain_time.py"
_CURVATURE_NOISE = "sde_sgd/problems/_curvature_noise.py"
_DIFFUSION_THEORY = "sde_sgd/theory/_escape/_diffusion_theory.py"
_KRAMERS = "sde_sgd/theory/_escape/_kramers.py"
_LAW = "sde_sgd/theory/_escape/_passage_law.py"
_MEAN = "sde_sgd/theory/_escape/_mean_time.py"
_PANELS = "sde_sgd/theory/_escape/_panels.py"
_POWER = "sde_sgd/theory/_escape/_power_law.py"
_QUASI = "sde_sgd/theory/_escape/_quasi_potential.py"
_ROOT = "sde_sgd/theory/_escape/_root.py"
_SADDLE = "sde_sgd/theory/_escape/_saddle.py"
_WAY = "sde_sgd/theory/_escape/_way.py"

FAULTS = [
    Fault(
        "chains are put back on the border",
        "sde_sgd/escape/_renewal.py",
        "theta, extra = put_back(self.process, self.start, moved, left)",
        "theta, extra = put_back(self.process, 0.49 + 0 * self.start, moved, left)",
        "escape/test_rates.py::test_the_rate_is_one_over_the_mean_passage_of_the_chain",
    ),
    Fault(
        "exits of the burn-in count",
        "sde_sgd/escape/_renewal.py",
        "counted = left & (step >= self.burn_in)",
        "counted = left",
        "escape/test_rates.py::test_exits_are_counted_one_by_one",
    ),
    Fault(
        "the first exit is told a step early",
        "sde_sgd/escape/_renewal.py",
        "(exits.first < 0), step + 1, exits.first)",
        "(exits.first < 0), step, exits.first)",
        "escape/test_rates.py::test_exits_are_counted_one_by_one",
    ),
    Fault(
        "an interval of exits forgets that the next one may come",
        "sde_sgd/escape/_rate.py",
        "isf(tail, 2 * number + 2)",
        "isf(tail, 2 * number)",
        "escape/test_rates.py::test_an_interval_of_exits_is_exact",
    ),
    Fault(
        "the burn-in is part of the exposure",
        "sde_sgd/escape/_rate.py",
        "horizon = result.steps - begin",
        "horizon = result.steps",
        "escape/test_rates.py::test_intervals_hold_and_p_values_are_uniform",
    ),
    Fault(
        "what is not finite is inside",
        "sde_sgd/escape/_outside.py",
        "return found | ~_tree.finite_chains(theta)",
        "return found",
        "escape/test_rates.py::test_what_diverges_has_left",
    ),
    Fault(
        "chains that never left waited for nothing",
        "sde_sgd/escape/_first_exit.py",
        "np.where(self.steps >= 0, self.steps, self.horizon)",
        "np.where(self.steps >= 0, self.steps, 0)",
        "escape/test_rates.py::test_first_exits_are_censored_and_keep_their_places",
    ),
    Fault(
        "the last crossing of each chain is taken",
        "sde_sgd/escape/_trials.py",
        "taken = crossed & (drawn * crossings.astype(drawn.dtype) <= 1)",
        "taken = crossed",
        "escape/test_splitting.py::test_crossings_are_taken_without_favour",
    ),
    Fault(
        "a path that fell back goes on",
        "sde_sgd/escape/_trials.py",
        "going = old.going & (found < level) & (found >= home)",
        "going = old.going & (found < level)",
        "escape/test_splitting.py::test_rates_over_ten_decades",
    ),
    Fault(
        "a crossing counts that did not come from home",
        "sde_sgd/escape/_trials.py",
        "crossed = old.from_home & (level >= first)",
        "crossed = level >= first",
        "escape/test_splitting.py::test_rates_over_ten_decades",
    ),
    Fault(
        "the noise of a passage is that of all the gradient, without the ½",
        _WAY,
        "self.setting.effective_rate / (2 * self.setting.batch) * variance",
        "self.setting.effective_rate / self.setting.batch * variance",
        "theory/test_mean_passage_time.py::test_the_double_well_beside_kramers[0.05-1.11]",
    ),
    Fault(
        "steps of a passage without the momentum",
        _MEAN,
        "time / way.setting.effective_rate",
        "time / way.setting.rate",
        "theory/test_mean_passage_time.py::test_momentum_is_in_the_clock_and_in_the_temperature",
    ),
    Fault(
        "a passage in Stratonovich's reading",
        _PANELS,
        "weight = half * np.exp(-exponent) / diffusion",
        "weight = half * np.exp(-exponent) / diffusion**0.5",
        "theory/test_mean_passage_time.py::test_noise_of_the_position_by_nested_quadrature[growing]",
    ),
    Fault(
        "what lies behind the start does not count",
        _PANELS,
        "before = np.concatenate([nothing, np.logaddexp.accumulate(well)[:-1]])",
        "before = np.concatenate([nothing, np.logaddexp.accumulate(np.where(counted, well, -np.inf))[:-1]])",
        "theory/test_mean_passage_time.py::test_a_parabola_up_and_down_in_closed_form",
    ),
    Fault(
        "a passage may start at the top",
        _WAY,
        "if 0 < place < _LOOKS - 1",
        "if 0 <= place < _LOOKS - 1",
        "theory/test_mean_passage_time.py::test_bad_points",
    ),
    Fault(
        "the way back from a cell is forgotten in the variance",
        _BIRTH_DEATH,
        "d / (u + d) * (before + step) ** 2",
        "d / (u + d) * step**2",
        "theory/test_passage_law.py::test_a_small_chain",
    ),
    Fault(
        "Richardson's rule for an error of first order",
        _LAW,
        "(found[k] - found[k - 1]) / 3",
        "(found[k] - found[k - 1]) / 1",
        "theory/test_passage_law.py::test_errors_of_second_order_are_taken_out",
    ),
    Fault(
        "the density is the survival",
        _LAW,
        "self.weights * self.decays",
        "self.weights",
        "theory/test_passage_law.py::test_survivors",
    ),
    Fault(
        "the step out of the well is not counted",
        _CHAIN,
        "float(1 + first @ mean",
        "float(first @ mean",
        "theory/test_chain_passage_time.py::test_a_start_beside_the_points",
    ),
    Fault(
        "the chain's noise is that of one example",
        _CHAIN,
        """    mean, scale = _moves(way, np.append(grid, way.sign * way.start))
    spread = scale / way.setting.batch**0.5
""",
        """    mean, scale = _moves(way, np.append(grid, way.sign * way.start))
    spread = scale
""",
        "theory/test_chain_passage_time.py::test_simulations[0.1-gaussian]",
    ),
    Fault(
        "states that are eliminated leave no chance to be absorbed",
        _ABSORPTION,
        "        gone[low:k] += P[low:k, k] * gone[k]\n",
        "",
        "theory/test_chain_passage_time.py::test_absorption_by_linear_algebra",
    ),
    Fault(
        "Kramers with the determinants upside down",
        _KRAMERS,
        "+ ratio / 2",
        "- ratio / 2",
        "theory/test_kramers.py::test_the_double_well",
    ),
    Fault(
        "a saddle of any index will do",
        _SADDLE,
        "below != 1 or",
        "below == 0 or",
        "theory/test_kramers.py::test_guesses_that_end_elsewhere",
    ),
    Fault(
        "the way down is lifted, and its curvature forgotten",
        _KRAMERS,
        "spread.mean() + np.log(-lowest / along)",
        "spread.mean()",
        "theory/test_kramers_matrix_free.py::test_what_two_hessians_share_adds_no_error",
    ),
    Fault(
        "errors of determinants come out ten times too small",
        _KRAMERS,
        "well, top, error / 2)",
        "well, top, error / 20)",
        "theory/test_kramers_matrix_free.py::test_matrices_against_products",
    ),
    Fault(
        "a double eigenvalue counts once",
        _ROOT,
        " - first * (direction @ vector) * direction",
        "",
        "theory/test_kramers_matrix_free.py::test_guesses_among_many_parameters",
    ),
    Fault(
        "Newton's steps are taken whole, or not at all",
        _ROOT,
        "for halvings in range(30)",
        "for halvings in range(1)",
        "theory/test_kramers_matrix_free.py::test_a_guess_from_which_whole_steps_lead_astray",
    ),
    Fault(
        "the quasi-potential without its ½",
        _QUASI,
        "values = 0.5 * np.sum",
        "values = np.sum",
        "theory/test_quasi_potential.py::test_it_is_the_least_action",
    ),
    Fault(
        "the process leaves where it moves least",
        _QUASI,
        "likeliest = root @ vectors[:, -1]",
        "likeliest = root @ vectors[:, 0]",
        "theory/test_quasi_potential.py::test_the_lowest_of_a_level_by_looking_everywhere",
    ),
    Fault(
        "all noise is in detailed balance",
        _QUASI,
        "there, back = H @ sigma, sigma @ H",
        "there, back = H @ sigma, H @ sigma",
        "theory/test_quasi_potential.py::test_it_is_the_least_action",
    ),
    Fault(
        "the power of escape is that of the density",
        _POWER,
        "power = 1 + inverse - half",
        "power = 1 + inverse",
        "theory/test_power_law_escape.py::test_the_slope_and_the_constant_on_the_line[0.2]",
    ),
    Fault(
        "what the well holds with a factor of D too much",
        _POWER,
        "held = half * np.log(inverse)",
        "held = -half * np.log(inverse)",
        "theory/test_power_law_escape.py::test_the_slope_and_the_constant_on_the_line[0.2]",
    ),
    Fault(
        "s and 1 − s of diffusion theory are exchanged",
        _DIFFUSION_THEORY,
        "(s / a + (1 - s) / b)",
        "(s / b + (1 - s) / a)",
        "theory/test_diffusion_theory.py::test_the_numbers_of_both_prefactors",
    ),
    Fault(
        "noise of the curvature has it for its standard deviation",
        _CURVATURE_NOISE,
        "jnp.sqrt(self._variance(theta)) * xi",
        "self._variance(theta) * xi",
        "theory/test_diffusion_theory.py::test_noise_of_the_curvature",
    ),
    Fault(
        "a pilot that ends with its 50 exits",
        "sde_sgd/escape/_by_renewal.py",
        " or _moved(before, pilot) > _AT_REST",
        "",
        "escape/test_forgotten_starts.py::test_with_many_chains_the_pilot_is_as_long_as_the_well_remembers",
    ),
    Fault(
        "a mean loss that still changes is not told",
        "sde_sgd/escape/_by_renewal.py",
        "if _moved(before, after) > _ON_ITS_WAY:",
        "if False:",
        "escape/test_forgotten_starts.py::test_steps_that_are_too_few_are_told",
    ),
    Fault(
        "exits of the beginning count for the horizon",
        "sde_sgd/escape/_by_renewal.py",
        "return rate(after).exits - rate(before).exits",
        "return rate(after).exits",
        "escape/test_forgotten_starts.py::test_a_start_on_the_saddle_is_told",
    ),
    Fault(
        "a loss that is NaN is inside",
        "sde_sgd/escape/_outside.py",
        "~(jax.vmap(self.loss)(theta) < self.level)",
        "jax.vmap(self.loss)(theta) >= self.level",
        "escape/test_forgotten_starts.py::test_a_loss_that_is_no_number_is_outside",
    ),
    Fault(
        "steps of chains that were stopped are waited for",
        "sde_sgd/escape/_rate.py",
        "if (np.asarray(result.stopped_at) >= 0).any():",
        "if False:",
        "escape/test_forgotten_starts.py::test_chains_that_were_stopped_are_not_waited_for",
    ),
    Fault(
        "a saddle without curvature",
        "sde_sgd/theory/_escape/_saddle.py",
        "if not np.abs(found.eigenvalues).max() > _FLAT * np.linalg.norm(around):",
        "if False:",
        "escape/test_forgotten_starts.py::test_a_point_without_curvature_is_no_saddle[quartic]",
    ),
    Fault(
        "noise that is lost to rounding far out is refused",
        "sde_sgd/theory/_ito.py",
        "not (outwards and exponents[last] > exponents[: last + 1].min() + _NO_WEIGHT)",
        "True",
        "escape/test_forgotten_starts.py::"
        "test_noise_of_data_that_is_lost_to_rounding_far_out_does_not_matter",
    ),
]
